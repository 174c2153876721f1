"""A shelf on disks that do not answer."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from cortex.peer.config import Locations, PeerConfig
from cortex.peer.models import shelf as shelf_module
from cortex.peer.models.catalogue import Catalogue
from cortex.peer.models.look import Look
from cortex.peer.models.shelf import Shelf
from cortex.peer.types import ModelInfo

DEADLINE_S = 30
IMPATIENT_S = 0.001


class Disks:
    """Hold one model, and one more after each look until they are full. They may stall."""

    def __init__(self) -> None:
        self.num_looks = 0
        self.is_full = False
        self.is_looked_at = threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    def scan(self, _: PeerConfig, __: Look) -> Catalogue:
        self.num_looks += not self.is_full
        models = tuple(ModelInfo(f"m{number}", None, (), 1, 0) for number in range(self.num_looks))
        self.is_looked_at.set()
        assert self.answers.wait(DEADLINE_S)
        return Catalogue(models)


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> Disks:
    disks = Disks()
    monkeypatch.setattr(shelf_module, "scan", disks.scan)
    return disks


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    config = PeerConfig(locations=Locations(tmp_path / "data", tmp_path / "state"))
    return Shelf(lambda: config)


async def test_while_disks_stall_everybody_is_answered_with_what_there_was(
    shelf: Shelf, disks: Disks, caplog: pytest.LogCaptureFixture
):
    before = await shelf.look()
    disks.answers.clear()
    disks.is_looked_at.clear()
    for _ in range(3):
        many = [shelf.look(IMPATIENT_S) for _ in range(20)]
        assert await asyncio.gather(*many) == [before] * 20
        assert (await shelf.find("m0")).id == "m0"
    await asyncio.to_thread(disks.is_looked_at.wait, DEADLINE_S)
    assert disks.num_looks == 2, "they are looked at by one at a time"
    assert "their folders do not answer" in caplog.text
    disks.answers.set()
    async with asyncio.timeout(DEADLINE_S):
        assert len((await shelf.weigh()).models) >= 3
    assert len(caplog.records) == 1, "it is said once"


async def test_who_asks_while_somebody_looks_is_told_what_came_after(shelf: Shelf, disks: Disks):
    disks.answers.clear()
    first = asyncio.create_task(shelf.look(DEADLINE_S))
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.to_thread(disks.is_looked_at.wait, DEADLINE_S)
        others = [asyncio.create_task(shelf.look(DEADLINE_S)) for _ in range(5)]
        await asyncio.sleep(0)
        disks.answers.set()
        assert len((await first).models) == 1
        found = await asyncio.gather(*others)
    assert [len(each.models) for each in found] == [2] * 5


async def test_what_has_not_changed_since_the_last_look_is_the_same_object(
    shelf: Shelf, disks: Disks
):
    before = await shelf.look()
    after = await shelf.look()
    assert after is shelf.catalogue is not before
    disks.is_full = True
    assert await shelf.look() is shelf.catalogue is after
