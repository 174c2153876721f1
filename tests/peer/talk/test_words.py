"""Waits in few words."""

from __future__ import annotations

import pytest

from cortex.engine.stream import Stage
from cortex.peer.talk.words import in_short

MB = 1_000_000


@pytest.mark.parametrize(
    ("stage", "per_s", "words"),
    [
        (Stage("queued", 3, 0, "place"), None, "waiting, place 3"),
        (Stage("loading", 74 * MB, 100 * MB, "bytes", 3.2), None, "loading m 74 %, ~3 s"),
        (Stage("loading", 74 * MB, 100 * MB, "bytes"), 13.0 * MB, "loading m 74 %, ~2 s"),
        (Stage("prefill", 41, 100, "tokens"), None, "reading 100 tokens, 41 %"),
        (Stage("preparing"), None, "preparing"),
        (Stage("defragmenting"), None, "tidying its memory"),
    ],
)
def test_a_stage_is_told_with_what_is_known_of_it(
    stage: Stage, per_s: float | None, words: str
) -> None:
    assert in_short(stage, "m", per_s) == words
