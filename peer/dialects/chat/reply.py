"""The chat-completions dialect, outwards: whole replies, and the objects that a stream is made of.

Pure. The order of a stream is `stream.py`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cortex.engine.types import (
    FinishReason,
    ScoredToken,
    TokenLogprob,
    ToolCall,
    Usage,
)

from ...deltas import said
from ..asked import Answer
from ..custom_tools import text_of
from ..usage import total_usage

_FINISH_REASONS: dict[FinishReason, str] = {"context": "length"}


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """What all objects of one reply share. `model` is the name the client asked for.

    Calls of the tools in `custom_names` are told as free text.
    """

    id: str
    created_s: int
    model: str
    include_usage: bool = False
    wants_token_ids: bool = False
    custom_names: frozenset[str] = frozenset()
    fingerprint: str = ""

    def object(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created_s, "model": self.model}


def render_reply(head: ReplyHead, answers: Sequence[Answer], num_choices: int) -> bytes:
    """All choices in one object."""
    usage = total_usage([answer.finished for answer in answers], num_choices)
    return msgspec.json.encode(
        head.object("chat.completion")
        | {
            "system_fingerprint": head.fingerprint or None,
            "choices": [_render_choice(head, answer) for answer in answers],
            "usage": render_usage(usage),
        }
    )


def _render_choice(head: ReplyHead, answer: Answer) -> dict[str, Any]:
    whole = answer.whole
    all_said = said(whole.deltas)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if all_said.calls and not all_said.text else all_said.text,
        "refusal": None,
    }
    if all_said.reasoning:
        message["reasoning_content"] = all_said.reasoning
    if all_said.calls:
        message["tool_calls"] = [render_call(head, call) for call in all_said.calls]
    choice: dict[str, Any] = {
        "index": whole.choice,
        "finish_reason": finish_reason(answer.finished.reason, has_calls=bool(all_said.calls)),
        "logprobs": render_logprobs(whole.logprobs),
        "message": message,
    }
    return choice | {"token_ids": list(whole.token_ids)} if head.wants_token_ids else choice


def render_call(head: ReplyHead, call: ToolCall) -> dict[str, Any]:
    if call.name in head.custom_names:
        custom = {"name": call.name, "input": text_of(call.arguments)}
        return {"id": call.id, "type": "custom", "custom": custom}
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def finish_reason(reason: FinishReason, *, has_calls: bool) -> str:
    if has_calls and reason == "stop":
        return "tool_calls"
    return _FINISH_REASONS.get(reason, reason)


def render_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def render_logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """Null where none were asked for, or nothing came."""
    if not logprobs:
        return None
    content = [
        _scored(entry.token) | {"top_logprobs": [_scored(token) for token in entry.top]}
        for entry in logprobs
    ]
    return {"content": content, "refusal": None}


def _scored(token: ScoredToken) -> dict[str, Any]:
    return {
        "token": token.data.decode("utf-8", "replace"),
        "logprob": token.logprob,
        "bytes": list(token.data),
    }
