"""What a response says again of its request.

Raw parts of the body go out as they came, but on one line: an event ends where its line does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cortex.engine.errors import InvalidRequest

from ..decoding import is_absent, refuse
from .body import ResponsesBody, TextOptions
from .reply import Echo, ReasoningEcho, TextEcho

# Sixteen pairs of 64 and 512 characters are what the dialect's own server takes.
_MAX_NOTES_BYTES = 64 * 1024


def read_echo(asked: ResponsesBody) -> Echo:
    """Raises InvalidRequest for a part that is no JSON after all."""
    is_parallel = asked.parallel_tool_calls
    defaults = Echo()
    return Echo(
        instructions=asked.instructions,
        max_output_tokens=None if asked.max_output_tokens is None else int(asked.max_output_tokens),
        metadata=_notes(asked),
        parallel_tool_calls=is_parallel is None or is_parallel,
        reasoning=_reasoning(asked),
        temperature=defaults.temperature if asked.temperature is None else asked.temperature,
        text=_text(asked.text),
        tool_choice=_on_one_line(asked.tool_choice, "tool_choice", defaults.tool_choice),
        tools=_on_one_line(asked.tools, "tools", defaults.tools),
        top_logprobs=asked.top_logprobs or 0,
        top_p=defaults.top_p if asked.top_p is None else asked.top_p,
    )


def _notes(asked: ResponsesBody) -> dict[str, Any]:
    """The metadata, unless it is longer than anybody's: every keep-alive would say it again."""
    notes = asked.notes
    return notes if len(msgspec.json.encode(notes)) <= _MAX_NOTES_BYTES else {}


def _reasoning(asked: ResponsesBody) -> ReasoningEcho:
    if asked.reasoning is None:
        return ReasoningEcho()
    return ReasoningEcho(asked.reasoning.effort, asked.reasoning.summary)


def _text(text: TextOptions | None) -> TextEcho:
    if text is None:
        return TextEcho()
    told = _on_one_line(text.format, "text.format", TextEcho().format)
    return TextEcho(told, msgspec.UNSET if text.verbosity is None else text.verbosity)


def _on_one_line(raw: msgspec.Raw, path: str, default: msgspec.Raw) -> msgspec.Raw:
    if is_absent(raw):
        return default
    try:
        line = msgspec.json.format(bytes(raw), indent=-1)
        line.decode()
    except RecursionError:
        raise InvalidRequest(f"{path}: nested too deeply", param=path) from None
    except ValueError:
        refuse(path, "is not JSON in UTF-8")
    return msgspec.Raw(line)
