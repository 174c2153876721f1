"""cortex-nano, asked for JSON: a model that was never taught any gives nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.cache.store import PrefixStore
from cortex.engine.grammars.checking import GrammarTrial
from cortex.engine.memory import Share
from cortex.engine.prompt import build_prompt
from cortex.engine.recall import HostStore
from cortex.engine.serving import LoadedService, load_service
from cortex.engine.text_model import load_text_model
from cortex.engine.types import ChatRequest, Grammar, Message, SamplingWish, TextPart
from cortex.engine.wishes import Wishes
from tests.engine.asking import CPU, Asked

_NANO = Path(__file__).parents[2] / "engine" / "assets" / "cortex-nano"
_TEXT = load_text_model(_NANO)
_PROPERTIES: dict[str, Any] = {
    "total": {"type": "number", "minimum": 0, "maximum": 10_000},
    "currency": {"enum": ["EUR", "USD"]},
    "paid": {"type": "boolean"},
    "note": {"type": ["string", "null"], "maxLength": 20},
    "lines": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
}


@pytest.fixture(scope="module")
def nano() -> LoadedService:
    store: HostStore = PrefixStore(1 << 24)
    return load_service(_NANO, CPU, store, Share(1 << 29), Wishes("exact"))


@pytest.fixture(scope="module")
def trial() -> Iterator[GrammarTrial]:
    trial = GrammarTrial()
    yield trial
    trial.close()


def answer(nano: LoadedService, trial: GrammarTrial, request: ChatRequest) -> tuple[str, str]:
    """What it says, and why it ended."""
    prompt = build_prompt(_TEXT, request, 2048, why_not=trial.why_not).prompt
    asked = Asked(nano.service)
    name = asked.ask(prompt)
    return _TEXT.tokenizer.decode(asked.answers[name]), asked.ends[name]


@settings(max_examples=12)
@given(
    names=st.lists(st.sampled_from(sorted(_PROPERTIES)), min_size=1, unique=True),
    temperature=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 1000),
)
def test_valid_json_always_comes_out(
    nano: LoadedService, trial: GrammarTrial, names: list[str], temperature: float, seed: int
) -> None:
    schema = {
        "type": "object",
        "properties": {name: _PROPERTIES[name] for name in names},
        "required": names,
        "additionalProperties": False,
    }
    words, finish = answer(
        nano,
        trial,
        ChatRequest(
            "nano",
            (Message("user", (TextPart("What is the total?"),)),),
            seed=seed,
            now_s=0,
            sampling=SamplingWish(temperature=temperature),
            grammar=Grammar("json_schema", json.dumps(schema)),
            max_tokens=600,
        ),
    )
    assert finish == "stop"
    jsonschema_rs.validator_for(schema).validate(json.loads(words))
