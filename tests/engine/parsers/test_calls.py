"""The names of tool calls: the same wherever an answer is made, and soon made of a long prompt."""

from __future__ import annotations

import hashlib
import sys

from cortex.engine.parsers.calls import CallIds


def spelled_out(seed: int, token_ids: tuple[int, ...], index: int) -> str:
    digest = hashlib.blake2b(b"%d:" % seed, digest_size=12)
    digest.update(b"".join(token_id.to_bytes(4, "big") for token_id in token_ids))
    digest.update(b"%d" % index)
    return f"call_{digest.hexdigest()}"


def test_a_call_is_named_after_the_seed_the_prompt_and_its_place() -> None:
    name = CallIds(7, (1, 2, 300_000))
    assert [name(0), name(1)] == [spelled_out(7, (1, 2, 300_000), index) for index in (0, 1)]
    assert len({name(0), name(1), CallIds(8, (1, 2, 300_000))(0), CallIds(7, (1, 2))(0)}) == 4


def test_a_long_prompt_is_taken_whole_and_not_token_by_token() -> None:
    assert num_calls_to_name(tuple(range(20_000))) == num_calls_to_name((1, 2))


def num_calls_to_name(token_ids: tuple[int, ...]) -> int:
    """How many functions, Python's own too, are called for the first name."""
    name, events = CallIds(7, token_ids), list[str]()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, arg: events.append(event))
    try:
        name(0)
    finally:
        sys.setprofile(before)
    return sum(event in ("call", "c_call") for event in events)
