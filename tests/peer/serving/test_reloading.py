"""A running peer and its files of settings: what is taken up, and what a person is told."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from cortex.peer.config import RELOAD_LOG, Locations, PeerConfig
from cortex.peer.serving.reloading import Follower, Reading

CONFIG = PeerConfig(Locations(Path(), Path()))
DEADLINE_S = 10


class Files:
    """Says what the test gave it, one at a time."""

    def __init__(self, *readings: Reading | None) -> None:
        self.left = list(readings)
        self.forced: list[bool] = []

    def look(self, *, is_forced: bool) -> Reading | None:
        self.forced.append(is_forced)
        return self.left.pop(0) if self.left else None


class Board:
    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    def note(self, text: str, topic: str = "") -> None:
        self.notes[topic] = text

    def forget(self, topic: str) -> None:
        self.notes.pop(topic, None)


class Watched:
    """A follower that looks when the test says so."""

    def __init__(self, *readings: Reading | None) -> None:
        self.files, self.board = Files(*readings), Board()
        self.taken: list[PeerConfig] = []
        self.follower = Follower(self.files, self.take, self.board, asyncio.Event())

    async def take(self, config: PeerConfig) -> None:
        self.taken.append(config)

    async def look(self) -> None:
        await self.follower.look(is_forced=False)


async def test_what_has_changed_is_taken_and_what_has_not_is_left() -> None:
    watched = Watched(Reading(CONFIG), None)
    await watched.look()
    await watched.look()
    assert watched.taken == [CONFIG]


@pytest.mark.parametrize(("every_s", "is_forced"), [(0.001, False), (3600.0, True)])
async def test_files_are_looked_at_again_and_again_and_when_told_to(
    every_s: float, is_forced: bool
) -> None:
    files, taken = Files(Reading(CONFIG)), asyncio.Event()

    async def take(_: PeerConfig) -> None:
        taken.set()

    hung_up = asyncio.Event()
    if is_forced:
        hung_up.set()
    follower = Follower(files, take, Board(), hung_up, every_s)
    async with asyncio.timeout(DEADLINE_S):
        following = asyncio.create_task(follower.run())
        await taken.wait()
        following.cancel()
        await asyncio.wait({following})
    assert files.forced[0] == is_forced


async def test_a_broken_file_changes_nothing_and_is_noted_until_it_is_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, worse = Reading(None, "line 3 is wrong"), Reading(None, "line 4 is wrong")
    watched = Watched(broken, None, worse, Reading(CONFIG))
    await watched.look()
    assert watched.board.notes == {"settings": "settings not taken: line 3 is wrong"}
    await watched.look()
    assert watched.board.notes == {"settings": "settings not taken: line 3 is wrong"}
    await watched.look()
    assert watched.board.notes == {"settings": "settings not taken: line 4 is wrong"}
    assert watched.taken == []
    await watched.look()
    assert (watched.board.notes, watched.taken) == ({}, [CONFIG])
    assert [one.message for one in caplog.records if one.name == RELOAD_LOG] == [
        "settings not taken, the old ones hold: line 3 is wrong",
        "settings not taken, the old ones hold: line 4 is wrong",
    ]


async def test_what_waits_for_a_restart_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    one = Reading(CONFIG, needs_restart=("[peer] listen",))
    both = Reading(CONFIG, needs_restart=("[engine] threads", "[peer] listen"))
    with caplog.at_level(logging.WARNING):
        watched = Watched(one, one, both, Reading(CONFIG), one)
        for _ in range(5):
            await watched.look()
    assert [record.message for record in caplog.records] == [
        "needs a restart: [peer] listen",
        "needs a restart: [engine] threads",
        "needs a restart: [peer] listen",
    ]
