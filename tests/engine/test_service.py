"""Many requests over one model: each answer is the one it would be alone, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.cache.store import PrefixStore
from cortex.engine.errors import ContextLengthExceeded, InvalidRequest
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.types import Prompt, Sampling, TokenScores
from tests.engine.asking import ROOMY, Asked, golden_case, opened, prompt_of


def alone(model: ServableModel, prompt: Prompt) -> list[int]:
    return opened(model).answer(prompt)


CASES = ["text_short", "text_long", "two_images", "multiturn_image", "raw_1", "raw_3", "raw_65"]


@pytest.mark.parametrize("grid_tokens", [1, 3, 16, 33, 512])
@pytest.mark.parametrize("name", ["text_short", "two_images", "multiturn_image"])
def test_any_chunk_size_gives_the_golden_tokens(
    golden_model: ServableModel, golden: Path, name: str, grid_tokens: int
) -> None:
    prompt, greedy_ids = golden_case(golden, name)
    asked = opened(golden_model, replace(ROOMY, grid_tokens=grid_tokens))

    asked.add("one", prompt)
    asked.run()

    assert asked.answers["one"] == greedy_ids


def test_all_golden_prompts_at_once_give_their_golden_tokens(
    golden_model: ServableModel, golden: Path
) -> None:
    asked = opened(golden_model)
    wanted: dict[str, list[int]] = {}
    for name in CASES:
        prompt, greedy_ids = golden_case(golden, name)
        asked.add(name, prompt)
        wanted[name] = greedy_ids

    asked.run()

    assert asked.answers == wanted


def test_memory_for_half_of_the_requests_suspends_some_and_changes_no_answer(
    golden_model: ServableModel,
) -> None:
    prompts = {f"r{n}": prompt_of([n + 1] * 40, max_tokens=60) for n in range(4)}
    wanted = {name: alone(golden_model, prompt) for name, prompt in prompts.items()}
    # Room for two whole answers and the beginning of a third.
    asked = opened(golden_model, replace(ROOMY, num_pages=17))
    for name, prompt in prompts.items():
        asked.add(name, prompt)

    asked.run()

    assert asked.answers == wanted
    assert asked.service.counts.num_preemptions > 0


def test_resumed_tokens_lead_to_the_same_answer(golden_model: ServableModel) -> None:
    sampling = Sampling(seed=5, temperature=1.0, top_k=20, presence_penalty=0.5)
    prompt = prompt_of(list(range(1, 60)), sampling=sampling)
    whole = alone(golden_model, prompt)

    asked = opened(golden_model)
    asked.add("again", prompt, resume=tuple(whole[:7]))
    asked.run()

    assert asked.answers["again"] == whole[7:]


@pytest.mark.parametrize("resume", [(-1,), (1 << 20,), (1,) * 17])
def test_tokens_that_can_be_no_answers_are_refused(
    golden_model: ServableModel, resume: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidRequest, match="cannot be gone on with"):
        opened(golden_model).add("foreign", prompt_of([1, 2, 3]), resume)


def test_padding_ids_and_picture_places_are_never_chosen(golden_model: ServableModel) -> None:
    image_id = golden_model.shape.image_token_id
    assert image_id is not None
    # 1080 is beyond the tokenizer's 1033 tokens; both are wished for as strongly as can be.
    wish = Sampling(seed=0, temperature=0.0, logit_bias=((image_id, 100.0), (1080, 100.0)))

    answer = alone(golden_model, prompt_of([5, 6, 7], sampling=wish))

    assert not {image_id, 1080} & set(answer)


def test_a_prompt_with_more_places_than_pictures_is_refused(golden_model: ServableModel) -> None:
    image_id = golden_model.shape.image_token_id
    assert image_id is not None

    with pytest.raises(InvalidRequest, match="more picture places"):
        opened(golden_model).add("r", prompt_of([1, image_id, 2]))


def test_what_can_never_fit_is_refused_before_any_work(golden_model: ServableModel) -> None:
    asked = opened(golden_model, replace(ROOMY, num_pages=2))

    with pytest.raises(ContextLengthExceeded, match="32 tokens > 31 maximum"):
        asked.add("long", prompt_of([1] * 32))
    # An answer that has outgrown this engine at another one.
    with pytest.raises(ContextLengthExceeded, match="20 tokens > 19 maximum"):
        asked.add("grown", prompt_of([1] * 20), resume=(7,) * 13)
    assert not asked.service.has_work


def test_an_answer_ends_where_memory_for_it_alone_ends(golden_model: ServableModel) -> None:
    asked = opened(golden_model, replace(ROOMY, num_pages=2))

    asked.add("long", prompt_of([1] * 20, max_tokens=1_000))
    asked.run()

    assert len(asked.answers["long"]) == 12
    assert asked.ends["long"] == "context"


def test_an_answer_ends_by_the_limit_that_it_reaches(golden_model: ServableModel) -> None:
    asked = opened(golden_model)

    asked.add("asked", prompt_of([1] * 20, max_tokens=2))
    asked.add("room", prompt_of([2] * 20, max_tokens=2, limited_by="context"))
    asked.add("resumed", prompt_of([3] * 20, max_tokens=2, limited_by="context"), resume=(1, 2))
    asked.run()

    names = ("asked", "room", "resumed")
    assert [asked.ends[name] for name in names] == ["length", "context", "context"]


def test_a_prompt_may_be_read_without_an_answer_and_is_remembered(
    golden_model: ServableModel,
) -> None:
    asked = opened(golden_model)

    question = [TURN, *range(20, 60), TURN, 5]
    asked.add("read", turns_of(question, max_tokens=0))
    asked.run()
    asked.add("again", turns_of(question, max_tokens=3))
    asked.run()

    assert (asked.answers["read"], asked.ends["read"]) == ([], "length")
    # Whoever turns them into text may find its end in any of them.
    again = asked.told("again")
    assert len(again) == 3 and all(token.num_cached > 0 for token in again)


def test_a_cancelled_request_gives_its_place_to_the_next(golden_model: ServableModel) -> None:
    asked = opened(golden_model, replace(ROOMY, num_slots=1))
    asked.add("first", prompt_of([1, 2, 3], max_tokens=200))
    asked.add("second", prompt_of([4, 5, 6]))
    for _ in range(5):
        asked.step()
    assert asked.answers["first"] and not asked.answers["second"]

    asked.cancel("first")
    asked.run()

    assert asked.ends["first"] == "cancelled"
    assert asked.answers["second"] == alone(golden_model, prompt_of([4, 5, 6]))


def test_waiting_requests_hear_their_place_when_the_line_changes(
    golden_model: ServableModel,
) -> None:
    asked = opened(golden_model, replace(ROOMY, num_slots=1))
    for name in ("a", "b", "c"):
        asked.add(name, prompt_of([1, 2], max_tokens=4))

    for _ in range(12):
        asked.step()

    places = [(event.request_id, event.stage.done) for event in asked.waiting("queued")]
    assert places == [("b", 1), ("c", 2), ("c", 1)]


TURN = 7  # the token that begins a turn in these prompts


def turns_of(token_ids: list[int], **changes: Any) -> Prompt:
    """A prompt that is cut where its turns begin, as a chat is."""
    starts = tuple(i for i, token_id in enumerate(token_ids) if i and token_id == TURN)
    return prompt_of(token_ids, boundaries=starts, **changes)


@pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])
def test_every_turn_reuses_all_that_came_before_it(
    request: pytest.FixtureRequest, model_name: str
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    asked = opened(model)
    history = [TURN, 11, 12, 13]
    for turn in range(4):
        question = [TURN, *range(20 + turn, 40 + turn)]
        begun = len(history) + len(question)
        prompt = turns_of([*history, *question, TURN, 5])  # the answer's own beginning
        asked.add(str(turn), prompt)
        asked.run()

        cached = asked.num_cached[str(turn)]
        assert cached == (len(history) if turn else 0)
        assert asked.answers[str(turn)] == alone(model, prompt)
        history = list(prompt.token_ids[:begun])


@pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])
def test_in_fast_mode_the_same_prompt_again_computes_one_token(
    request: pytest.FixtureRequest, model_name: str
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    asked = opened(model, is_exact=False)
    prompt = prompt_of(list(range(1, 130)))
    for name in ("first", "again"):
        asked.add(name, prompt)
        asked.run()

    assert [asked.num_cached[name] for name in asked.answers] == [0, 128]
    assert asked.answers["again"] == asked.answers["first"]


@pytest.mark.parametrize(
    ("model_name", "cached"), [("golden_model", [0, 0, 70]), ("dense_model", [0, 70, 70])]
)
def test_in_fast_mode_the_third_prompt_takes_up_what_two_had_in_common(
    request: pytest.FixtureRequest, model_name: str, cached: list[int]
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    asked = opened(model, is_exact=False)
    prompts = [prompt_of([*range(1, 71), *[n] * 40]) for n in (101, 102, 103)]
    for n, prompt in enumerate(prompts):
        asked.add(str(n), prompt)
        asked.run()

    assert [asked.num_cached[name] for name in asked.answers] == cached
    assert list(asked.answers.values()) == [alone(model, prompt) for prompt in prompts]


def test_the_two_modes_share_nothing_of_what_is_remembered(golden_model: ServableModel) -> None:
    store: HostStore = PrefixStore(1 << 24)
    prompt = prompt_of(list(range(1, 100)))
    for is_exact in (False, True):
        asked = opened(golden_model, store=store, is_exact=is_exact)
        assert asked.num_cached[asked.ask(prompt)] == 0


def num_computed(asked: Asked, prompts: dict[str, Prompt]) -> dict[str, int]:
    """How many tokens of each prompt were computed, and not taken up from another."""
    return {n: len(p.token_ids) - asked.num_cached[n] for n, p in prompts.items()}


@pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])
@pytest.mark.parametrize(("is_exact", "again"), [(True, 129 - 96), (False, 1)])
def test_choices_of_one_prompt_compute_it_once(
    request: pytest.FixtureRequest, model_name: str, is_exact: bool, again: int
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    asked = opened(model, is_exact=is_exact)
    prompts = {
        str(seed): prompt_of(list(range(1, 130)), sampling=Sampling(seed, temperature=1.0))
        for seed in range(4)
    }
    for name, prompt in prompts.items():
        asked.add(name, prompt)
    asked.run()

    assert num_computed(asked, prompts) == {"0": 129, "1": again, "2": again, "3": again}
    if is_exact:
        assert asked.answers == {name: alone(model, p) for name, p in prompts.items()}


def test_strangers_with_the_same_instructions_compute_them_once(
    golden_model: ServableModel,
) -> None:
    asked = opened(golden_model)
    instructions = [TURN, *range(20, 90)]
    prompts = {str(n): turns_of([*instructions, TURN, *[n] * 60]) for n in (1, 2, 3)}
    for name, prompt in prompts.items():
        asked.add(name, prompt)
    asked.run()

    assert num_computed(asked, prompts) == {"1": 132, "2": 61, "3": 61}
    assert asked.answers == {n: alone(golden_model, p) for n, p in prompts.items()}


@pytest.mark.parametrize("store_bytes", [0, 1 << 24])
def test_followers_go_on_at_once_when_their_leader_is_cancelled(
    golden_model: ServableModel, store_bytes: int
) -> None:
    # One chunk of 48 tokens a step.
    asked = opened(golden_model, replace(ROOMY, step_tokens=48), store_bytes)
    prompts = {name: prompt_of(list(range(1, 240))) for name in ("leader", "second", "third")}
    for name, prompt in prompts.items():
        asked.add(name, prompt)
    asked.step()
    assert asked.status.num_waiting == 2

    asked.cancel("leader")
    asked.step()
    assert asked.status.num_waiting == 1
    asked.run()

    computed = num_computed(asked, {n: prompts[n] for n in ("second", "third")})
    # The leader left before the only cut that is remembered, at token 192, so the second one reads
    # all for itself, and the third waits for that.
    assert computed == {"second": 239, "third": 239 - 192 if store_bytes else 239}
    assert (
        asked.answers["second"] == asked.answers["third"] == alone(golden_model, prompts["third"])
    )


def test_who_follows_another_holds_no_stranger_up(golden_model: ServableModel) -> None:
    asked = opened(golden_model, replace(ROOMY, num_slots=2))
    for name, first in (("leader", 1), ("follower", 1), ("stranger", 101)):
        asked.add(name, prompt_of(list(range(first, first + 99))))
    asked.step()

    assert [name for name, answer in asked.answers.items() if answer] == ["leader", "stranger"]


def scores_of_prompt(asked: Asked, prompt: Prompt) -> tuple[TokenScores, ...]:
    """Those told with the first token, and with no other."""
    first, *others = asked.told(asked.ask(prompt))
    assert all(event.prompt_scores is None for event in others)
    assert first.prompt_scores is not None
    return first.prompt_scores


def test_a_prompts_own_scores_are_those_its_tokens_had_as_an_answer(
    golden_model: ServableModel,
) -> None:
    asked = opened(golden_model)
    asked.add("answer", prompt_of([*range(20, 90)], max_tokens=20, top_logprobs=3))
    asked.run()
    drawn = [event.scores for event in asked.told("answer")]
    whole = [*range(20, 90), *asked.answers["answer"]]

    echoed = prompt_of(whole, echo="...", top_logprobs=3, max_tokens=0)
    scores = scores_of_prompt(asked, echoed)

    assert len(scores) == len(whole) - 1
    for was, is_now in zip(drawn, scores[69:], strict=True):
        assert was is not None
        assert is_now.logprob == pytest.approx(was.logprob, abs=1e-4)
        assert [token_id for token_id, _ in is_now.top] == [token_id for token_id, _ in was.top]


def test_scores_of_a_prompt_need_all_of_it_and_are_the_same_whatever_is_remembered(
    golden_model: ServableModel,
) -> None:
    prompt = turns_of([TURN, *range(20, 90), TURN, 5], echo="...", top_logprobs=1, max_tokens=2)
    cold = scores_of_prompt(opened(golden_model), prompt)
    warm = opened(golden_model)
    warm.add("before", msgspec.structs.replace(prompt, echo=""))
    warm.run()
    assert scores_of_prompt(warm, prompt) == cold
    assert len(cold) == len(prompt.token_ids) - 1


def test_a_prompt_that_gave_way_is_scored_once_all_the_same(golden_model: ServableModel) -> None:
    prompts = {
        str(n): prompt_of([n + 5] * 40, echo="...", top_logprobs=1, max_tokens=40) for n in range(3)
    }
    asked = opened(golden_model, replace(ROOMY, num_pages=8), store_bytes=0)
    for name, prompt in prompts.items():
        asked.add(name, prompt)
    asked.run()
    assert asked.service.counts.num_preemptions > 0
    for name, prompt in prompts.items():
        told = [e.prompt_scores for e in asked.told(name)]
        assert [scores for scores in told if scores is not None] == told[:1]
        assert told[0] == scores_of_prompt(opened(golden_model), prompt)


def test_nothing_is_scored_for_who_has_tokens_of_the_answer_or_asked_for_none(
    golden_model: ServableModel,
) -> None:
    asked = opened(golden_model)
    asked.add("resumed", prompt_of([5] * 20, echo="...", top_logprobs=1), resume=(1, 2))
    asked.add("plain", prompt_of([5] * 20, echo="..."))
    asked.add("not echoed", prompt_of([5] * 20, top_logprobs=1))
    asked.run()
    assert all(e.prompt_scores is None for name in asked.answers for e in asked.told(name))
    assert scores_of_prompt(asked, prompt_of([5], echo="...", top_logprobs=1)) == ()


def test_a_picture_is_part_of_what_is_remembered(golden_model: ServableModel, golden: Path) -> None:
    square, _ = golden_case(golden, "image_square")
    image = square.images[0]
    other = msgspec.structs.replace(image, hash=bytes(32), rgb=memoryview(bytes(len(image.rgb))))
    cut = (len(square.token_ids) - 4,)
    asked = opened(golden_model)
    for name, picture in (("first", image), ("same", image), ("other", other)):
        asked.add(name, msgspec.structs.replace(square, boundaries=cut, images=(picture,)))
        asked.run()

    assert asked.num_cached["same"] == cut[0]
    assert (
        asked.num_cached["other"]
        < square.token_ids.index(golden_model.shape.image_token_id or 0) + 1
    )
    assert asked.answers["same"] == asked.answers["first"] != asked.answers["other"]


def test_a_store_without_room_costs_time_and_no_answer(golden_model: ServableModel) -> None:
    asked = opened(golden_model, replace(ROOMY, num_pages=14), store_bytes=0)
    prompts = {f"r{n}": turns_of([n + 1] * 39 + [TURN, 3], max_tokens=60) for n in range(4)}
    for name, prompt in prompts.items():
        asked.add(name, prompt)

    asked.run()

    assert asked.answers == {name: alone(golden_model, p) for name, p in prompts.items()}


_requests = st.lists(
    st.tuples(
        st.integers(0, 60),  # tokens shared with the others
        st.lists(st.integers(0, 30), min_size=1, max_size=50),  # and its own
        st.integers(1, 12),  # tokens wanted
        st.sampled_from([0.0, 1.3]),
        st.integers(0, 8),  # the step it arrives at
        st.one_of(st.none(), st.integers(1, 20)),  # the step its client leaves at
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])
@settings(max_examples=25, deadline=None)
@given(
    requests=_requests,
    shared=st.lists(st.integers(0, 12), min_size=60, max_size=60),
    num_pages=st.integers(8, 40),
    num_slots=st.integers(1, 6),
    store_bytes=st.sampled_from([0, 100_000, 1 << 24]),
)
def test_strangers_arrivals_cancellations_memory_and_memories_change_no_answer(
    request: pytest.FixtureRequest,
    model_name: str,
    requests: list[tuple[int, list[int], int, float, int, int | None]],
    shared: list[int],
    num_pages: int,
    num_slots: int,
    store_bytes: int,
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    asked = opened(model, replace(ROOMY, num_pages=num_pages, num_slots=num_slots), store_bytes)
    prompts = {
        str(n): turns_of(shared[:alike] + own, max_tokens=wanted, sampling=Sampling(n, temperature))
        for n, (alike, own, wanted, temperature, _, _) in enumerate(requests)
    }
    left: set[str] = set()
    for step in range(21):
        for n, (*_, arrives, leaves) in enumerate(requests):
            name = str(n)
            if arrives == step:
                asked.add(name, prompts[name])
            if leaves == step and name in asked.answers and name not in asked.ends:
                asked.cancel(name)
                left.add(name)
        asked.step()
    asked.run()

    for name, prompt in prompts.items():
        whole = alone(model, prompt)
        got = asked.answers[name]
        assert got == (whole[: len(got)] if name in left else whole)
