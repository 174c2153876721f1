"""Whether what a parsed request holds is more than a client may send. Pure; the limits come in.

How many things of each kind there may be is asked where bodies are parsed, before all of them are
made. Here is what is the same in every dialect once it has been parsed.
"""

from __future__ import annotations

from cortex.engine.errors import ContextLengthExceeded, InvalidImage, InvalidRequest
from cortex.engine.types import ChatRequest, ImagePart, Message, RawText, TextPart

from .limits import Limits

# No text that means anything has so many characters to a token: models' words have four or five.
_MAX_CHARS_PER_TOKEN = 32
# So much is always counted exactly. A tokenizer takes some 140 bytes for each byte of its text
# (measured: 60 MiB made 8.5 GB), and seconds for each few MiB.
_MIN_COUNTED_CHARS = 1024 * 1024


def check_size(request: ChatRequest, limits: Limits) -> None:
    """Raises InvalidRequest or InvalidImage for what is over a limit, with the limit."""
    _check_stops(request.stop, limits)
    for message in request.messages:
        for part in message.content:
            if isinstance(part, ImagePart) and len(part.data) > limits.max_image_bytes:
                raise InvalidImage(
                    f"a picture of {len(part.data)} bytes is over this peer's limit of"
                    f" {limits.max_image_bytes}",
                    "send a smaller one",
                    param="messages",
                )


def check_length(request: ChatRequest, context_tokens: int) -> None:
    """Whether the text may fit a context at all, before a tokenizer spends memory on it.

    Raises ContextLengthExceeded.
    """
    num_chars = _num_chars(request)
    if num_chars <= max(_MIN_COUNTED_CHARS, context_tokens * _MAX_CHARS_PER_TOKEN):
        return
    param = "messages" if request.raw is None else "prompt"
    if request.vector is not None:
        param = request.vector.param
    least_tokens = -(-num_chars // _MAX_CHARS_PER_TOKEN)
    raise ContextLengthExceeded(
        f"prompt is too long: {least_tokens} tokens > {context_tokens} maximum",
        f"it has {num_chars} characters and was not counted further; shorten it",
        param=param,
    )


def _num_chars(request: ChatRequest) -> int:
    """Of everything that a tokenizer would see."""
    if isinstance(request.raw, RawText):
        return len(request.raw.text)
    tools = sum(len(tool.description) + len(tool.parameters) for tool in request.tools)
    return tools + sum(map(_message_chars, request.messages))


def _message_chars(message: Message) -> int:
    said = sum(len(part.text) for part in message.content if isinstance(part, TextPart))
    called = sum(len(call.arguments) for call in message.tool_calls)
    return said + called + len(message.reasoning)


def _check_stops(stops: tuple[str, ...], limits: Limits) -> None:
    if len(stops) > limits.max_stops:
        raise InvalidRequest(
            f"stop: {len(stops)} stop strings are over this peer's limit of {limits.max_stops}",
            "send fewer",
            param="stop",
        )
    longest = max(map(len, stops), default=0)
    if longest > limits.max_stop_chars:
        raise InvalidRequest(
            f"stop: a stop string of {longest} characters is over this peer's limit of"
            f" {limits.max_stop_chars}",
            "send a shorter one",
            param="stop",
        )
