"""The real engine's answers held to something: every one obeys, whatever happens beside it."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from cortex.engine.grammars.lark import json_value
from cortex.engine.guiding import GuidedAnswer, Guiding
from cortex.engine.models.base import ServableModel
from cortex.engine.serving import Capacity
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import Prompt, ReplyFormat, Sampling
from tests.engine import asking
from tests.engine.asking import Asked

ROOMY = Capacity(num_pages=200, num_slots=8, grid_tokens=48, encoder_bytes=1, page_tokens=16)
# Room for one that expects a long answer, and for the prompts of two more.
TIGHT = Capacity(num_pages=44, num_slots=8, grid_tokens=48, encoder_bytes=1, page_tokens=8)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "size": {"type": "integer", "minimum": 0, "maximum": 999},
        "tags": {"type": "array", "items": {"enum": ["a", "bc", None]}, "maxItems": 3},
    },
    "required": ["name", "size", "tags"],
    "additionalProperties": False,
}
FORM = f"start: %json {json.dumps({**SCHEMA, 'x-guidance': {'whitespace_flexible': False}})}\n"


@pytest.fixture(scope="module")
def tokenizer(golden: Path) -> Tokenizer:
    return Tokenizer(golden / "qwen3_5" / "tokenizer.json")


def prompt_of(seed: int, **changes: Any) -> Prompt:
    sampling = Sampling(seed=seed, temperature=1.0)
    wishes: dict[str, Any] = {
        "sampling": sampling, "max_tokens": 400, "stop_token_ids": (1000,), "grammar": FORM,
    }  # fmt: skip
    return asking.prompt_of(range(40 + seed, 70 + seed), **{**wishes, **changes})


def asked(
    model: ServableModel, guiding: Guiding, capacity: Capacity = ROOMY, *, is_exact: bool = True
) -> Asked:
    return asking.opened(model, capacity, is_exact=is_exact, guiding=guiding)


def alone(model: ServableModel, tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    return asked(model, Guiding(tokenizer)).answer(prompt)


def check(tokenizer: Tokenizer, token_ids: list[int]) -> None:
    jsonschema_rs.validator_for(SCHEMA).validate(json.loads(tokenizer.decode(token_ids)))


def test_every_answer_of_a_batch_obeys_and_is_the_one_it_would_be_alone(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    batch = asked(golden_model, Guiding(tokenizer))
    prompts = {f"r{seed}": prompt_of(seed) for seed in range(6)}
    for name, prompt in prompts.items():
        batch.add(name, prompt)
    batch.add("free", prompt_of(9, grammar="", max_tokens=30))
    batch.run()
    for name, prompt in prompts.items():
        assert batch.ends[name] == "stop"
        check(tokenizer, batch.answers[name])
        assert batch.answers[name] == alone(golden_model, tokenizer, prompt)
    assert len(batch.answers["free"]) == 30


def test_an_answer_resumed_anywhere_is_the_same(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    whole = alone(golden_model, tokenizer, prompt_of(3))
    again = asked(golden_model, Guiding(tokenizer), Capacity(400, 8, 48, 1, 16))
    for size in range(0, len(whole), 5):
        again.add(str(size), prompt_of(3), tuple(whole[:size]))
    again.run()
    assert all([*whole[: int(n)], *rest] == whole for n, rest in again.answers.items())


def test_who_gave_way_goes_on_as_if_nothing_had_been(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    crowd = asked(golden_model, Guiding(tokenizer), TIGHT)
    prompts = {str(seed): prompt_of(seed) for seed in range(4)}
    for name, prompt in prompts.items():
        crowd.add(name, prompt)
    crowd.run()
    assert crowd.service.counts.num_preemptions > 0
    for name, prompt in prompts.items():
        assert crowd.answers[name] == alone(golden_model, tokenizer, prompt)


class Held(Guiding):
    """What the guides of answers have found out is held back until it is let go."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self._held: list[tuple[Future[Any], Future[Any]]] = []

    def open(self, prompt: Prompt, resume_token_ids: Any) -> GuidedAnswer | None:
        answer = super().open(prompt, resume_token_ids)
        if answer is not None:
            shown: Future[Any] = Future()
            self._held.append((answer.work, shown))
            answer.work = shown
        return answer

    def let_go(self) -> None:
        for work, shown in self._held:
            shown.set_result(work.result())
        self._held.clear()


def test_a_late_mask_holds_up_nobody_else_and_changes_nothing(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    guiding = Held(tokenizer)
    both = asked(golden_model, guiding)
    both.add("late", prompt_of(1))
    both.add("free", prompt_of(9, grammar="", max_tokens=20))
    while "free" not in both.ends:
        both.step()
    assert not both.answers["late"]
    guiding.let_go()
    both.run()
    assert both.answers["late"] == alone(golden_model, tokenizer, prompt_of(1))
    assert len(both.answers["free"]) == 20


def test_who_waits_for_a_mask_may_be_suspended(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    guiding = Held(tokenizer)
    three = asked(golden_model, guiding, TIGHT)
    for name in ("free", "other"):
        three.add(name, prompt_of(9, grammar="", max_tokens=280, stop_token_ids=()))
    three.add("late", prompt_of(1))
    while three.service.counts.num_preemptions == 0:
        three.step()
    guiding.let_go()
    for name in ("free", "other"):
        three.cancel(name)
    three.run()
    assert three.answers["late"] == alone(golden_model, tokenizer, prompt_of(1))


def test_who_waits_for_a_mask_can_be_cancelled(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    guiding = Held(tokenizer)
    one = asked(golden_model, guiding)
    one.add("r", prompt_of(1))
    for _ in range(3):
        one.step()
    one.cancel("r")
    assert one.ends == {"r": "cancelled"}
    assert not one.service.has_work


def test_a_form_that_leads_nowhere_fails_its_own_request_alone(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    both = asked(golden_model, Guiding(tokenizer))
    both.may_fail = True
    both.add("dead", prompt_of(1, grammar='start: "a" b\nb: b "c"\n'))
    both.add("r", prompt_of(2))
    both.run()
    assert both.ends["dead"] == "invalid_request"
    check(tokenizer, both.answers["r"])


def test_at_its_budget_reasoning_is_closed(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    closing = tokenizer.encode("\n</think>\n\n")
    one = asked(golden_model, Guiding(tokenizer))
    reply = ReplyFormat("open")
    one.add("both", prompt_of(1, reply=reply, reasoning_budget_tokens=6))
    one.add("free", prompt_of(2, reply=reply, reasoning_budget_tokens=3, grammar="", max_tokens=20))
    one.run()
    assert one.answers["both"][6 : 6 + len(closing)] == closing
    check(tokenizer, one.answers["both"][6 + len(closing) :])
    assert one.answers["free"][3 : 3 + len(closing)] == closing
    assert len(one.answers["free"]) == 20


def test_a_complete_form_ends_its_answer_though_more_tokens_were_wanted(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    one = asked(golden_model, Guiding(tokenizer))
    form = f"start: {json_value({'const': 'yes'})}\n"
    one.add("min", prompt_of(1, grammar=form, min_tokens=100))
    one.add("endless", prompt_of(2, grammar=form, stop_token_ids=()))
    one.run()
    assert {tokenizer.decode(ids) for ids in one.answers.values()} == {'"yes"'}
    assert set(one.ends.values()) == {"stop"}


def test_an_answer_that_owes_words_does_not_end_while_it_reasons(
    golden_model: ServableModel, tokenizer: Tokenizer
) -> None:
    one = asked(golden_model, Guiding(tokenizer))
    eager = Sampling(seed=1, temperature=1.0, logit_bias=((1000, 100.0),))
    reply = ReplyFormat("open")
    one.add("r", prompt_of(1, reply=reply, reasoning_budget_tokens=8, sampling=eager))
    one.run()
    check(tokenizer, one.answers["r"][8 + len(tokenizer.encode("\n</think>\n\n")) :])
