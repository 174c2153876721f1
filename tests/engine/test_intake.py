"""A tokenizer may have more tokens than the weights beside it: none of those reaches the device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from cortex.engine.errors import InvalidRequest
from cortex.engine.guiding import Guiding
from cortex.engine.models.base import ServableModel
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import Pooling, Prompt, ReplyFormat, Sampling
from tests.engine.asking import Asked, opened, prompt_of

ANSWER = prompt_of([5, 6, 7], max_tokens=4)
VECTOR = replace(ANSWER, max_tokens=0, pooling=Pooling("last", True, 64))


def served(model: ServableModel, guiding: Guiding | None = None) -> Asked:
    """With a tokenizer of ten tokens more than the model has."""
    return opened(model, num_tokens=model.shape.vocab_size + 10, guiding=guiding)


@pytest.mark.parametrize("prompt", [ANSWER, VECTOR], ids=["answer", "vector"])
def test_a_prompt_with_a_token_that_the_weights_have_not_is_refused_with_both_numbers(
    dense_model: ServableModel, prompt: Prompt
) -> None:
    last_id = dense_model.shape.vocab_size - 1
    asked = served(dense_model)
    asked.ask(replace(prompt, token_ids=(5, last_id)))

    with pytest.raises(InvalidRequest) as caught:
        asked.ask(replace(prompt, token_ids=(5, last_id + 1, 6)))

    told = caught.value.message
    assert f"token {last_id + 1}," in told and told.endswith(f"end at {last_id}")


def test_a_bias_of_such_a_token_is_refused_by_its_field(dense_model: ServableModel) -> None:
    last_id = dense_model.shape.vocab_size - 1
    asked = served(dense_model)
    favoured = Sampling(0, 0.0, logit_bias=((last_id, 100.0),))
    assert asked.answer(replace(ANSWER, sampling=favoured)) == [last_id] * 4

    beyond = Sampling(0, 0.0, logit_bias=((3, 1.0), (last_id + 1, 1.0)))
    with pytest.raises(InvalidRequest, match=f"token {last_id + 1},") as caught:
        asked.ask(replace(ANSWER, sampling=beyond))

    assert caught.value.param == "logit_bias"


def test_an_end_of_answers_that_the_weights_have_not_bans_nobodys_token(
    dense_model: ServableModel,
) -> None:
    vocab_size = dense_model.shape.vocab_size
    without_end = served(dense_model).answer(ANSWER)
    ends = (vocab_size + 3, *range(vocab_size, vocab_size + 3))

    held = replace(ANSWER, stop_token_ids=ends, min_tokens=4)

    assert served(dense_model).answer(held) == without_end


def test_an_end_of_reasoning_that_the_weights_have_not_is_refused(
    golden: Path, tmp_path: Path, dense_model: ServableModel
) -> None:
    path = tmp_path / "tokenizer.json"
    fields = json.loads((golden / "qwen3" / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = fields["added_tokens"]
    mark = next(token for token in tokens if token["content"] == "</think>")
    vocab_size = dense_model.shape.vocab_size
    # Behind all that the table has, as where it was added and nothing trained.
    tokens += [
        {**mark, "id": i, "content": f"<{i}>"} for i in range(tokens[-1]["id"] + 1, vocab_size)
    ]
    tokens.append({**mark, "id": vocab_size})
    mark["content"] = "<other>"
    path.write_text(json.dumps(fields), encoding="utf-8")
    thinking = replace(ANSWER, reply=ReplyFormat("open"), reasoning_budget_tokens=0)
    asked = served(dense_model, Guiding(Tokenizer(path)))

    asked.may_fail = True
    name = asked.ask(thinking)

    assert f"to end the reasoning takes token {vocab_size}," in asked.messages[name]
