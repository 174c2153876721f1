"""Pulls over HTTP, ordered of one peer and carried out by it or by another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from cortex.peer.config import HubConfig, PeerConfig
from cortex.peer.gossip.ids import NodeId
from cortex.peer.models.catalogue import embedded_dir
from tests.peer.fake_hub import WEIGHTS, FakeHub, serving_hub

OpenPair = Callable[..., AbstractAsyncContextManager[Any]]
A, B = NodeId(b"a" * 8), NodeId(b"b" * 8)


@pytest.fixture
async def hub(make_config: Callable[..., PeerConfig]) -> AsyncGenerator[FakeHub]:
    folder = embedded_dir(make_config())
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    fake = FakeHub(files | {WEIGHTS: bytes(10_000)})
    async with serving_hub(fake):
        yield fake


async def ordered(both: Any, **body: Any) -> tuple[int, Any]:
    async with both.client.post("/models/pull", json={"model": "org/name"} | body) as reply:
        return reply.status, await reply.json()


@pytest.mark.parametrize(
    ("peer", "name"), [(None, "atlas"), ("atlas", "atlas"), ("borea", "borea")]
)
async def test_a_pulled_model_is_offered_at_once_by_the_peer_that_was_named(
    pair: OpenPair, hub: FakeHub, peer: str | None, name: str
):
    async with pair(hub=HubConfig(hub.address)) as both:
        status, told = await ordered(both, peer=peer)
        stored = {node: [one.id for one in both.nodes[node].stored] for node in (A, B)}
    assert status == 200
    assert told.pop("job").startswith("job_") and told.pop("seconds") >= 0
    assert told == {"status": "pulled", "model": "org/name", "peer": name}
    where = B if name == "borea" else A
    assert stored.pop(where) == ["org/name", "fake"] and [*stored.values()] == [["fake"]]


@pytest.mark.parametrize("peer", ["atlas", "borea"])
@pytest.mark.parametrize("wait", [True, False])
async def test_what_is_no_name_becomes_no_job(pair: OpenPair, hub: FakeHub, peer: str, wait: bool):
    async with pair(hub=HubConfig(hub.address)) as both:
        status, told = await ordered(both, peer=peer, model="a/b\nERROR forged", wait=wait)
        async with both.client.get("/jobs", params={"fleet": "1"}) as reply:
            jobs = (await reply.json())["jobs"]
    assert (status, told["error"]["code"], jobs) == (400, "invalid_request", [])


async def test_the_revision_that_was_asked_for_is_pulled(pair: OpenPair, hub: FakeHub):
    async with pair(hub=HubConfig(hub.address)) as both:
        await ordered(both, revision="refs/pr/1")
    assert hub.revisions == ["refs/pr/1"]


@pytest.mark.parametrize("peer", ["atlas", "borea"])
async def test_a_pull_is_a_job_that_tells_how_far_it_is_and_can_be_cancelled(
    pair: OpenPair, hub: FakeHub, peer: str
):
    async def hang(name: str) -> None:
        if name == WEIGHTS:
            await asyncio.Event().wait()

    hub.on_file = hang
    async with pair(hub=HubConfig(hub.address)) as both:
        status, job = await ordered(both, peer=peer, wait=False)
        assert (status, job["kind"], job["peer"], job["model"]) == (202, "pull", peer, "org/name")
        assert (await ordered(both, peer=peer, wait=False))[1]["id"] == job["id"]
        told: Any = None
        async with both.client.get(f"/jobs/{job['id']}/events") as reply:
            async for line in reply.content:
                if line.startswith(b"data: ") and (told := json.loads(line[6:]))["total"]:
                    break
        small = sum(map(len, hub.files.values())) - 10_000
        assert (told["stage"], told["done"], told["unit"]) == ("pulling", small, "bytes")
        assert told["total"] == small + 10_000
        async with both.client.delete(f"/jobs/{job['id']}") as reply:
            assert (await reply.json())["state"] == "cancelled"
        hub.on_file = None
        status, told = await ordered(both, peer=peer)
        assert (status, told["status"]) == (200, "pulled")
    assert [name for name, _ in hub.asked].count("config.json") == 1, "what had come was kept"


@pytest.mark.parametrize(
    ("refusal", "body", "status", "code"),
    [
        (404, {}, 404, "model_not_found"),
        (403, {}, 403, "permission_denied"),
        (None, {"model": "../up"}, 400, "invalid_request"),
        (None, {"peer": "nobody"}, 404, "peer_not_found"),
        (None, {"revision": ""}, 400, "invalid_request"),
    ],
)
async def test_a_pull_that_fails_says_why(
    pair: OpenPair, hub: FakeHub, refusal: int | None, body: dict[str, str], status: int, code: str
):
    if refusal is not None:
        hub.refuses_listing.append((refusal, {}))
    async with pair(hub=HubConfig(hub.address)) as both:
        told_status, told = await ordered(both, **body)
    assert (told_status, told["error"]["code"]) == (status, code)
