"""For how long a peer's first answer is waited for, by how far away it is."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from cortex.peer.errors import HostRefused
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.records import Address
from cortex.peer.hop.dialling import Dialler
from cortex.peer.resolving import is_too_far, patience_s

HOST = NodeId(b"the-host")
PLACE = Address("127.0.0.1", 9)


@pytest.mark.parametrize(
    ("rtt_s", "num_addresses", "limit_s"),
    [
        (None, 0, 1.0),
        (None, 1, 1.0),
        (0.2, 1, 1.0),
        (0.2, 4, 1.75),
        (0.2, 9, 1.75),
        (0.6, 1, 2.4),
        (0.6, 3, 2.9),
        (60.0, 4, 5.0),
    ],
)
def test_patience_is_for_four_round_trips_and_a_head_start_for_each_dead_address(
    rtt_s: float | None, num_addresses: int, limit_s: float
):
    assert patience_s(rtt_s, num_addresses) == pytest.approx(limit_s)


def test_beyond_all_patience_silence_tells_nothing():
    assert [is_too_far(rtt_s) for rtt_s in (None, 0.001, 1.2, 1.3)] == [False, False, False, True]


async def test_how_far_away_a_host_is_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch):
    async def connect(*asked: object, **options: object) -> str:
        return "connected"

    async def held_up(_: NodeId) -> float:
        await asyncio.Event().wait()
        return 0.6

    monkeypatch.setattr(aiohttp.ClientSession, "ws_connect", connect)
    async with (
        asyncio.timeout(10),
        Dialler(lambda _: [PLACE], lambda: None, lambda _: "host.test", held_up) as dialler,
    ):
        assert await dialler.dial(HOST) == "connected"


async def test_a_host_far_away_is_waited_for_as_long_as_its_way_takes(
    monkeypatch: pytest.MonkeyPatch,
):
    async def connect(*asked: object, **options: object) -> Any:
        """Takes a second and a half, by the loop's clock."""
        loop = asyncio.get_running_loop()
        now_s = loop.time
        monkeypatch.setattr(loop, "time", lambda: now_s() + 1.5)
        for _turn in range(5):  # time limits have their turn
            await asyncio.sleep(0)
        return "connected"

    async def far(_: NodeId) -> float:
        return 0.6

    def name_of(node: NodeId) -> str:
        return f"{node.hex()}.test"

    monkeypatch.setattr(aiohttp.ClientSession, "ws_connect", connect)
    async with Dialler(lambda _: [PLACE], lambda: None, name_of, far) as dialler:
        assert await dialler.dial(HOST) == "connected"
    async with Dialler(lambda _: [PLACE], lambda: None, name_of) as dialler:
        with pytest.raises(HostRefused, match="no answer within 1 s"):
            await dialler.dial(HOST)
