"""A plan as people read it."""

from __future__ import annotations

from typing import Any

from cortex.peer.onlooker.plan_pictures import read_planned
from cortex.peer.onlooker.plan_wording import plan_lines

GIB = 1 << 30


def place(peer: str, **fields: Any) -> dict[str, Any]:
    return {"peer": peer, "device": 0, "device_name": "cuda:0", **fields}


def plan(peer: str, **fields: Any) -> dict[str, Any]:
    told = {
        "is_there": False,
        "context_tokens": 8192,
        "slots": 4,
        "bytes": 6 * GIB,
        "parts": [
            {"name": "weights", "bytes": 4 * GIB, "note": ""},
            {"name": "keys and values", "bytes": 2 * GIB, "note": "for 4 of 8,192 tokens"},
            {"name": "recurrent states", "bytes": 0, "note": ""},
        ],
        "free_bytes": 4 * GIB,
        "victims": [],
        "free_after_bytes": -2 * GIB,
        "seconds": None,
    }
    return place(peer, **(told | fields))


def refusal(peer: str, words: str, **fields: Any) -> dict[str, Any]:
    told = {"reason": "pinned", "words": words, "wait_s": None}
    return place(peer, **(told | fields))


def lines(**fields: Any) -> list[str]:
    told: dict[str, Any] = {"model": "qwen", "plan": None, "others": [], "refusals": []}
    return list(plan_lines(read_planned(told | fields)))


def test_plan_is_a_sum_with_what_goes_and_why_not_elsewhere() -> None:
    victim = {"id": "gemma", "bytes": 12 * GIB, "idle_s": 240.0, "reload_s": 9.5}
    unknown = {"id": "tiny", "bytes": GIB // 2, "idle_s": 0.0, "reload_s": None}
    chosen = plan(
        "beast", victims=[victim, unknown], seconds=12.3, free_after_bytes=10 * GIB + GIB // 2
    )
    other = plan("mini", seconds=40.0, victims=[victim])
    full = refusal("tower", "3.1 GiB short: 'x' is pinned")
    new = {**refusal("attic", "2.0 GiB short: 'y' has only just come"), "wait_s": 12.0}
    assert lines(plan=chosen, others=[other], refusals=[full, new]) == [
        "'qwen' would be loaded on beast, cuda:0 (0), in about 12s.",
        "",
        "weights            4.0 GiB",
        "keys and values    2.0 GiB  for 4 of 8,192 tokens",
        "in all             6.0 GiB  8,192 tokens of context, 4 at a time",
        "free before        4.0 GiB",
        "gemma goes        12.0 GiB  idle for 4m; 9.5s to bring back",
        "tiny goes        512.0 MiB  idle for 0.0s",
        "free after        10.5 GiB",
        "",
        "ELSEWHERE",
        "mini, cuda:0 (0)   could, without gemma, in about 40s",
        "tower, cuda:0 (0)  3.1 GiB short: 'x' is pinned",
        "attic, cuda:0 (0)  2.0 GiB short: 'y' has only just come; ask again in 12s",
    ]


def test_model_that_is_there_needs_no_sum() -> None:
    assert lines(plan=plan("beast", is_there=True, seconds=0.0)) == [
        "'qwen' is on beast, cuda:0 (0): nothing has to be done."
    ]


def test_peer_as_a_whole_is_named_without_a_device() -> None:
    away = {**refusal("attic", "it is draining"), "device": None, "device_name": None}
    assert lines(refusals=[away]) == [
        "'qwen' has no place now.",
        "",
        "ELSEWHERE",
        "attic      it is draining",
    ]


def test_peers_without_the_model_are_one_line() -> None:
    without = [refusal(f"p{n}", "not on its disk", reason="absent") for n in range(5)]
    assert lines(refusals=without)[-1] == "p0, p1, p2, 2 more  not on its disk"
    assert lines(refusals=without[:1])[-1] == "p0         not on its disk"
