"""What a response says again of its request.

Raw parts of the body go out as they came, but on one line: an event ends where its line does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cortex.engine.errors import InvalidRequest

from ..decoding import is_absent, refuse
from ..sampling import read_effort
from .body import ReasoningOptions, ResponsesBody, TextOptions

# What is longer is not said again: every keep-alive would say it.
_MOST_BYTES = 256 * 1024


def read_echo(asked: ResponsesBody) -> dict[str, Any]:
    """Raises InvalidRequest for a part that is no JSON after all."""
    reasoning = asked.reasoning or ReasoningOptions()
    max_tokens = asked.max_output_tokens
    return {
        "instructions": _encoded(asked.instructions, "instructions", b"null"),
        "max_output_tokens": None if max_tokens is None else int(max_tokens),
        "metadata": _encoded(asked.notes, "metadata", b"{}"),
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "reasoning": {
            "effort": read_effort(reasoning.effort),
            "summary": _encoded(reasoning.summary, "reasoning.summary", b"null"),
        },
        # Null where the model's own hold: what they are is known where it runs.
        "temperature": asked.temperature,
        "text": _text(asked.text or TextOptions()),
        "tool_choice": _on_one_line(asked.tool_choice, "tool_choice", b'"auto"'),
        "tools": _on_one_line(asked.tools, "tools", b"[]"),
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": asked.top_p,
    }


def _text(text: TextOptions) -> dict[str, Any]:
    told = {"format": _on_one_line(text.format, "text.format", b'{"type":"text"}')}
    if text.verbosity is None:
        return told
    return told | {"verbosity": _encoded(text.verbosity, "text.verbosity", b"null")}


def _encoded(value: Any, path: str, default: bytes) -> msgspec.Raw:
    """Here and now: where it is told there may be less room for what is nested."""
    try:
        line = msgspec.json.encode(value)
    except RecursionError:
        raise _too_deep(path) from None
    return _short(line, default)


def _on_one_line(raw: msgspec.Raw, path: str, default: bytes) -> msgspec.Raw:
    if is_absent(raw):
        return msgspec.Raw(default)
    try:
        line = msgspec.json.format(bytes(raw), indent=-1)
        line.decode()
    except RecursionError:
        raise _too_deep(path) from None
    except ValueError:
        refuse(path, "is not JSON in UTF-8")
    return _short(line, default)


def _short(line: bytes, default: bytes) -> msgspec.Raw:
    return msgspec.Raw(line if len(line) <= _MOST_BYTES else default)


def _too_deep(path: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: nested too deeply", param=path)
