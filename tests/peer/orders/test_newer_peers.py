"""What a peer of another version reports, read by one of this."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from cortex.peer.errors import HostUnread
from cortex.peer.gossip.ids import NodeId
from cortex.peer.hop.calls import OrderCall
from cortex.peer.orders.values import Done, Job

OpenPair = Callable[..., AbstractAsyncContextManager[Any]]
B = NodeId(b"b" * 8)
RUNNING = Job(f"job_{B.hex()}_2", B, "drain", "running", "fake")
RESTING = Job(f"job_{B.hex()}_1", B, "dream", "resting", "fake")


async def test_a_job_in_a_state_that_only_newer_peers_know_is_told_and_ends_no_connection(
    pair: OpenPair,
):
    async with pair(borea_says=(RESTING,)) as both:
        async with both.client.get(f"/jobs/{RESTING.id}") as reply:
            job = await reply.json()
        assert (reply.status, job["kind"], job["state"]) == (200, "dream", "resting")
        async with both.client.get(f"/jobs/{RESTING.id}/events") as reply:
            assert (await reply.text()).count('"state":"resting"') == 1
        async with both.client.post("/drain", json={"peer": "borea"}) as reply:
            assert (reply.status, (await reply.json())["job"]["state"]) == (202, "resting")
        load = {"model": "fake", "peer": "borea"}
        async with both.client.post("/models/load", json=load) as reply:
            assert (reply.status, (await reply.json())["error"]["code"]) == (502, "host_lost")
        assert both.lost == []


class Dreamt(msgspec.Struct, tag="dreamt"):
    """A report of a kind that is not known here."""


async def test_a_report_that_only_newer_peers_know_hides_none_of_the_others(pair: OpenPair):
    done = msgspec.structs.replace(RUNNING, state="done")
    async with pair(borea_says=(RUNNING, Dreamt(), done)) as both:
        async with both.client.get(f"/jobs/{RUNNING.id}/events") as reply:
            told = await reply.text()
        assert '"state":"done"' in told and "event: error" not in told
        assert both.lost == []


async def test_an_order_whose_end_only_newer_peers_know_is_not_told_as_running_at_its_end(
    pair: OpenPair,
):
    async with pair(borea_says=(RUNNING, Dreamt())) as both:
        async with both.client.get(f"/jobs/{RUNNING.id}/events") as reply:
            told = await reply.text()
        *_, last = told.strip().split("\n\n")
        assert "event: error" in last and "host_unread" in last and "'borea'" in last
        assert "it runs a newer cortex: update this one" in last
        assert both.lost == []


async def test_a_peer_that_begins_with_what_is_not_known_here_is_there_and_this_one_to_be_updated(
    pair: OpenPair,
):
    async with pair(borea_says=(Dreamt(), RUNNING)) as both:
        async with both.client.post("/drain", json={"peer": "borea"}) as reply:
            error = (await reply.json())["error"]
        assert (reply.status, error["code"]) == (502, "host_unread")
        assert "'borea'" in error["message"] and "lost" not in error["message"]
        assert error["message"].endswith("it runs a newer cortex: update this one")
        assert both.lost == []


async def test_what_still_comes_of_an_order_that_was_given_up_is_not_how_it_ended():
    call = OrderCall()
    call.end(HostUnread("peer answers in words that are not known here"))
    call.hear(RUNNING)
    call.hear(None)
    with pytest.raises(HostUnread):
        await call.next()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/jobs/{RESTING.id}", None),
        ("GET", f"/jobs/{RESTING.id}/events", None),
        ("DELETE", f"/jobs/{RESTING.id}", None),
        ("GET", "/fleet/peers/borea", None),
        ("GET", "/logs?peer=borea", None),
        ("POST", "/drain", {"peer": "borea"}),
        ("POST", "/models/load", {"model": "fake", "peer": "borea"}),
    ],
)
async def test_a_report_of_the_wrong_kind_is_an_error_that_names_the_peer(
    pair: OpenPair, method: str, path: str, body: dict[str, str] | None
) -> None:
    async with (
        pair(borea_says=(Done(),)) as both,
        both.client.request(method, path, json=body) as reply,
    ):
        error = (await reply.json())["error"]
    assert (reply.status, error["code"]) == (502, "host_lost")
    assert "borea" in error["message"]
