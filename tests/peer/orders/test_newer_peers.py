"""What a peer of a later version reports, read by one of this."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from cortex.peer.gossip.ids import NodeId
from cortex.peer.orders.values import Job

OpenPair = Callable[..., AbstractAsyncContextManager[Any]]
B = NodeId(b"b" * 8)


async def test_a_job_in_a_state_that_only_newer_peers_know_is_told_and_ends_no_connection(
    pair: OpenPair,
):
    resting = Job(f"job_{B.hex()}_1", B, "dream", "resting", "fake")
    async with pair(borea_says=(resting,)) as both:
        async with both.client.get(f"/jobs/{resting.id}") as reply:
            job = await reply.json()
        assert (reply.status, job["kind"], job["state"]) == (200, "dream", "resting")
        async with both.client.get(f"/jobs/{resting.id}/events") as reply:
            assert (await reply.text()).count('"state":"resting"') == 1
        async with both.client.post("/drain", json={"peer": "borea"}) as reply:
            assert (reply.status, (await reply.json())["job"]["state"]) == (202, "resting")
        load = {"model": "fake", "peer": "borea"}
        async with both.client.post("/models/load", json=load) as reply:
            assert (reply.status, (await reply.json())["error"]["code"]) == (502, "host_lost")
        assert both.lost == []
