"""How OpenAI's chat and plain completions say alike that an answer has ended, and what it cost."""

from __future__ import annotations

from typing import Any

from cortex.engine.types import FinishReason, Usage

_FINISH_REASONS: dict[FinishReason, str] = {"context": "length"}


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
