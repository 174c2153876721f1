"""Whether what a parsed request holds is more than a client may send. Pure; the limits come in.

How many things of each kind there may be is asked where bodies are parsed, before all of them are
made. Here is what is the same in every dialect once it has been parsed.
"""

from __future__ import annotations

from cortex.engine.bounds import MAX_GRAMMAR_SOURCE_BYTES, MAX_SCHEMA_BYTES
from cortex.engine.errors import InvalidImage, InvalidRequest
from cortex.engine.types import ChatRequest, Grammar, ImagePart

from .limits import Limits


def check_size(request: ChatRequest, limits: Limits) -> None:
    """Raises InvalidRequest or InvalidImage for what is over a limit, with the limit."""
    _check_stops(request.stop, limits)
    if request.grammar is not None:
        _check_grammar(request.grammar)
    for message in request.messages:
        for part in message.content:
            if isinstance(part, ImagePart) and len(part.data) > limits.max_image_bytes:
                raise InvalidImage(
                    f"a picture of {len(part.data)} bytes is over this peer's limit of"
                    f" {limits.max_image_bytes}",
                    "send a smaller one",
                    param="messages",
                )


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


def _check_grammar(grammar: Grammar) -> None:
    """It travels with every prompt of its body, so it is measured before any of them does.

    By its characters, which take no time to count and are never more than its bytes: those are
    counted where it is read.
    """
    most = MAX_SCHEMA_BYTES if grammar.kind == "json_schema" else MAX_GRAMMAR_SOURCE_BYTES
    if len(grammar.source) > most:
        raise InvalidRequest(
            f"{grammar.param}: {len(grammar.source)} characters are over the limit of {most} bytes",
            "make it smaller",
            param=grammar.param,
        )
