"""The names of tool calls: the same wherever an answer is made, and soon made of a long prompt."""

from __future__ import annotations

import hashlib
import time

from cortex.engine.parsers.calls import CallIds

LONG_PROMPT = tuple(range(200_000))


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
    def seconds(name: CallIds | None) -> float:
        begun_s = time.process_time()
        _ = spelled_out(7, LONG_PROMPT, 0) if name is None else name(0)
        return time.process_time() - begun_s

    one_by_one_s = min(seconds(None) for _ in range(3))
    assert min(seconds(CallIds(7, LONG_PROMPT)) for _ in range(3)) < one_by_one_s / 2
