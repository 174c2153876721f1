"""Tools that take free text: functions, to the model, with one string parameter `input`.

A call of one comes back as the text itself, which `free_text.py` reads out of the arguments.
"""

from __future__ import annotations

import msgspec

from cortex.engine.types import Tool

from .free_text import FreeText

_PARAMETERS = (
    '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],'
    '"additionalProperties":false}'
)


class _Arguments(msgspec.Struct):
    input: str


def custom_tool(name: str, description: str) -> Tool:
    return Tool(name, description, _PARAMETERS, is_strict=True)


def arguments_of(text: str) -> str:
    """The arguments of a call that was given this text."""
    return msgspec.json.encode(_Arguments(text)).decode()


def text_of(arguments: str) -> str:
    """The text of a call with these arguments; where they are no such object, they themselves."""
    text = FreeText()
    return text.push(arguments) + text.end()
