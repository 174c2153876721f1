"""Models, jobs, requests and plans out of a peer's JSON, of which nothing is believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.job_pictures import read_job, read_jobs
from cortex.peer.onlooker.model_pictures import read_models
from cortex.peer.onlooker.plan_pictures import read_planned
from cortex.peer.onlooker.request_pictures import RequestPicture, read_requests
from cortex.peer.onlooker.request_wording import detail, stage
from cortex.peer.onlooker.understanding import understood

Read = Callable[[Mapping[str, Any]], object]
PLACE: dict[str, Any] = {"peer": "a", "device": 0, "device_name": None}
PLAN: dict[str, Any] = {
    **PLACE,
    "is_there": False,
    "context_tokens": 1,
    "slots": 1,
    "bytes": 1,
    "parts": [{"name": "weights", "bytes": 1, "note": ""}],
    "free_bytes": 1,
    "victims": [{"id": "m", "bytes": 1, "idle_s": 0.5, "reload_s": None}],
    "free_after_bytes": -1,
    "seconds": None,
}
REFUSAL: dict[str, Any] = {**PLACE, "reason": "busy", "words": "it works", "wait_s": 3.0}
WARM: dict[str, Any] = {"peer": "a", "device": 0, "state": "ready", "percent": None}
MODEL: dict[str, Any] = {
    "id": "m",
    "weights": None,
    "size_bytes": 1,
    "context_tokens": 1,
    "warm": [WARM],
    "cold": [{"peer": "b", "eta_s": 2.0}],
}
REQUEST: dict[str, Any] = {
    "id": "r",
    "peer": "a",
    "host": "b",
    "model": None,
    "stage": "decode",
    "prompt_tokens": 3,
    "cached_tokens": 2,
    "completion_tokens": 5,
    "seconds": 3.0,
    "first_token_s": 1.0,
    "queue_s": 0.5,
    "start": "cold",
    "evicted": ["old"],
    "failovers": 2,
}
JOB: dict[str, Any] = {
    "id": "j",
    "kind": "load",
    "state": "failed",
    "peer": "a",
    "model": "m",
    "error": {"code": "x", "message": "no", "hint": ""},
}
WHOLE: list[tuple[Read, dict[str, Any]]] = [
    (read_models, {"models": [MODEL]}),
    (read_jobs, {"jobs": [JOB]}),
    (read_job, JOB),
    (read_requests, {"requests": [REQUEST], "missing": [{"peer": "c", "error": {"message": "x"}}]}),
    (read_planned, {"model": "m", "plan": PLAN, "others": [PLAN], "refusals": [REFUSAL]}),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where anything stands in it."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    elif isinstance(value, list):
        inner = list(enumerate(value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def put(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    key, *rest = at
    copied = value.copy()
    copied[key] = put(value[key], tuple(rest), new)
    return copied


@pytest.mark.parametrize(("read", "whole"), WHOLE)
@given(data=st.data())
def test_whatever_stands_anywhere_is_a_value_or_a_refusal(
    read: Read, whole: dict[str, Any], data: st.DataObject
) -> None:
    read(whole)
    at = data.draw(st.sampled_from(places(whole)[1:]))
    try:
        read(put(whole, at, data.draw(JSON)))
    except ValueError:
        return


@pytest.mark.parametrize(("read", "whole"), WHOLE)
def test_an_empty_object_is_refused_and_unknown_fields_are_passed_over(
    read: Read, whole: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="it has no"):
        read({})
    assert read(whole | {"newer": 1}) == read(whole)


def test_what_cannot_be_read_is_told_as_a_peer_of_another_version() -> None:
    with pytest.raises(NoPeer, match=r"cannot be read \(it has no 'models'\)"):
        understood(read_models, {})


def test_no_text_of_a_peer_moves_the_cursor() -> None:
    [model] = read_models({"models": [MODEL | {"id": "a\x1b[2Jb\nc"}]})
    assert model.id == "a[2Jbc"


def test_bytes_that_are_left_may_be_less_than_none() -> None:
    planned = read_planned({"model": "m", "plan": PLAN, "others": [], "refusals": []})
    assert planned.plan is not None and planned.plan.free_after_bytes == -1


@pytest.mark.parametrize(
    ("plan", "refusals", "where"),
    [
        (None, [REFUSAL], "a"),
        (None, [REFUSAL | {"reason": "pinned"}], None),
        (None, [REFUSAL | {"wait_s": None}, REFUSAL | {"peer": "b", "wait_s": 9.0}], "b"),
        (None, [REFUSAL, REFUSAL | {"peer": "b", "reason": "new", "wait_s": 1.0}], "b"),
        (PLAN, [REFUSAL], None),
        (None, [], None),
    ],
)
def test_a_load_waits_where_it_would_begin_soonest(
    plan: Any, refusals: list[Any], where: str | None
) -> None:
    told = {"model": "m", "plan": plan, "others": [], "refusals": refusals}
    assert read_planned(told).waits_at == where


def request(**changes: Any) -> RequestPicture:
    return read_requests({"requests": [REQUEST | changes]}).requests[0]


def test_a_pace_is_that_of_what_came_after_the_first_token() -> None:
    assert request().tokens_per_s == 2.0
    assert request(completion_tokens=1).tokens_per_s is None
    assert request(first_token_s=None).tokens_per_s is None
    assert request(first_token_s=3.0).tokens_per_s is None


def test_a_request_is_told_in_full() -> None:
    assert list(detail(request(dialect="anthropic"))) == [
        "its model is not known yet, decode, for 3.0s",
        "came to a, answered by b, in the anthropic dialect",
        "prompt 3 tokens (2 reused), answer 5 so far",
        "first token after 1.00s, since then 2 tok/s",
        "waited 0.5s to be read; the model had to be loaded",
        "old had to go for it",
        "asked again 2 times: a host was lost, or could not take it",
    ]
    old: dict[str, Any] = {
        "first_token_s": None,
        "queue_s": None,
        "start": None,
        "evicted": [],
        "failovers": None,
        "cached_tokens": None,
    }
    assert len(told := list(detail(request(**old)))) == 3
    assert told[2] == "prompt 3 tokens, answer 5 so far"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"stage": "queued", "done": 2}, "waiting #2"),
        ({"stage": "queued"}, "waiting"),
        ({"stage": "loading", "done": 3, "total": 4}, "loading 75%"),
        ({"stage": "prefill", "done": 9, "total": 4}, "prefill 100%"),
        ({"stage": "decode"}, "decode"),
    ],
)
def test_a_stage_is_told_with_how_far_it_is(told: dict[str, Any], words: str) -> None:
    assert stage(request(**told)) == words
