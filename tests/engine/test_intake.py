"""A tokenizer may have more tokens than the weights beside it: none of those reaches the device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from cortex.engine.cache.store import PrefixStore
from cortex.engine.errors import InvalidRequest
from cortex.engine.events import NewToken
from cortex.engine.guiding import Guiding
from cortex.engine.messages import GenerateFailed, Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import Pooling, Prompt, ReplyFormat, Sampling

CPU = torch.device("cpu")
ROOMY = Capacity(num_pages=80, num_slots=8, grid_tokens=48, encoder_bytes=1 << 20, page_tokens=16)
ANSWER = Prompt((5, 6, 7), (), (), Sampling(0, 0.0), 4, (), ())
VECTOR = replace(ANSWER, max_tokens=0, pooling=Pooling("last", True, 64))


def served(model: ServableModel, guiding: Guiding | None = None) -> ModelService:
    """With a tokenizer of ten tokens more than the model has."""
    store: HostStore = PrefixStore(1 << 24)
    num_tokens = model.shape.vocab_size + 10
    return make_service(model, num_tokens, CPU, ROOMY, store, "model", guiding=guiding)


def ask(service: ModelService, prompt: Prompt) -> list[int]:
    """The answer's tokens."""
    service.add(Wanted("r", 0), prompt, now_s=0.0)
    token_ids: list[int] = []
    while service.has_work:
        for event in service.step(now_s=0.0):
            if isinstance(event, GenerateFailed):
                raise InvalidRequest(event.error.message)
            if isinstance(event, NewToken) and event.token_id is not None:
                token_ids.append(event.token_id)
    return token_ids


@pytest.mark.parametrize("prompt", [ANSWER, VECTOR], ids=["answer", "vector"])
def test_a_prompt_with_a_token_that_the_weights_have_not_is_refused_with_both_numbers(
    dense_model: ServableModel, prompt: Prompt
) -> None:
    last_id = dense_model.shape.vocab_size - 1
    service = served(dense_model)
    ask(service, replace(prompt, token_ids=(5, last_id)))

    with pytest.raises(InvalidRequest) as caught:
        ask(service, replace(prompt, token_ids=(5, last_id + 1, 6)))

    told = caught.value.message
    assert f"token {last_id + 1}," in told and told.endswith(f"end at {last_id}")


def test_a_bias_of_such_a_token_is_refused_by_its_field(dense_model: ServableModel) -> None:
    last_id = dense_model.shape.vocab_size - 1
    service = served(dense_model)
    favoured = Sampling(0, 0.0, logit_bias=((last_id, 100.0),))
    assert ask(service, replace(ANSWER, sampling=favoured)) == [last_id] * 4

    beyond = Sampling(0, 0.0, logit_bias=((3, 1.0), (last_id + 1, 1.0)))
    with pytest.raises(InvalidRequest, match=f"token {last_id + 1},") as caught:
        ask(service, replace(ANSWER, sampling=beyond))

    assert caught.value.param == "logit_bias"


def test_an_end_of_answers_that_the_weights_have_not_bans_nobodys_token(
    dense_model: ServableModel,
) -> None:
    vocab_size = dense_model.shape.vocab_size
    without_end = ask(served(dense_model), ANSWER)
    ends = (vocab_size + 3, *range(vocab_size, vocab_size + 3))

    held = replace(ANSWER, stop_token_ids=ends, min_tokens=4)

    assert ask(served(dense_model), held) == without_end


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
    service = served(dense_model, Guiding(Tokenizer(path)))

    with pytest.raises(InvalidRequest, match=f"to end the reasoning takes token {vocab_size},"):
        ask(service, thinking)
