"""Answers that begin again: what is known of them is read, or fed, and it is told how far."""

from __future__ import annotations

from dataclasses import replace

from cortex.engine.models.base import ServableModel
from cortex.engine.serving import Capacity
from cortex.engine.stream import Stage
from cortex.engine.types import Prompt, Sampling
from tests.engine.asking import ROOMY, Asked, opened, prompt_of

SMALL_CHUNKS = replace(ROOMY, grid_tokens=8)
DRAWN = Sampling(seed=5, temperature=1.0)


def played(
    model: ServableModel, capacity: Capacity = SMALL_CHUNKS, *, is_exact: bool, **prompts: Prompt
) -> Asked:
    """Without room for copies."""
    line = opened(model, capacity, 0, is_exact=is_exact)
    for name, prompt in prompts.items():
        line.add(name, prompt)
    return line


def stages(line: Asked) -> list[Stage]:
    """What was told of reading."""
    return [event.stage for event in line.waiting("prefill")]


def answers(model: ServableModel, **prompts: Prompt) -> dict[str, list[int]]:
    line = played(model, SMALL_CHUNKS, is_exact=True, **prompts)
    line.run()
    return line.answers


def test_in_fast_mode_what_is_known_of_an_answer_is_read_like_its_prompt(
    golden_model: ServableModel,
) -> None:
    prompt = prompt_of([*range(1, 60)], max_tokens=16, sampling=DRAWN)
    whole = answers(golden_model, one=prompt)["one"]
    line = played(golden_model, is_exact=False)
    line.add("one", prompt, resume=tuple(whole[:13]))

    line.step()

    assert line.answers["one"] == whole[13:14]
    assert stages(line)[-2:] == [Stage("prefill", n, 72, "tokens") for n in (67, 72)]
    line.run()
    assert line.answers["one"] == whole[13:]


def test_in_fast_mode_an_answer_that_gave_way_is_read_like_its_prompt(
    golden_model: ServableModel,
) -> None:
    prompts = {
        name: prompt_of([n] * 40, max_tokens=30, sampling=DRAWN)
        for n, name in enumerate("ab", start=1)
    }
    # Room for one of them and the beginning of the other.
    line = played(golden_model, replace(SMALL_CHUNKS, num_pages=8), is_exact=False, **prompts)

    line.run()

    assert line.answers == answers(golden_model, **prompts)
    assert line.service.counts.num_preemptions > 0
    again = [(stage.done, stage.total) for stage in stages(line) if stage.total > 40]
    assert again and again[-1][0] == again[-1][1]


def test_in_exact_mode_it_is_told_how_much_has_been_fed_of_what_is_known(
    golden_model: ServableModel,
) -> None:
    line = played(golden_model, ROOMY, is_exact=True)
    line.add("one", prompt_of([*range(1, 60)], max_tokens=140, sampling=DRAWN), resume=(7,) * 130)

    line.run()

    told = [(stage.done, stage.total) for stage in stages(line)]
    assert told == [(done, 189) for done in (48, 59, 64, 128)]
