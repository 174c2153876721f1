"""Happenings of all peers gathered in one place: each is told once, whoever comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from cortex.peer.errors import HostLost
from cortex.peer.fleet.view import FleetView, PeerView
from cortex.peer.gossip.ids import NodeId
from cortex.peer.observing.chronicle import Happening
from cortex.peer.orders.facts import HappeningList
from cortex.peer.orders.gathering import Gathering, Listener

A, B = NodeId(b"a" * 8), NodeId(b"b" * 8)
DEADLINE_S = 30


def happened(*numbers: int) -> HappeningList:
    return HappeningList(tuple(Happening(n, 0.0, "loaded", "m", f"no. {n}") for n in numbers))


class FakeControl:
    """borea's connections, one after the other: what each brings before it breaks. The last stays.

    atlas, which is asked, says nothing.
    """

    def __init__(self, *connections: Sequence[HappeningList], restarts: bool = False) -> None:
        self.restarts = restarts
        self.connections = [list(one) for one in connections]
        self.num_open = 0
        # A peer that is started again has the next one.
        self.gen = 1

    @property
    def view(self) -> FleetView:
        atlas = PeerView(A, 1, "atlas", "up", is_self=True)
        borea = PeerView(B, self.gen, "borea", "up", is_self=False)
        return FleetView("f", A, peers=(atlas, borea))

    async def happenings(self, peer: PeerView) -> AsyncGenerator[HappeningList]:
        self.num_open += 1
        try:
            if peer.node == B:
                for report in self.connections.pop(0):
                    yield report
                    await asyncio.sleep(0)
                if self.connections:
                    self.gen += self.restarts
                    raise HostLost("borea is gone", "")
            await asyncio.Event().wait()
        finally:
            self.num_open -= 1


def gathering_of(control: Any) -> Gathering:
    return Gathering(control, retry_s=0.001)


async def told_to(listener: Listener, number: int, news: asyncio.Event) -> list[tuple[str, int]]:
    told: list[tuple[str, int]] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(told) < number:
            await news.wait()
            news.clear()
            told += [(one.peer, one.happening.number) for one in listener.take()]
    return told


async def test_each_is_told_once_those_first_that_had_happened_before() -> None:
    control = FakeControl(
        [happened(7, 8), happened(7, 8, 9), happened(8, 9, 10)], [happened(9, 10, 11)]
    )
    gathering, news = gathering_of(control), asyncio.Event()
    with gathering.listening(news.set) as listener:
        told = await told_to(listener, 5, news)
    assert told == [("borea", number) for number in range(7, 12)]
    await gathering.close()


@pytest.mark.parametrize(("is_seen", "later"), [(False, (3, 4)), (True, (3, 9))])
async def test_a_peer_whose_clock_was_set_back_before_it_began_again_is_heard(
    is_seen: bool, later: tuple[int, int]
) -> None:
    control = FakeControl([happened(7, 8)], [happened(*later)], restarts=is_seen)
    gathering, news = gathering_of(control), asyncio.Event()
    with gathering.listening(news.set) as listener:
        told = await told_to(listener, 4, news)
    assert told == [("borea", number) for number in (7, 8, *later)]
    await gathering.close()


async def test_who_comes_later_is_told_what_the_others_know_and_after_all_have_left_anew() -> None:
    control = FakeControl([happened(7, 8)], [happened(7, 8, 9)])
    gathering, news = gathering_of(control), asyncio.Event()
    with gathering.listening(news.set) as first:
        await told_to(first, 3, news)
        with gathering.listening(lambda: None) as later:
            assert [one.happening.number for one in later.take()] == [7, 8, 9]
    await gathering.close()
    control.connections = [[happened(8, 9)]]
    with gathering.listening(news.set) as listener:
        assert await told_to(listener, 2, news) == [("borea", 8), ("borea", 9)]
    await gathering.close()


async def test_all_who_listen_are_told_and_a_slow_one_has_a_bounded_heap() -> None:
    reports = [happened(), *(happened(*range(n, n + 30)) for n in range(1, 600, 30))]
    gathering, news = gathering_of(FakeControl(reports)), asyncio.Event()
    with gathering.listening(lambda: None) as slow, gathering.listening(news.set) as listener:
        assert len(await told_to(listener, 600, news)) == 600
        assert [one.happening.number for one in slow.take()] == list(range(345, 601))
    await gathering.close()


async def test_nobody_is_asked_when_the_last_has_left() -> None:
    control = FakeControl([happened()])
    gathering, news = gathering_of(control), asyncio.Event()
    with gathering.listening(news.set):
        while control.num_open < 2:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0)
    while control.num_open:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0)
    await gathering.close()
