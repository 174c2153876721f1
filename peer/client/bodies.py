"""What a peer is sent: what a conversation asks, as the JSON of the dialects it speaks. Pure."""

from __future__ import annotations

import base64
from typing import Any

from cortex.engine.types import ChatRequest, ImagePart, Message, TextPart

# A prompt that has nothing but itself and, maybe, a picture.
_SOME_WORDS = "What is it?"


def to_body(request: ChatRequest) -> dict[str, Any]:
    """In the chat-completions dialect, as far as a conversation asks; what is None is left out."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message_body(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": request.seed,
        "max_completion_tokens": request.max_tokens,
        "temperature": request.sampling.temperature,
        "reasoning_effort": request.reasoning.effort,
    }
    return {name: value for name, value in body.items() if value is not None}


def _message_body(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {
        "role": message.role,
        "content": [_part_body(part) for part in message.content],
    }
    if message.reasoning:
        body["reasoning_content"] = message.reasoning
    return body


def _part_body(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    data = base64.b64encode(part.data).decode("ascii")
    # The declared type is not looked at: the bytes decide.
    url = f"data:application/octet-stream;base64,{data}"
    return {"type": "image_url", "image_url": {"url": url}}


def count_body(model: str, picture: bytes | None) -> dict[str, Any]:
    """A short prompt in the messages dialect, whose tokens are to be counted."""
    content: list[dict[str, Any]] = [{"type": "text", "text": _SOME_WORDS}]
    if picture is not None:
        source = {
            "type": "base64",
            # The declared type is not looked at: the bytes decide.
            "media_type": "image/png",
            "data": base64.b64encode(picture).decode("ascii"),
        }
        content.insert(0, {"type": "image", "source": source})
    return {"model": model, "messages": [{"role": "user", "content": content}]}
