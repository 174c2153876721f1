"""Answers wanted of one prompt come together, share it, and are each their own."""

from __future__ import annotations

import pytest
from msgspec import Raw

from cortex.engine.arrival import arrivals
from cortex.engine.frames import FrameError, pack_value
from cortex.engine.generation import choice_sampling
from cortex.engine.messages import Generate, Wanted
from cortex.engine.types import PreparedImage, Prompt, Sampling

SAMPLING = Sampling(seed=7)
PICTURE = PreparedImage(bytes(32), (1, 2, 2), memoryview(bytes(12)))
PROMPT = Prompt((1, 2, 3), (), (PICTURE,), SAMPLING, 12, (), ())
WANTED = (Wanted("r.0", 1), Wanted("r.2", 3, (8, 9), choice=2))


def test_every_answer_has_its_own_noise_and_all_have_the_same_pictures() -> None:
    one, other = arrivals(Generate("m", WANTED, Raw(pack_value(PROMPT))))

    assert [one.key, other.key] == [("r.0", 1), ("r.2", 3)]
    assert [one.prompt().sampling, other.prompt().sampling] == [
        choice_sampling(SAMPLING, choice) for choice in (0, 2)
    ]
    assert one.prompt().images == (PICTURE,)
    assert one.prompt().images is other.prompt().images


def test_what_is_no_prompt_is_none_for_each_of_them() -> None:
    for arrival in arrivals(Generate("m", WANTED, Raw(pack_value(SAMPLING)))):
        with pytest.raises(FrameError, match="Prompt"):
            arrival.prompt()
