"""What an answer of the Responses dialect is made of: its output items and their parts.

Values only. They are written by `open_items.py`, one at a time, and stand in the final object as
they stood in the stream.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cortex.engine.types import ScoredToken, TokenLogprob

Status = Literal["in_progress", "completed", "incomplete"]


class TopLogprob(msgspec.Struct, frozen=True):
    token: str
    logprob: float | None
    bytes: tuple[int, ...]


class Logprob(msgspec.Struct, frozen=True):
    token: str
    logprob: float | None
    bytes: tuple[int, ...]
    top_logprobs: tuple[TopLogprob, ...]


def told_logprob(entry: TokenLogprob) -> Logprob:
    token = entry.token
    top = tuple(TopLogprob(_shown(best), best.logprob, tuple(best.data)) for best in entry.top)
    return Logprob(_shown(token), token.logprob, tuple(token.data), top)


def _shown(token: ScoredToken) -> str:
    return token.data.decode("utf-8", "replace")


class OutputText(msgspec.Struct, frozen=True, tag="output_text"):
    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[Logprob, ...] = ()


class ReasoningText(msgspec.Struct, frozen=True, tag="reasoning_text"):
    text: str


class SummaryText(msgspec.Struct, frozen=True, tag="summary_text"):
    text: str


class MessageItem(msgspec.Struct, frozen=True, tag="message"):
    id: str
    status: Status
    content: tuple[OutputText, ...] = ()
    role: Literal["assistant"] = "assistant"


class ReasoningItem(msgspec.Struct, frozen=True, tag="reasoning"):
    """Its text is in `content` or, for clients that asked for one, in `summary`: never in both."""

    id: str
    status: Status
    summary: tuple[SummaryText, ...] = ()
    content: tuple[ReasoningText, ...] = ()
    # Nothing of ours is secret, so there is nothing to encrypt.
    encrypted_content: None = None


class FunctionCallItem(msgspec.Struct, frozen=True, tag="function_call"):
    """`namespace` is the one that the tool was sent in; `arguments` the JSON text of an object."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: Status
    namespace: str | msgspec.UnsetType = msgspec.UNSET


class CustomCallItem(msgspec.Struct, frozen=True, tag="custom_tool_call"):
    """A call of a tool that takes plain text."""

    id: str
    call_id: str
    name: str
    input: str
    status: Status
    namespace: str | msgspec.UnsetType = msgspec.UNSET


OutputItem = MessageItem | ReasoningItem | FunctionCallItem | CustomCallItem
