"""The chat-completions dialect, outwards: events become the objects a client reads.

Pure: each function returns one JSON object. The order of a stream is its caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cortex.engine.types import (
    Delta,
    FinishReason,
    Piece,
    ReasoningDelta,
    ScoredToken,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
    Usage,
)

from ..deltas import said


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


def render_choice(head: ReplyHead, answer: Piece, reason: FinishReason) -> dict[str, Any]:
    """One whole choice."""
    all_said = said(answer.deltas)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if all_said.calls and not all_said.text else all_said.text,
        "refusal": None,
    }
    if all_said.reasoning:
        message["reasoning_content"] = all_said.reasoning
    if all_said.calls:
        message["tool_calls"] = [_render_call(call) for call in all_said.calls]
    choice: dict[str, Any] = {
        "index": answer.choice,
        "finish_reason": _finish_reason(reason, has_calls=bool(all_said.calls)),
        "logprobs": render_logprobs(answer.logprobs),
        "message": message,
    }
    return choice | {"token_ids": list(answer.token_ids)} if head.wants_token_ids else choice


def role_chunk(head: ReplyHead, index: int = 0) -> dict[str, Any]:
    return _chunk(head, {"role": "assistant", "content": ""}, index=index)


def piece_chunks(head: ReplyHead, piece: Piece, *, tells_tokens: bool) -> list[dict[str, Any]]:
    """A chunk for each delta that says something in this dialect: the end of a call does not.

    What is told of tokens rides in the first; with `tells_tokens` there is always one.
    """
    deltas = [plain for delta in piece.deltas if (plain := _render_delta(delta)) is not None]
    if not deltas and tells_tokens:
        deltas.append({"content": ""})
    chunks = [_chunk(head, delta, index=piece.choice) for delta in deltas]
    if chunks and tells_tokens:
        chunks[0]["choices"][0]["logprobs"] = render_logprobs(piece.logprobs)
        if head.wants_token_ids:
            chunks[0]["choices"][0]["token_ids"] = list(piece.token_ids)
    return chunks


def finish_chunk(
    head: ReplyHead, reason: FinishReason, index: int = 0, *, has_calls: bool
) -> dict[str, Any]:
    return _chunk(head, {}, _finish_reason(reason, has_calls=has_calls), index)


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


def _finish_reason(reason: FinishReason, *, has_calls: bool) -> str:
    return "tool_calls" if has_calls and reason == "stop" else reason


def _render_delta(delta: Delta) -> dict[str, Any] | None:
    match delta:
        case ReasoningDelta():
            return {"reasoning_content": delta.text}
        case TextDelta():
            return {"content": delta.text}
        case ToolCallBegin():
            begun = _render_call(ToolCall(delta.id, delta.name, ""))
            return {"tool_calls": [{"index": delta.index} | begun]}
        case ToolCallArguments():
            piece = {"index": delta.index, "function": {"arguments": delta.text}}
            return {"tool_calls": [piece]}
        case ToolCallEnd():
            return None


def _render_call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _scored(token: ScoredToken) -> dict[str, Any]:
    return {
        "token": token.data.decode("utf-8", "replace"),
        "logprob": token.logprob,
        "bytes": list(token.data),
    }


def _chunk(
    head: ReplyHead, delta: dict[str, Any], reason: str | None = None, index: int = 0
) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    chunk = _object(head, "chat.completion.chunk") | {"choices": [choice]}
    # Asked for, the key is in every chunk, null until the last; not asked for, it is nowhere.
    return chunk | {"usage": None} if head.include_usage else chunk


def _object(head: ReplyHead, kind: str) -> dict[str, Any]:
    return {"id": head.id, "object": kind, "created": head.created_s, "model": head.model}
