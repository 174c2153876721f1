"""The chat-completions dialect, outwards: events become the objects a client reads.

Pure: each function returns one JSON object. The order of a stream is its caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cortex.engine.types import FinishReason, ScoredToken, TextDelta, TokenLogprob, Usage


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """What all objects of one reply share. `model` is the name the client asked for."""

    id: str
    created_s: int
    model: str
    include_usage: bool = False
    wants_token_ids: bool = False


def render_reply(
    head: ReplyHead, choices: Sequence[dict[str, Any]], usage: Usage
) -> dict[str, Any]:
    """All choices in one object."""
    return _object(head, "chat.completion") | {
        "choices": list(choices),
        "usage": render_usage(usage),
    }


def render_choice(head: ReplyHead, answer: TextDelta, reason: FinishReason) -> dict[str, Any]:
    """One whole choice."""
    choice: dict[str, Any] = {
        "index": answer.choice,
        "finish_reason": reason,
        "logprobs": render_logprobs(answer.logprobs),
        "message": {"role": "assistant", "content": answer.text, "refusal": None},
    }
    return choice | {"token_ids": list(answer.token_ids)} if head.wants_token_ids else choice


def role_chunk(head: ReplyHead, index: int = 0) -> dict[str, Any]:
    return _chunk(head, {"role": "assistant", "content": ""}, index=index)


def text_chunk(head: ReplyHead, delta: TextDelta) -> dict[str, Any]:
    chunk = _chunk(head, {"content": delta.text}, index=delta.choice)
    chunk["choices"][0]["logprobs"] = render_logprobs(delta.logprobs)
    if head.wants_token_ids:
        chunk["choices"][0]["token_ids"] = list(delta.token_ids)
    return chunk


def finish_chunk(head: ReplyHead, reason: FinishReason, index: int = 0) -> dict[str, Any]:
    return _chunk(head, {}, reason, index)


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


def _chunk(
    head: ReplyHead, delta: dict[str, Any], reason: FinishReason | None = None, index: int = 0
) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    chunk = _object(head, "chat.completion.chunk") | {"choices": [choice]}
    # Asked for, the key is in every chunk, null until the last; not asked for, it is nowhere.
    return chunk | {"usage": None} if head.include_usage else chunk


def _object(head: ReplyHead, kind: str) -> dict[str, Any]:
    return {"id": head.id, "object": kind, "created": head.created_s, "model": head.model}
