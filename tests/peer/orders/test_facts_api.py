"""A peer seen closely, its log, and what happens at it: asked of one peer, told by another."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.api import logs as logs_module
from cortex.peer.gossip.ids import NodeId
from cortex.peer.observing.log_ring import LogLine, LogPage, LogRing
from cortex.peer.onlooker.details import read_detail
from cortex.peer.onlooker.happenings import Happening, read_happening
from cortex.peer.onlooker.log_lines import read_line, read_log

OpenPair = Callable[..., AbstractAsyncContextManager[Any]]
Client = TestClient[Any, Any]
A, B = NodeId(b"a" * 8), NodeId(b"b" * 8)
DEADLINE_S = 30


async def get(client: Client, path: str) -> tuple[int, Any]:
    async with client.get(path) as reply:
        return reply.status, await reply.json()


async def events(reply: ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in reply.content:
        field, _, value = line.decode().strip().partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


async def answer(node: Any) -> None:
    request = ChatRequest(
        "fake", (Message("user", (TextPart("hello"),)),), seed=1, now_s=0, max_tokens=9
    )
    async for _ in node.chat(request):
        pass


def log(to: LogRing, text: str, level: int = logging.INFO, age_s: float = 0.0) -> None:
    record = logging.LogRecord("cortex.peer.node", level, "f", 1, text, (), None)
    record.created = time.time() - age_s
    to.handle(record)


@pytest.mark.parametrize(
    ("word", "node", "name"),
    [("atlas", A, "atlas"), ("borea", B, "borea"), (B.hex(), B, "borea")],
)
async def test_any_peer_is_described_by_itself(
    pair: OpenPair, word: str, node: NodeId, name: str
) -> None:
    async with pair() as both:
        await answer(both.nodes[node])
        status, told = await get(both.client, f"/fleet/peers/{word}")
        other = A if node == B else B
        _, unlike = await get(both.client, f"/fleet/peers/{other.hex()}")
    assert status == 200
    assert set(told) == {
        *("node", "name", "version", "uptime_s", "api", "key_id"),
        *("devices", "rates", "round_trips", "events"),
    }
    detail = read_detail(told)
    assert (detail.node, detail.name) == (node.hex(), name)
    [device] = detail.devices
    [model] = device.models
    assert (device.kind, model.id, model.state) == ("cpu", "fake", "ready")
    assert {part.what for part in model.parts} >= {"weights", "cache"}
    reserved_bytes = sum(part.num_bytes for part in model.parts)
    whole_bytes = reserved_bytes + device.free_bytes + device.foreign_bytes
    assert whole_bytes == device.memory_bytes
    rates = detail.rates
    assert (rates.requests_5m, rates.errors_5m, rates.running, rates.waiting) == (1, 0, 0, 0)
    assert rates.ttft_p50_s is not None and rates.ttft_p50_s <= (rates.ttft_p95_s or 0)
    assert rates.cached_ratio == 0.0
    assert [event.text.split()[0] for event in detail.events] == ["loading", "loaded"]
    assert read_detail(unlike).rates.requests_5m == 0


async def test_a_peer_has_been_up_while_its_machine_slept_too(
    pair: OpenPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_s = 100.0
    monkeypatch.setattr("cortex.peer.orders.teller.lasting_s", lambda: passed_s)
    async with pair() as both:
        passed_s += 7 * 86_400
        _, told = await get(both.client, "/fleet/peers/atlas")
    assert told["uptime_s"] == 7 * 86_400


async def test_what_is_wrong_with_a_name_is_said(pair: OpenPair) -> None:
    async with pair() as both:
        status, told = await get(both.client, "/fleet/peers/boera")
        assert (status, told["error"]["code"]) == (404, "peer_not_found")
        assert "did you mean borea?" in told["error"]["message"]
        both.membership.change(B, state="dead")
        status, told = await get(both.client, "/fleet/peers/borea")
        assert (status, "'borea' is gone" in told["error"]["message"]) == (404, True)


@pytest.mark.parametrize("path", ["/fleet/peers/borea", "/logs?peer=borea"])
async def test_a_peer_that_does_not_answer_is_named(pair: OpenPair, path: str) -> None:
    async with pair() as both:
        await both.runner.cleanup()
        status, told = await get(both.client, path)
        assert (status, told["error"]["code"]) == (502, "host_refused")
        assert "'borea' cannot be reached" in told["error"]["message"]
    async with pair(is_old=True) as both:
        status, told = await get(both.client, path)
        assert (status, told["error"]["code"]) == (502, "host_refused")
        assert "update it" in told["error"]["message"]


async def test_lines_are_as_old_as_the_clock_of_their_peer_says_and_not_the_askers(
    pair: OpenPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = SimpleNamespace(time=lambda: time.time() + 7200.0)
    monkeypatch.setattr(logs_module, "time", ahead)
    async with pair() as both:
        log(both.logs[B], "lately", age_s=60.0)
        _, told = await get(both.client, "/logs?peer=borea")
    assert [line["text"] for line in told["lines"]] == ["lately"]


@pytest.mark.parametrize(("query", "node"), [("", A), ("peer=borea", B)])
async def test_the_log_of_any_peer_is_told_by_level_and_age(
    pair: OpenPair, query: str, node: NodeId
) -> None:
    async with pair() as both:
        log(both.logs[node], "long ago", age_s=3600.0)
        log(both.logs[node], "lately", age_s=60.0)
        log(both.logs[node], "trouble", logging.WARNING)
        status, told = await get(both.client, f"/logs?{query}")
        _, older = await get(both.client, f"/logs?{query}&since_s=7200")
        _, graver = await get(both.client, f"/logs?{query}&level=warning")
    page = read_log(told)
    assert (status, page.peer, page.skipped) == (200, "atlas" if node == A else "borea", 0)
    assert [(line.level, line.source, line.text) for line in page.lines] == [
        ("info", "peer.node", "lately"),
        ("warning", "peer.node", "trouble"),
    ]
    assert [line["text"] for line in older["lines"]] == ["long ago", "lately", "trouble"]
    assert [line["text"] for line in graver["lines"]] == ["trouble"]


async def test_a_long_log_comes_whole_over_several_pages(pair: OpenPair) -> None:
    async with pair() as both:
        for number in range(190):
            log(both.logs[B], f"{number} " + "x" * 2000)
        _, told = await get(both.client, "/logs?peer=borea")
    assert [line["text"].split()[0] for line in told["lines"]] == [str(n) for n in range(190)]


class Endless:
    """A megabyte of lines for every time that somebody asks, and always more to come."""

    def __init__(self, *, goes_on: bool) -> None:
        self._numbers = itertools.count(1) if goes_on else itertools.repeat(1)

    def __iter__(self) -> Iterator[LogPage]:
        number = next(self._numbers)
        line = LogLine(number, time.time(), "info", "peer.node", "x" * 1_000_000)
        yield LogPage((line,), number, is_last=False)


@pytest.mark.parametrize(("goes_on", "num_lines"), [(True, 5), (False, 2)])
async def test_a_peer_whose_log_has_no_end_is_not_heard_out(
    pair: Callable[..., Any], goes_on: bool, num_lines: int
) -> None:
    async with pair(borea_says=Endless(goes_on=goes_on)) as both:
        status, told = await get(both.client, "/logs?peer=borea")
    assert (status, len(told["lines"])) == (200, num_lines)


async def test_a_followed_log_goes_on_with_what_comes(pair: OpenPair) -> None:
    async with pair() as both:
        log(both.logs[B], "before")
        async with both.client.get("/logs?peer=borea&follow=1") as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            told = events(reply)
            name, line = await anext(told)
            assert (name, read_line(line).text) == ("line", "before")
            for number in range(300):
                log(both.logs[B], f"line {number}")
            log(both.logs[B], "grave", logging.ERROR)
            heard: list[tuple[str, Any]] = []
            while not heard or heard[-1][1].get("text") != "grave":
                heard.append(await anext(told))
            lines = [what["text"] for name, what in heard if name == "line"]
            skipped = sum(what["count"] for name, what in heard if name == "skipped")
            # The second may have turned in the middle of it.
            assert len(lines) + skipped == 301 and len(lines) >= 200
            await both.runner.cleanup()
            rest = [one async for one in told]
    [(name, what)] = rest
    assert (name, what["error"]["code"]) in (("error", "host_lost"), ("error", "host_refused"))


async def test_a_line_that_is_asked_for_late_is_not_too_old_for_who_follows(pair: OpenPair) -> None:
    async with pair() as both:
        log(both.logs[B], "before", age_s=10.0)
        async with both.client.get("/logs?peer=borea&follow=1&since_s=30") as reply:
            told = events(reply)
            assert (await anext(told))[1]["text"] == "before"
            log(both.logs[B], "late", age_s=60.0)
            async with asyncio.timeout(DEADLINE_S):
                assert (await anext(told))[1]["text"] == "late"


async def test_a_followed_log_ends_when_its_peer_or_its_reader_does(pair: OpenPair) -> None:
    async with pair() as both, both.client.get("/logs?follow=1") as reply:
        told = events(reply)
        log(both.logs[A], "one")
        assert (await anext(told))[1]["text"] == "one"
        await both.client.server.app.shutdown()
        assert [one async for one in told] == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("level=loud", "'loud' is no level"),
        ("since_s=-1", "'-1' is no number of seconds"),
        ("since_s=nan", "'nan' is no number"),
        ("since_s=x", "'x' is no number"),
        ("follow=2", "neither 1 nor 0"),
        ("peer=boera", "did you mean borea?"),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(
    pair: OpenPair, query: str, said: str
) -> None:
    async with pair() as both:
        status, told = await get(both.client, f"/logs?{query}")
    assert status in (400, 404)
    assert said in told["error"]["message"]


async def test_a_log_wants_an_admin_key_of_who_comes_through_a_proxy(pair: OpenPair) -> None:
    async with pair() as both, both.client.get("/logs", headers={"via": "1.1 x"}) as reply:
        assert reply.status == 401


async def happenings(reply: ClientResponse, number: int) -> list[Happening]:
    """The next ones of a stream."""
    told: list[Happening] = []
    async for name, what in events(reply):
        if name == "happening":
            told.append(read_happening(what))
        if len(told) == number:
            break
    return told


async def test_what_happens_at_any_peer_is_told_to_who_watches_the_fleet(pair: OpenPair) -> None:
    async with pair() as both:
        both.nodes[B].chronicle.add("unloaded", "unloaded before anybody looked", "fake")
        async with both.client.get("/fleet/events") as reply:
            await anext(events(reply))
            await _until_heard(both)
            await answer(both.nodes[B])
            told = await happenings(reply, 3)
            assert [(one.peer, one.what, one.model) for one in told] == [
                ("borea", "unloaded", "fake"),
                ("borea", "loading", "fake"),
                ("borea", "loaded", "fake"),
            ]
            # Each peer tells of others as it sees them, and of that only to its own onlookers.
            both.nodes[B].chronicle.add("dead", "is gone", about="cirrus")
            both.nodes[B].chronicle.add("unloaded", "unloaded fake as asked", "fake")
            [one] = await happenings(reply, 1)
            assert (one.peer, one.what) == ("borea", "unloaded")
            both.nodes[A].chronicle.add("suspect", "has not answered for 3 s", about="borea")
            [one] = await happenings(reply, 1)
            assert (one.peer, one.what, one.model) == ("borea", "suspect", "")
            assert abs(one.time_s - time.time()) < 60


async def test_nobody_is_asked_while_nobody_watches(pair: OpenPair) -> None:
    async with pair() as both:
        async with both.client.get("/fleet/events") as reply:
            await anext(events(reply))
            await _until_heard(both)
        while _is_heard(both.nodes[B]):  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


async def _until_heard(both: Any) -> None:
    while not all(map(_is_heard, both.nodes.values())):  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0.01)


def _is_heard(node: Any) -> bool:
    return bool(node.chronicle._watchers)
