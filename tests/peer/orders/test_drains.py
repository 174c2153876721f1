"""How long a peer drains: for what it passes on to others, too."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any

from cortex.peer.gossip.ids import NodeId
from cortex.peer.observing.live import LiveRequest

A = NodeId(b"a" * 8)
OpenPair = Callable[..., AbstractAsyncContextManager[Any]]


async def test_a_drain_is_over_when_what_is_passed_on_to_other_peers_has_ended(
    pair: OpenPair,
):
    async with pair() as both:
        relayed, later = (LiveRequest(name, "openai", "-", 0.0) for name in ("req_1", "req_2"))
        live = both.nodes[A].live
        with ExitStack() as under_way:
            under_way.enter_context(live.entered(relayed))
            async with both.client.post("/drain") as reply:
                told = await reply.json()
            assert (told["live_requests"], told["job"]["state"]) == (1, "running")
            with live.entered(later):  # of those that come meanwhile there may be no end
                path = f"/jobs/{told['job']['id']}"
                async with both.client.get(path) as reply:
                    assert (await reply.json())["state"] == "running"
                under_way.close()
                async with both.client.get(f"{path}/events") as events:
                    *_, last = [line async for line in events.content if line.startswith(b"data")]
                assert json.loads(last.removeprefix(b"data:"))["state"] == "done"


async def test_a_peer_whose_drain_is_cancelled_takes_requests_again(pair: OpenPair):
    async with pair() as both:
        with both.nodes[A].live.entered(LiveRequest("req_1", "openai", "-", 0.0)):
            async with both.client.post("/drain") as reply:
                job_id = (await reply.json())["job"]["id"]
            assert both.nodes[A].health.is_draining
            async with both.client.delete(f"/jobs/{job_id}") as reply:
                assert (await reply.json())["state"] == "cancelled"
            assert not both.nodes[A].health.is_draining


async def test_a_drain_that_has_ended_is_not_undone_by_cancelling_its_job(pair: OpenPair):
    async with pair() as both:
        async with both.client.post("/drain") as reply:
            path = f"/jobs/{(await reply.json())['job']['id']}"
        async with both.client.get(f"{path}/events") as events:
            await events.read()
        async with both.client.delete(path) as reply:
            assert (await reply.json())["state"] == "done"
        assert both.nodes[A].health.is_draining


async def test_the_drain_of_a_peer_that_ends_is_not_cancelled(pair: OpenPair):
    async with pair() as both:
        node = both.nodes[A]
        with node.live.entered(LiveRequest("req_1", "openai", "-", 0.0)):
            async with both.client.post("/drain") as reply:
                path = f"/jobs/{(await reply.json())['job']['id']}"
            await node.drained()
            async with both.client.delete(path) as reply:
                assert (reply.status, (await reply.json())["error"]["code"]) == (503, "overloaded")
            async with both.client.get(path) as reply:
                assert (await reply.json())["state"] == "running"
