"""Answers in which no tool may be called."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from cortex.engine.prompt import build_prompt
from cortex.engine.text_model import load_text_model
from cortex.engine.types import ChatRequest, Message, TextPart, ToolChoice

_MODEL = Path(__file__).parent.parent / "golden" / "qwen3_5_text"


def test_who_may_call_nothing_is_kept_from_the_mark_of_a_call() -> None:
    model = load_text_model(_MODEL)
    [mark] = model.tokenizer.encode("<tool_call>")
    question = Message("user", (TextPart("Call it."),))
    request = ChatRequest("m", (question,), 1, 1, logit_bias=((mark, 3.0), (7, 1.0)))
    assert build_prompt(model, request, 4096).prompt.sampling.logit_bias == request.logit_bias
    barred = replace(request, tool_choice=ToolChoice("none"))
    sampling = build_prompt(model, barred, 4096).prompt.sampling
    assert dict(sampling.logit_bias) == {mark: -100.0, 7: 1.0}
