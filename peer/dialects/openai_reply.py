"""The chat-completions dialect, outwards: events become the objects a client reads.

Pure: each function returns one JSON object. The order of a stream is its caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cortex.engine.types import FinishReason, Usage


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """What all objects of one reply share. `model` is the name the client asked for."""

    id: str
    created_s: int
    model: str
    include_usage: bool = False


def render_reply(head: ReplyHead, text: str, reason: FinishReason, usage: Usage) -> dict[str, Any]:
    """The whole answer in one object."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {
        "index": 0,
        "finish_reason": reason,
        "logprobs": None,
        "message": message,
    }
    return _object(head, "chat.completion") | {
        "choices": [choice],
        "usage": render_usage(usage),
    }


def role_chunk(head: ReplyHead) -> dict[str, Any]:
    return _chunk(head, {"role": "assistant", "content": ""})


def text_chunk(head: ReplyHead, text: str) -> dict[str, Any]:
    return _chunk(head, {"content": text})


def finish_chunk(head: ReplyHead, reason: FinishReason) -> dict[str, Any]:
    return _chunk(head, {}, reason)


def usage_chunk(head: ReplyHead, usage: Usage) -> dict[str, Any]:
    return _object(head, "chat.completion.chunk") | {
        "choices": [],
        "usage": render_usage(usage),
    }


def render_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _chunk(
    head: ReplyHead, delta: dict[str, Any], reason: FinishReason | None = None
) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    chunk = _object(head, "chat.completion.chunk") | {"choices": [choice]}
    # Asked for, the key is in every chunk, null until the last; not asked for, it is nowhere.
    return chunk | {"usage": None} if head.include_usage else chunk


def _object(head: ReplyHead, kind: str) -> dict[str, Any]:
    return {"id": head.id, "object": kind, "created": head.created_s, "model": head.model}
