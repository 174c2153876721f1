"""Orders over HTTP, given to one peer and carried out by it or by another."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientResponse

from cortex.engine.errors import InsufficientVram
from cortex.engine.stream import Stage
from cortex.peer import jobs
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.records import LoadRecord, ModelLoad
from cortex.peer.jobs import home_of
from cortex.peer.observing.live import LiveRequest
from cortex.peer.placement.ages import told_age
from cortex.peer.placement.plan import LoadWish
from tests.peer.orders.asking import GIB, WEIGHTS, A, B, OpenPair, get, post


async def events(reply: ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in reply.content:
        field, _, value = line.decode().strip().partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


@pytest.mark.parametrize(
    ("peer", "name"), [(None, "atlas"), ("atlas", "atlas"), ("borea", "borea")]
)
async def test_a_load_answers_with_the_placement_as_carried_out(
    pair: OpenPair, peer: str | None, name: str
):
    async with pair() as both:
        body = {"model": "fake", "peer": peer, "context": 8192, "slots": 2}
        status, told = await post(both.client, "/models/load", body)
        steering = both.borea if name == "borea" else both.atlas
        assert steering.wishes == [LoadWish(WEIGHTS, None, 8192, 2)]
    assert status == 200
    assert told.pop("job").startswith("job_") and told.pop("seconds") >= 0
    assert told == {
        "status": "loaded",
        "model": "fake",
        "peer": name,
        "device": 1,
        "context_tokens": 8192,
        "slots": 2,
        "reserved_bytes": 3 * GIB,
        "evicted": ["guest"],
        "was_there": False,
    }


async def test_a_peer_without_a_copy_has_another_one_load(pair: OpenPair):
    async with pair(engine="none") as both:
        both.membership.change(A, stored=())
        status, told = await post(both.client, "/models/load", {"model": "fake"})
    assert (status, told["peer"]) == (200, "borea")


@pytest.mark.parametrize("peer", ["atlas", "borea"])
async def test_a_load_that_nobody_waits_for_is_a_job_that_any_peer_tells_of(
    pair: OpenPair, peer: str
):
    async with pair() as both:
        steering = both.borea if peer == "borea" else both.atlas
        steering.goes.clear()
        body = {"model": "fake", "peer": peer, "wait": False}
        status, job = await post(both.client, "/models/load", body)
        assert (status, job["kind"], job["peer"]) == (202, "load", peer)
        assert (await post(both.client, "/models/load", body))[1]["id"] == job["id"]
        async with both.client.get(f"/jobs/{job['id']}/events") as stream:
            told = events(stream)
            while (news := await anext(told))[1]["stage"] is None:
                pass
            assert news[0] == "job"
            assert (news[1]["stage"], news[1]["done"], news[1]["total"]) == ("loading", 1, 4)
            assert news[1]["eta_s"] == 3.0
            steering.goes.set()
            last = [news async for _, news in told][-1]
        assert (last["state"], last["placement"]["reserved_bytes"]) == ("done", 3 * GIB)
        assert (await get(both.client, f"/jobs/{job['id']}"))[1]["state"] == "done"
        _, listed = await get(both.client, "/jobs?fleet=1")
        assert [one["id"] for one in listed["jobs"]] == [job["id"]]
        assert len(steering.wishes) == 1


async def test_a_job_says_something_each_second_while_nothing_changes(pair: OpenPair):
    async with pair() as both:
        both.borea.goes.clear()
        body = {"model": "fake", "peer": "borea", "wait": False}
        job = (await post(both.client, "/models/load", body))[1]
        async with both.client.get(f"/jobs/{job['id']}/events") as stream, asyncio.timeout(6):
            told = events(stream)
            seconds = [(await anext(told))[1]["seconds"] for _ in range(4)]
    assert seconds == sorted(seconds) and seconds[-1] - seconds[-2] < 1.5


@pytest.mark.parametrize("peer", ["atlas", "borea"])
async def test_a_load_goes_on_when_whoever_waits_for_it_leaves(pair: OpenPair, peer: str):
    async with pair() as both:
        steering = both.borea if peer == "borea" else both.atlas
        steering.goes.clear()
        body = {"model": "fake", "peer": peer}
        waiting = asyncio.create_task(post(both.client, "/models/load", body))
        await steering.wished.wait()
        waiting.cancel()
        await asyncio.wait({waiting})
        _, told = await get(both.client, "/jobs?fleet=1")
        assert [job["state"] for job in told["jobs"]] == ["running"]
        steering.goes.set()
        assert (await post(both.client, "/models/load", body))[0] == 200
        assert steering.num_abandoned == 0


@pytest.mark.parametrize("peer", ["atlas", "borea"])
async def test_a_cancelled_job_ends_the_wish_and_whoever_waits_is_told(pair: OpenPair, peer: str):
    async with pair() as both:
        steering = both.borea if peer == "borea" else both.atlas
        steering.goes.clear()
        body = {"model": "fake", "peer": peer}
        waiting = asyncio.create_task(post(both.client, "/models/load", body))
        await steering.wished.wait()
        [job] = (await get(both.client, "/jobs?fleet=1"))[1]["jobs"]
        async with both.client.delete(f"/jobs/{job['id']}") as reply:
            assert (await reply.json())["state"] == "cancelled"
        status, told = await waiting
        assert (status, told["error"]["code"]) == (400, "job_cancelled")
        assert steering.num_abandoned == 1


@pytest.mark.parametrize("peer", ["atlas", "borea"])
async def test_a_load_that_fails_is_refused_with_its_cause(pair: OpenPair, peer: str):
    async with pair() as both:
        steering = both.borea if peer == "borea" else both.atlas
        steering.error = InsufficientVram("'fake' needs 3.0 GiB", "unload guest")
        status, told = await post(both.client, "/models/load", {"model": "fake", "peer": peer})
    assert (status, told["error"]["code"]) == (503, "insufficient_vram")
    assert told["error"]["message"] == "'fake' needs 3.0 GiB; unload guest"


async def test_unload_and_pins_go_to_the_peer_that_has_the_model(pair: OpenPair):
    async with pair() as both:
        both.place(B, "fake")
        status, told = await post(both.client, "/models/unload", {"model": "fake", "force": True})
        assert (status, told["status"], told["peer"]) == (200, "unloaded", "borea")
        for path, is_pinned in (("pin", True), ("unpin", False)):
            status, told = await post(both.client, f"/models/{path}", {"model": "fake"})
            assert (status, told) == (
                200,
                {"model": "fake", "peer": "borea", "pinned": is_pinned},
            )
        assert both.borea.calls == [("force", "fake"), ("pin", "fake"), ("unpin", "fake")]
        assert both.atlas.calls == []


async def test_a_peer_that_drains_still_unloads_what_it_has(pair: OpenPair):
    async with pair() as both:
        both.place(B, "fake")
        both.membership.change(B, state="draining")
        status, told = await post(both.client, "/models/unload", {"model": "fake"})
        assert (status, told["peer"]) == (200, "borea")


async def test_where_all_drain_a_load_says_so_and_an_unload_has_nothing_to_do(pair: OpenPair):
    async with pair() as both:
        for node in (A, B):
            both.membership.change(node, state="draining")
        status, told = await post(both.client, "/models/load", {"model": "fake"})
        assert (status, told["error"]["code"]) == (404, "model_not_found")
        assert "take nothing new: atlas, borea" in told["error"]["message"]
        assert "cortex undrain atlas" in told["error"]["hint"]
        status, told = await post(both.client, "/models/unload", {"model": "fake"})
        assert (status, told["peer"]) == (200, "atlas")


async def test_this_peer_is_meant_where_it_and_others_have_the_model(pair: OpenPair):
    async with pair() as both:
        both.place(A)
        both.place(B)
        assert (await post(both.client, "/models/unload", {"model": "fake"}))[1]["peer"] == "atlas"


async def test_a_load_again_after_an_unload_is_another_job(pair: OpenPair):
    async with pair() as both:
        ids = [
            (await post(both.client, f"/models/{path}", {"model": "fake"}))[1]["job"]
            for path in ("load", "unload", "load")
        ]
        assert len(set(ids)) == 3 and len(both.atlas.wishes) == 2


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "model", "model: required"),
        ({"model": "fake", "context": 0}, "context", "context: must be at least 1"),
        ({"model": "fake", "context": 1 << 40}, "context", "must be at most 4294967295"),
        ({"model": "fake", "slots": "two"}, "slots", "slots: must be a whole number"),
        ({"model": "fake", "wait": 1}, "wait", "wait: must be true or false"),
        ({"model": "fale"}, "model", "did you mean fake?"),
        ({"model": "fake", "peer": "boera"}, "peer", "did you mean borea?"),
        ({"model": "fake", "peer": "zzz"}, "peer", "there is: atlas, borea"),
    ],
)
async def test_what_is_wrong_is_named_with_the_next_step(
    pair: OpenPair, body: Any, param: str, words: str
):
    async with pair() as both:
        status, told = await post(both.client, "/models/load", body)
    assert status in (400, 404) and told["error"]["param"] == param
    assert words in told["error"]["message"]


async def test_a_peer_that_has_no_copy_is_not_asked_to_load(pair: OpenPair):
    async with pair() as both:
        both.membership.change(B, stored=())
        status, told = await post(both.client, "/models/load", {"model": "fake", "peer": "borea"})
    assert (status, told["error"]["code"]) == (404, "model_not_found")
    assert "not on the disk of borea" in told["error"]["message"]
    assert "it is on atlas" in told["error"]["message"]


async def test_a_peer_that_is_gone_is_said_to_be(pair: OpenPair):
    async with pair() as both:
        both.membership.change(B, state="dead")
        status, told = await post(both.client, "/models/load", {"model": "fake", "peer": "borea"})
    assert (status, told["error"]["code"]) == (404, "peer_not_found")
    assert "'borea' is gone" in told["error"]["message"]


async def test_a_peer_that_dies_in_the_middle_of_an_order_is_named(pair: OpenPair):
    async with pair() as both:
        both.borea.goes.clear()
        body = {"model": "fake", "peer": "borea"}
        waiting = asyncio.create_task(post(both.client, "/models/load", body))
        await both.borea.wished.wait()
        await both.runner.cleanup()
        status, told = await waiting
        assert (status, told["error"]["code"]) == (502, "host_lost")
        assert "'borea' was lost before it said how the order ended" in told["error"]["message"]


async def test_a_peer_that_is_not_reached_is_named(pair: OpenPair):
    async with pair() as both:
        await both.runner.cleanup()
        status, told = await post(both.client, "/models/load", {"model": "fake", "peer": "borea"})
    assert (status, told["error"]["code"]) == (502, "host_refused")
    assert "'borea' cannot be reached" in told["error"]["message"]


async def test_a_peer_that_knows_no_orders_is_named_with_what_it_runs(pair: OpenPair):
    async with pair(is_old=True) as both:
        status, told = await post(both.client, "/models/load", {"model": "fake", "peer": "borea"})
    assert (status, told["error"]["code"]) == (502, "host_refused")
    assert told["error"]["message"] == (
        "peer 'borea' takes no orders; it runs cortex-0.1.0: update it, or ask it itself"
    )


async def test_a_stream_of_a_job_whose_peer_dies_ends_with_an_error(pair: OpenPair):
    async with pair() as both:
        both.borea.goes.clear()
        body = {"model": "fake", "peer": "borea", "wait": False}
        job = (await post(both.client, "/models/load", body))[1]
        async with both.client.get(f"/jobs/{job['id']}/events") as stream:
            told = events(stream)
            await anext(told)
            await both.runner.cleanup()
            name, news = [one async for one in told][-1]
    assert (name, news["error"]["code"]) == ("error", "host_lost")


async def test_a_job_outlives_the_id_that_its_peer_had_when_it_began(pair: OpenPair):
    """Another peer with the same id makes it take a new one."""
    async with pair() as both:
        both.atlas.goes.clear()
        body = {"model": "fake", "peer": "atlas", "wait": False}
        _, job = await post(both.client, "/models/load", body)
        new = NodeId(b"c" * 8)
        both.membership.change(A, node=new)
        both.membership.view = replace(both.membership.view, self_node=new)
        assert (await get(both.client, f"/jobs/{job['id']}"))[1]["state"] == "running"
        async with both.client.delete(f"/jobs/{job['id']}") as cancelled:
            assert (await cancelled.json())["state"] == "cancelled"
        _, later = await post(both.client, "/models/load", body)
        assert (home_of(job["id"]), home_of(later["id"])) == (A, new)


async def test_jobs_that_nobody_knows_are_not_found(pair: OpenPair):
    async with pair() as both:
        for job_id in ("job_1", f"job_{A.hex()}_00", f"job_{B.hex()}_00", f"job_{'c' * 16}_00"):
            status, told = await get(both.client, f"/jobs/{job_id}")
            assert (status, told["error"]["code"]) == (404, "job_not_found")


async def test_requests_of_the_whole_fleet_are_listed_where_they_came_to(pair: OpenPair):
    async with pair() as both:
        mine, other, passed_on = (
            LiveRequest("req_1", "chat", "-", 0.0),
            LiveRequest("req_2", "messages", "-", 0.0),
            LiveRequest("hop_1", "hop", "fleet", 0.0),
        )
        other.host = "atlas"
        other.note(Stage("prefill", 6, 9, "tokens", cached_tokens=5), lambda: 0.0)
        a, b = both.nodes[A].live, both.nodes[B].live
        with a.entered(mine), a.entered(passed_on), b.entered(other):
            _, told = await get(both.client, "/requests?fleet=1")
            assert [
                (one["id"], one["peer"], one["host"], one["cached_tokens"])
                for one in told["requests"]
            ] == [("req_1", "atlas", "atlas", 0), ("req_2", "borea", "atlas", 5)]
            assert told["missing"] == []
            _, told = await get(both.client, "/requests")
            assert [one["id"] for one in told["requests"]] == ["req_1", "hop_1"]


async def test_a_peer_that_does_not_say_is_named_and_the_others_are_listed(pair: OpenPair):
    async with pair() as both:
        await both.runner.cleanup()
        status, told = await get(both.client, "/requests?fleet=1")
    assert status == 200
    [missing] = told["missing"]
    assert (missing["peer"], missing["error"]["code"]) == ("borea", "host_refused")


@pytest.mark.parametrize("query", ["", "?peer=borea"])
async def test_a_request_is_ended_wherever_it_is(pair: OpenPair, query: str):
    async with pair() as both:
        live = LiveRequest("req_2", "chat", "-", 0.0)
        ended = asyncio.Event()
        live.cancel = ended.set  # type: ignore[method-assign]
        with both.nodes[B].live.entered(live):
            async with both.client.delete(f"/requests/req_2{query}") as reply:
                told = await reply.json()
    assert told == {"id": "req_2", "peer": "borea", "status": "cancelled"}
    assert ended.is_set()


@pytest.mark.parametrize("query", ["", "?peer=atlas", "?peer=borea"])
async def test_a_request_that_is_nowhere_is_not_found(pair: OpenPair, query: str):
    async with pair() as both, both.client.delete(f"/requests/req_9{query}") as reply:
        told = await reply.json()
    assert (reply.status, told["error"]["code"]) == (404, "request_not_found")


@pytest.mark.parametrize(("body", "node"), [(None, A), ({}, A), ({"peer": "borea"}, B)])
async def test_a_drain_is_begun_on_the_peer_that_is_named(pair: OpenPair, body: Any, node: NodeId):
    async with pair() as both:
        status, told = await post(both.client, "/drain", body)
        drained = [one for one in (A, B) if both.nodes[one].health.is_draining]
        assert drained == [node]
        assert (status, told["status"], told["live_requests"]) == (202, "draining", 0)
        assert told["job"]["kind"] == "drain"
        name = told["peer"]
        assert await post(both.client, "/undrain", body) == (200, {"status": "up", "peer": name})
        assert not both.nodes[node].health.is_draining


async def test_a_drain_that_cannot_be_begun_closes_nothing(
    pair: OpenPair, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobs, "_MAX_UNDER_WAY", 0)
    async with pair() as both:
        status, told = await post(both.client, "/drain")
        assert (status, told["error"]["code"]) == (503, "overloaded")
        assert not both.nodes[A].health.is_draining


async def test_a_drain_that_is_undone_is_over(pair: OpenPair):
    async with pair() as both:
        live = asyncio.Event()
        chat = {"model": "fake", "messages": [{"role": "user", "content": "a"}], "max_tokens": 9}
        both.nodes[A].watch(live.set)
        asking = asyncio.create_task(post(both.client, "/v1/chat/completions", chat))
        await live.wait()
        _, told = await post(both.client, "/drain")
        await post(both.client, "/undrain")
        _, job = await get(both.client, f"/jobs/{told['job']['id']}")
        assert job["state"] in ("cancelled", "done")
        assert (
            (await asking)[0] == (await post(both.client, "/v1/chat/completions", chat))[0] == 200
        )


async def test_a_peer_that_ends_takes_nothing_more_whatever_it_is_told(pair: OpenPair):
    async with pair() as both:
        await both.nodes[A].drained()
        status, told = await post(both.client, "/undrain")
        assert (status, told["error"]["code"]) == (503, "overloaded")
        assert both.nodes[A].health.is_draining


async def test_models_are_told_with_where_they_are(pair: OpenPair):
    async with pair() as both:
        both.place(B, device=1, reserved_bytes=3 * GIB, num_slots=4, is_pinned=True, priority=2)
        _, told = await get(both.client, "/models")
    [model] = told["models"]
    assert (model["id"], model["weights"]) == ("fake", WEIGHTS.hex())
    assert model["cold"] == [{"peer": "atlas", "eta_s": None}]
    assert model["warm"] == [
        {
            "peer": "borea",
            "device": 1,
            "state": "ready",
            "percent": None,
            "context_tokens": 4096,
            "slots": 4,
            "reserved_bytes": 3 * GIB,
            "pinned": True,
            "priority": 2,
            "running": None,
            "waiting": None,
            "idle_s": None,
            "last_used": None,
        }
    ]


async def test_models_are_told_with_how_long_nobody_has_used_them(pair: OpenPair):
    async with pair() as both:
        both.place(B)
        busy = ModelLoad(WEIGHTS, 0, 0, 4, told_age(70.0), 1)
        both.membership.change(B, load=LoadRecord(B, 1, 0, 0, 0, 0, 0, 0, 0, (), (busy,)))
        began_s = time.time()
        _, told = await get(both.client, "/models")
        [of_borea] = told["models"][0]["warm"]
        assert 35 <= of_borea["idle_s"] <= 70
        assert began_s - 71 <= of_borea["last_used"] <= time.time() - 34
        # Of itself a peer knows it to the moment.
        await both.nodes[A].preload("fake")
        both.place(A)
        _, told = await get(both.client, "/models")
        assert 0 <= told["models"][0]["warm"][0]["idle_s"] <= time.time() - began_s


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models"),
        ("POST", "/models/load"),
        ("POST", "/models/unload"),
        ("POST", "/models/pin"),
        ("POST", "/models/unpin"),
        ("GET", "/jobs"),
        ("GET", "/jobs/x"),
        ("GET", "/jobs/x/events"),
        ("DELETE", "/jobs/x"),
        ("GET", "/requests"),
        ("DELETE", "/requests/x"),
        ("POST", "/drain"),
    ],
)
async def test_whoever_comes_through_a_proxy_needs_an_admin_key(
    pair: OpenPair, method: str, path: str
):
    added = {
        "forwarded": "for=203.0.113.7",
        "x-forwarded-for": "203.0.113.7",
        "x-real-ip": "203.0.113.7",
        "via": "1.1 proxy.example.com",
    }
    async with pair() as both:
        for header in added.items():
            async with both.client.request(method, path, headers=[header]) as reply:
                assert reply.status == 401, header


async def test_a_word_that_is_neither_yes_nor_no_is_refused(pair: OpenPair):
    async with pair() as both:
        status, told = await get(both.client, "/requests?fleet=perhaps")
    assert (status, told["error"]["param"]) == (400, "fleet")
