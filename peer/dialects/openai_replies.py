"""How OpenAI's dialects tell what they tell alike: why an answer ended, its cost, its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cortex.engine.stream import Finished, Usage
from cortex.engine.types import FinishReason, ScoredToken, TokenLogprob

from . import events
from .errors import ToldError, openai_envelope
from .usage import UsageTally


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


class OpenAITeller:
    """What tellers of chats and of plain completions do alike: `kind` is what chunks are called."""

    told_in_stream = ()

    def __init__(self, head: ReplyHead, kind: str, num_choices: int, *, tells_tokens: bool) -> None:
        self.head = head
        self.tells_tokens = tells_tokens
        self.num_choices = num_choices
        self.tally = UsageTally(num_choices)
        self._kind = kind

    def keep_alive(self) -> bytes:
        return events.KEEP_ALIVE

    def close(self) -> bytes:
        if not self.head.include_usage:
            return events.DONE
        usage: dict[str, Any] = {"choices": [], "usage": render_usage(self.tally.total)}
        return events.data(self.object(self._kind) | usage) + events.DONE

    def fail(self, error: ToldError) -> bytes:
        return events.data(openai_envelope(error)) + events.DONE

    def chunk(self, choice: dict[str, Any]) -> bytes:
        chunk = self.object(self._kind) | {"choices": [choice]}
        # Asked for, the key is in every chunk, null until the last; not asked for, it is nowhere.
        return events.data(chunk | {"usage": None} if self.head.include_usage else chunk)

    def whole_reply(
        self,
        kind: str,
        choices: Sequence[dict[str, Any]],
        endings: Sequence[Finished],
        **more: Any,
    ) -> bytes:
        for finished in endings:
            self.tally.add(finished)
        told = {"choices": choices, "usage": render_usage(self.tally.total)}
        return msgspec.json.encode(self.object(kind) | more | told)

    def object(self, kind: str) -> dict[str, Any]:
        head = self.head
        return {"id": head.id, "object": kind, "created": head.created_s, "model": head.model}


def finish_reason(reason: FinishReason, *, has_calls: bool) -> str:
    if has_calls and reason == "stop":
        return "tool_calls"
    return "length" if reason == "context" else reason


def render_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def render_logprob(entry: TokenLogprob) -> dict[str, Any]:
    return _scored(entry.token) | {"top_logprobs": [_scored(token) for token in entry.top]}


def _scored(token: ScoredToken) -> dict[str, Any]:
    return {"token": shown(token), "logprob": token.logprob, "bytes": list(token.data)}


def shown(token: ScoredToken) -> str:
    return token.data.decode("utf-8", "replace")
