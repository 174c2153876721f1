"""How much there is to what a client sent, about. Pure."""

from __future__ import annotations

from cortex.engine.types import ChatRequest, ImagePart, RawText, TextPart

_TOKEN_BYTES = 4


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
