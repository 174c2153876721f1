"""How many values a body may hold, by what stands between them and not by what its texts say."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from cortex.engine.errors import InvalidRequest
from cortex.engine.types import RawTokens, TextPart
from cortex.peer.dialects.asked import Arrival
from cortex.peer.dialects.chat.parse import parse_chat
from cortex.peer.dialects.completions.parse import parse_completion
from cortex.peer.dialects.responses.parse import parse_response

_ARRIVAL = Arrival(7, 11, "0f")


def chat(content: str) -> bytes:
    return b'{"model":"m","messages":[{"role":"user","content":' + content.encode() + b"}]}"


@pytest.mark.parametrize(
    "value", ['{"type":"t"}', "[]", '"\\\\"', '"\\"'], ids=["part", "list", "backslash", "quote"]
)
def test_a_body_of_more_values_than_a_conversation_has_is_refused_unread(value: str) -> None:
    values = ",".join([value] * 2_010_000)
    with pytest.raises(InvalidRequest, match="too many values") as refused:
        parse_chat(chat(f"[{values}]"), _ARRIVAL)
    assert "earlier turns" in refused.value.hint


def test_an_answer_may_be_sent_back_with_the_log_probabilities_of_its_tokens() -> None:
    scored: dict[str, Any] = {"token": "word", "logprob": -1.5, "bytes": [119, 111, 114, 100]}
    logprobs = [{**scored, "top_logprobs": [scored] * 20}] * 8_000
    part: dict[str, Any] = {"type": "output_text", "text": "word" * 8_000, "logprobs": logprobs}
    answer: dict[str, Any] = {"type": "message", "role": "assistant", "content": [part]}
    body = {"model": "m", "input": [answer, {"role": "user", "content": "And?"}]}
    request = parse_response(json.dumps(body).encode(), _ARRIVAL).request
    assert len(request.messages) == 2


def test_commas_and_quotation_marks_in_a_text_are_no_values() -> None:
    text = 'a,"b\\",' * 1_600_000
    asked = parse_chat(chat(json.dumps(text)), _ARRIVAL)
    assert asked.request.messages[0].content == (TextPart(text),)


def test_a_million_token_ids_are_taken() -> None:
    token_ids = ",".join(["7"] * 1_000_000)
    body = f'{{"model":"m","prompt":[{token_ids}]}}'.encode()
    assert parse_completion(body, _ARRIVAL).request.raw == RawTokens((7,) * 1_000_000)


def test_a_text_without_an_end_is_over_with_soon() -> None:
    began_s = time.monotonic()
    with pytest.raises(InvalidRequest, match="not JSON"):
        parse_chat(b'"' + b'\\"' * 1_000_000, _ARRIVAL)
    assert time.monotonic() - began_s < 20
