"""How much of what clients sent is kept so that their answers can go on elsewhere. Pure.

A request is small or holds pictures; those kept at one time have a bound together. One over it is
answered as ever, but with its host it is lost.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from cortex.engine.types import ChatRequest, ImagePart, RawText, TextPart

_TOKEN_BYTES = 4


class ReplayBudget:
    def __init__(self, max_bytes: int) -> None:
        self._left_bytes = max_bytes

    @contextmanager
    def kept(self, request: ChatRequest) -> Generator[bool]:
        """Whether the request is kept for as long as the block lasts."""
        size_bytes = request_bytes(request)
        if size_bytes > self._left_bytes:
            yield False
            return
        self._left_bytes -= size_bytes
        try:
            yield True
        finally:
            self._left_bytes += size_bytes


def request_bytes(request: ChatRequest) -> int:
    """What weighs in it, about."""
    parts = (part for message in request.messages for part in message.content)
    pictures = (len(part.data) for part in parts if isinstance(part, ImagePart))
    return text_bytes(request) + sum(pictures)


def text_bytes(request: ChatRequest) -> int:
    """How much is to be read, without pictures: a character counts as a byte."""
    raw = request.raw
    if raw is not None:
        return len(raw.text) if isinstance(raw, RawText) else len(raw.token_ids) * _TOKEN_BYTES
    num_bytes = sum(len(tool.description) + len(tool.parameters) for tool in request.tools)
    for message in request.messages:
        num_bytes += len(message.reasoning)
        num_bytes += sum(len(call.arguments) for call in message.tool_calls)
        num_bytes += sum(len(part.text) for part in message.content if isinstance(part, TextPart))
    return num_bytes
