"""What a load would do, told without doing it, and loads that go where there is room."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.engine.errors import InsufficientVram
from cortex.peer.fleet.view import DeviceView
from cortex.peer.gossip.ids import NodeId
from cortex.peer.placement.plan import LoadWish, Refusal
from tests.peer.orders.asking import GIB, WEIGHTS, B, OpenPair, get, post


async def test_a_plan_tells_what_a_load_would_do_and_does_nothing(pair: OpenPair):
    async with pair() as both:
        body = {"model": "fake", "peer": "atlas", "context": 8192, "slots": 2}
        status, told = await post(both.client, "/models/plan", body)
        assert both.atlas.wishes == [] and both.borea.wishes == []
    assert (status, told["model"], told["refusals"]) == (200, "fake", [])
    plan = told["plan"]
    assert (plan["peer"], plan["device"], plan["context_tokens"]) == ("atlas", 1, 8192)
    assert [victim["id"] for victim in plan["victims"]] == ["guest"]
    assert (plan["bytes"], plan["seconds"], plan["is_there"]) == (3 * GIB, 2.0, False)


async def test_a_plan_of_the_fleet_says_of_every_peer_why_not(pair: OpenPair):
    async with pair() as both:
        both.membership.change(B, stored=())
        _, told = await post(both.client, "/models/plan", {"model": "fake"})
        assert told["plan"]["peer"] == "atlas"
        assert [(one["peer"], one["reason"]) for one in told["refusals"]] == [("borea", "absent")]
        _, told = await post(both.client, "/models/plan", {"model": "fake", "peer": "borea"})
        assert told["plan"] is None


async def test_a_plan_for_another_peer_is_its_own_word(pair: OpenPair):
    async with pair() as both:
        # By what is believed of it, it would have no room.
        both.membership.change(B, devices=(DeviceView("cpu", GIB, GIB),))
        _, told = await post(both.client, "/models/plan", {"model": "fake", "peer": "borea"})
        assert (told["plan"]["peer"], told["plan"]["device"]) == ("borea", 1)
        why = Refusal(NodeId(bytes(8)), 0, "pinned", "'guest' is pinned", GIB, 3 * GIB, 2.0)
        both.borea.refusals = (why,)
        both.membership.change(B, devices=(DeviceView("cpu", 40 * GIB, 40 * GIB),))
        _, told = await post(both.client, "/models/plan", {"model": "fake"})
        assert told["plan"]["peer"] == "atlas"
        assert [(one["peer"], one["words"]) for one in told["refusals"]] == [
            ("borea", "'guest' is pinned")
        ]
        assert both.borea.wishes == []


async def test_a_peer_that_plans_nothing_is_planned_for_by_what_is_believed(pair: OpenPair):
    async with pair(is_old=True) as both:
        both.membership.change(B, devices=(DeviceView("cpu", 40 * GIB, 40 * GIB),))
        _, told = await post(both.client, "/models/plan", {"model": "fake", "peer": "borea"})
        assert (told["plan"]["peer"], told["plan"]["device"]) == ("borea", 0)


async def test_a_load_of_the_fleet_goes_to_the_next_peer_where_one_has_no_room(pair: OpenPair):
    async with pair() as both:
        both.atlas.error = InsufficientVram("'fake' has no place here; cpu: full")
        body = {"model": "fake", "context": 8192}
        status, told = await post(both.client, "/models/load", body)
        assert (status, told["peer"]) == (200, "borea")
        assert both.atlas.wishes == both.borea.wishes == [LoadWish(WEIGHTS, None, 8192)]

        both.borea.error = InsufficientVram("'fake' has no place here; cpu: busy")
        status, told = await post(both.client, "/models/load", body)
        assert status == 503
        assert told["error"]["message"].startswith(
            "'fake' has no place now: atlas: cpu: full; borea: cpu: busy"
        )
        assert len(both.atlas.wishes) == len(both.borea.wishes) == 2


async def test_a_load_may_be_insisted_on(pair: OpenPair):
    async with pair() as both:
        for peer in ("atlas", "borea"):
            body = {"model": "fake", "peer": peer, "force": True}
            assert (await post(both.client, "/models/load", body))[0] == 200
        assert both.atlas.wishes == both.borea.wishes == [LoadWish(WEIGHTS, is_forced=True)]


async def test_a_load_of_one_peer_stays_its_own(pair: OpenPair):
    async with pair() as both:
        both.atlas.error = InsufficientVram("full")
        body = {"model": "fake", "peer": "atlas"}
        assert (await post(both.client, "/models/load", body))[0] == 503
        assert both.borea.wishes == []


async def test_a_load_that_has_moved_on_is_called_off_where_it_is(pair: OpenPair):
    async with pair() as both:
        both.atlas.error = InsufficientVram("full")
        both.borea.goes.clear()
        body = {"model": "fake", "wait": False}
        _, job = await post(both.client, "/models/load", body)
        await both.borea.wished.wait()
        _, told = await get(both.client, f"/jobs/{job['id']}")
        assert told["peer"] == "borea"
        async with both.client.delete(f"/jobs/{job['id']}") as reply:
            assert (await reply.json())["state"] == "cancelled"
        await both.borea.abandoned.wait()


async def test_a_dry_run_of_a_load_is_its_plan(pair: OpenPair):
    async with pair() as both:
        small = DeviceView("cpu", 40 * GIB, 40 * GIB)
        both.membership.change(B, devices=(small,))
        path = "/models/load?dry_run=1"
        status, told = await post(both.client, path, {"model": "fake"})
        # A load that names no peer is this one's, however much room another has.
        assert (status, told["plan"]["peer"], told["others"]) == (200, "atlas", [])
        _, told = await post(both.client, path, {"model": "fake", "peer": "borea"})
        assert told["plan"]["peer"] == "borea"
        assert both.atlas.wishes == [] and both.borea.wishes == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"model": "fake", "peer": "boreal"}, 404, "did you mean borea?"),
        ({"model": "fakir"}, 404, "fakir"),
        ({"model": "fake", "slots": 0}, 400, "slots"),
        ({"model": "fake", "context": "much"}, 400, "context"),
    ],
)
async def test_a_plan_for_what_is_not_there_is_refused(
    pair: OpenPair, body: Any, status: int, words: str
):
    async with pair() as both:
        told = await post(both.client, "/models/plan", body)
    assert told[0] == status and words in told[1]["error"]["message"]
