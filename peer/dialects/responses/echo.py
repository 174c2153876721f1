"""What a response says again of its request.

Raw parts of the body go out as they came, but on one line: an event ends where its line does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cortex.engine.errors import InvalidRequest

from ..decoding import is_absent, refuse
from .body import ReasoningOptions, ResponsesBody, TextOptions

# Sixteen pairs of 64 and 512 characters are what the dialect's own server takes.
_MAX_NOTES_BYTES = 64 * 1024


def read_echo(asked: ResponsesBody) -> dict[str, Any]:
    """Raises InvalidRequest for a part that is no JSON after all."""
    reasoning = asked.reasoning or ReasoningOptions()
    max_tokens = asked.max_output_tokens
    return {
        "instructions": asked.instructions,
        "max_output_tokens": None if max_tokens is None else int(max_tokens),
        "metadata": _notes(asked),
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "reasoning": {"effort": reasoning.effort, "summary": reasoning.summary},
        "temperature": 1.0 if asked.temperature is None else asked.temperature,
        "text": _text(asked.text or TextOptions()),
        "tool_choice": _on_one_line(asked.tool_choice, "tool_choice", b'"auto"'),
        "tools": _on_one_line(asked.tools, "tools", b"[]"),
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": 1.0 if asked.top_p is None else asked.top_p,
    }


def _notes(asked: ResponsesBody) -> dict[str, Any]:
    """The metadata, unless it is longer than anybody's: every keep-alive would say it again."""
    notes = asked.notes
    return notes if len(msgspec.json.encode(notes)) <= _MAX_NOTES_BYTES else {}


def _text(text: TextOptions) -> dict[str, Any]:
    told = {"format": _on_one_line(text.format, "text.format", b'{"type":"text"}')}
    return told if text.verbosity is None else told | {"verbosity": text.verbosity}


def _on_one_line(raw: msgspec.Raw, path: str, default: bytes) -> msgspec.Raw:
    if is_absent(raw):
        return msgspec.Raw(default)
    try:
        line = msgspec.json.format(bytes(raw), indent=-1)
        line.decode()
    except RecursionError:
        raise InvalidRequest(f"{path}: nested too deeply", param=path) from None
    except ValueError:
        refuse(path, "is not JSON in UTF-8")
    return msgspec.Raw(line)
