"""Streams of several kinds of endpoints, read against a clock that the test turns."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from cortex.peer.measure.reading import TimelineReader, name_error, read_timeline
from cortex.peer.measure.timeline import Arrival, Timeline


class Script:
    """Lines that come at given times; its clock shows the time of the last one."""

    def __init__(self, *lines: tuple[float, dict[str, Any] | str]) -> None:
        self._lines = lines
        self._now_s = 0.0

    def clock(self) -> float:
        return self._now_s

    async def lines(self) -> AsyncGenerator[bytes]:
        for at_s, line in self._lines:
            self._now_s = at_s
            text = line if isinstance(line, str) else f"data: {json.dumps(line)}"
            yield f"{text}\n".encode()

    async def read(self) -> Timeline:
        return await read_timeline(self.lines(), self.clock, TimelineReader(sent_s=0.0))


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": None, **fields}]}


def delta(**fields: Any) -> dict[str, Any]:
    return choice(delta=fields)


DONE = "data: [DONE]"


async def test_the_first_token_is_the_first_text_not_the_first_line() -> None:
    script = Script(
        (0.1, ": keep-alive"),
        (0.2, delta(role="assistant", content="")),
        (0.5, delta(content="a")),
        (0.7, delta(content="b")),
        (0.9, choice(delta={}, finish_reason="length")),
        (1.0, DONE),
    )
    seen = await script.read()
    assert seen.arrivals == (Arrival(0.5), Arrival(0.7))
    assert (seen.ttft_s, seen.end_to_end_s, seen.ended_s, seen.error) == (0.5, 0.7, 1.0, "")
    assert not seen.has_token_ids


async def test_reasoning_counts_like_what_is_said() -> None:
    script = Script((0.3, delta(reasoning_content="hm")), (0.4, delta(content="yes")), (0.5, DONE))
    assert len((await script.read()).arrivals) == 2


async def test_token_ids_count_tokens_even_where_no_text_is_complete_yet() -> None:
    script = Script(
        (0.1, choice(text="", token_ids=[7])),
        (0.2, choice(text="é!", token_ids=[8, 9])),
        (0.3, choice(text="", finish_reason="length")),
        (0.4, DONE),
    )
    seen = await script.read()
    assert seen.arrivals == (Arrival(0.1, 1), Arrival(0.2, 2))
    assert (seen.token_ids, seen.text) == ((7, 8, 9), "é!")
    assert seen.has_token_ids


async def test_text_held_back_until_the_end_is_no_further_token() -> None:
    script = Script(
        (0.1, choice(text="a", token_ids=[7])),
        (0.2, choice(text="b", finish_reason="stop")),
    )
    seen = await script.read()
    assert seen.arrivals == (Arrival(0.1, 1),)
    assert seen.has_token_ids


async def test_usage_gives_the_endpoints_own_counts() -> None:
    usage = {
        "prompt_tokens": 90,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    script = Script((0.1, choice(text="abc")), (0.2, {"choices": [], "usage": usage}), (0.3, DONE))
    seen = await script.read()
    assert (seen.prompt_tokens, seen.completion_tokens, seen.cached_tokens) == (90, 3, 64)
    assert seen.output_tokens == 3


async def test_a_stream_that_ends_early_broke_off() -> None:
    seen = await Script((0.1, choice(text="a"))).read()
    assert seen.error == "broke off before its end"
    assert not seen.is_answered


async def test_an_error_in_the_stream_is_named_by_its_code() -> None:
    error = {"error": {"message": "what the user wrote", "code": "engine_failed"}}
    seen = await Script((0.1, choice(text="a")), (0.2, error)).read()
    assert seen.error == "engine_failed"


async def test_lines_that_make_no_sense_are_passed_over() -> None:
    seen = await Script((0.1, "data: {"), (0.2, "data: [1]"), (0.3, "hello"), (0.4, DONE)).read()
    assert (seen.arrivals, seen.error) == ((), "")


def test_an_error_is_named_by_status_and_code_and_never_by_its_message() -> None:
    assert name_error({"error": {"message": "m", "code": "overloaded"}}, 503) == (
        "status 503 overloaded"
    )
    assert name_error({"error": {"message": "m", "code": 503}}, 503) == "status 503"
    assert name_error({"error": "words"}, 500) == "status 500"
