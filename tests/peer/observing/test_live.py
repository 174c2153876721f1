"""Requests under way: what is known of each, and how one is ended."""

from __future__ import annotations

import asyncio

import pytest

from cortex.engine.stream import (
    Accepted,
    Began,
    Event,
    Finished,
    Piece,
    Stage,
    TextDelta,
    Usage,
    Vector,
)
from cortex.peer.errors import RequestCancelled
from cortex.peer.observing.live import LiveRequest, LiveRequests


def a_request(request_id: str = "req_1") -> LiveRequest:
    return LiveRequest(request_id, "openai", "-", 10.0)


def note(live: LiveRequest, *events: Event | Vector) -> None:
    for event in events:
        live.note(event, lambda: 12.5)


def test_what_becomes_of_a_request_is_counted() -> None:
    live = a_request()
    note(live, Stage("loading", 1, 4), Accepted(7, (), 100))
    assert live.stage == Stage("loading", 1, 4)
    assert live.first_token_s is None
    note(live, Piece((TextDelta("a"),), (1, 2)), Piece((TextDelta("b"),), (3,)))
    assert live.stage is None
    assert live.first_token_s == 2.5
    note(live, Finished("length", Usage(7, 3, 4)))
    assert (live.prompt_tokens, live.cached_tokens, live.completion_tokens) == (7, 4, 3)
    assert live.spent_tokens == 10
    assert live.ending == "length"


def test_what_was_remembered_is_known_while_the_prompt_is_read() -> None:
    live = a_request()
    note(live, Accepted(70, (), 100), Stage("prefill", 48, 70, "tokens", cached_tokens=40))
    assert (live.known_cached_tokens, live.cached_tokens) == (40, 0)
    # Another choice of it has found what the first one read.
    note(live, Piece((), (1,)), Stage("prefill", 70, 70, "tokens", cached_tokens=69))
    assert live.known_cached_tokens == 40
    note(live, Finished("stop", Usage(70, 1, 38)))
    assert live.known_cached_tokens == 38


def test_choices_of_one_prompt_count_their_tokens_and_the_prompt_once() -> None:
    live = a_request()
    note(
        live,
        Accepted(7, (), 100),
        Piece((), (1,), choice=0),
        Piece((), (1,), choice=1),
        Finished("stop", Usage(7, 1, 2), 0),
        Finished("length", Usage(7, 1, 7), 1),
    )
    assert (live.prompt_tokens, live.cached_tokens, live.completion_tokens) == (7, 2, 2)
    assert live.ending == "stop"


def test_a_request_waits_until_an_engine_reads_its_prompt() -> None:
    live, now_s = a_request(), 10.0
    waits: list[float | None] = []
    for event in (
        *(Accepted(7, (), 100), Began("here", is_cold=True), Stage("queued", 3, 3, "place")),
        *(Stage("prefill", 0, 7, "tokens"), Stage("starting"), Began("there"), Piece((), (1,))),
    ):
        now_s += 1
        live.note(event, lambda now_s=now_s: now_s)
        waits.append(live.queue_s)
    assert waits == [None, None, None, 3, 3, 3, 3]
    assert live.start == "cold", "as it began, whatever came of its engine"


def test_what_its_client_was_told_is_an_answer_or_an_error_or_nothing() -> None:
    live = a_request()
    assert not live.is_answered
    note(live, Accepted(7, (), 100), Finished("stop", Usage(7, 1)))
    assert live.is_answered
    live.failed("engine_failed", 502)  # another of its choices did
    assert (live.ending, live.error_status, live.is_answered) == ("engine_failed", 502, False)
    live.left()
    assert (live.ending, live.error_status, live.is_answered) == ("left", None, False)


def test_requests_are_listed_while_they_last() -> None:
    requests, first, second = LiveRequests(), a_request("a"), a_request("b")
    with requests.entered(first):
        with requests.entered(second):
            assert list(requests) == [first, second]
            assert requests.get("b") is second
        assert list(requests) == [first]
        assert requests.get("b") is None


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def test_a_cancelled_request_ends_with_an_error_that_says_so() -> None:
    live = a_request()
    asyncio.get_running_loop().call_soon(live.cancel)
    with pytest.raises(RequestCancelled):
        async with live.cancellable():
            await never()


async def test_the_innermost_block_is_what_a_cancel_ends() -> None:
    live = a_request()
    ended = "nothing"
    async with live.cancellable():
        asyncio.get_running_loop().call_soon(live.cancel)
        try:
            async with live.cancellable():
                await never()
        except RequestCancelled:
            ended = "the inner block"
    assert ended == "the inner block"


async def test_a_cancel_between_two_blocks_ends_the_next() -> None:
    live = a_request()
    live.cancel()
    with pytest.raises(RequestCancelled):
        async with live.cancellable():
            await never()


async def test_a_reply_that_has_begun_is_ended_only_where_it_can_be() -> None:
    live = a_request()
    async with live.cancellable():
        with live.shielded():
            live.cancel()
            await asyncio.sleep(0)
            with pytest.raises(RequestCancelled):
                async with live.cancellable():
                    await never()
            await asyncio.sleep(0)


async def test_the_clients_going_is_no_cancel() -> None:
    live = a_request()

    async def work() -> None:
        async with live.cancellable():
            await never()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_limit_inside_is_no_cancel() -> None:
    with pytest.raises(TimeoutError):
        async with a_request().cancellable():
            raise TimeoutError
