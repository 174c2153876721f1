"""What an OpenAI body, chat or plain completions, wants the answer to be.

Prose, JSON, or one of a grammar's texts.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, field

from cortex.engine.types import Grammar

from .decoding import is_absent, refuse
from .grammars import format_grammar, schema_grammar
from .offered_tools import Schema


class JsonSchema(msgspec.Struct):
    name: str | None = None
    schema: Schema = field(default_factory=Raw)


class ResponseFormat(msgspec.Struct):
    type: str
    json_schema: JsonSchema | None = None
    # Beside json_object, as some servers take it.
    schema: Schema = field(default_factory=Raw)


class StructuredOutputs(msgspec.Struct):
    """What the answer has to be, in one of these ways; an extension of the dialect."""

    json: Schema = field(default_factory=Raw)
    regex: str | None = None
    choice: list[str] | None = None
    grammar: Annotated[str, Meta(description="A Lark grammar.")] | None = None


def read_grammar(
    wanted: ResponseFormat | None, outputs: StructuredOutputs | None
) -> Grammar | None:
    """Raises InvalidRequest."""
    both = (_from_format(wanted), _from_outputs(outputs))
    asked = [grammar for grammar in both if grammar is not None]
    if len(asked) > 1:
        refuse("structured_outputs", "asks for a second form beside response_format")
    return asked[0] if asked else None


def _from_format(wanted: ResponseFormat | None) -> Grammar | None:
    if wanted is None:
        return None
    if wanted.type == "json_schema" and wanted.json_schema is None:
        refuse("response_format.json_schema", "required")
    if wanted.type == "json_object" and not is_absent(wanted.schema):
        return schema_grammar(wanted.schema, "response_format.schema")
    schema = (wanted.json_schema or JsonSchema()).schema
    return format_grammar(wanted.type, schema, "response_format", "json_schema.schema")


def _from_outputs(wanted: StructuredOutputs | None) -> Grammar | None:
    if wanted is None:
        return None
    asked: list[Grammar] = []
    if not is_absent(wanted.json):
        asked.append(schema_grammar(wanted.json, "structured_outputs.json"))
    if wanted.regex is not None:
        asked.append(Grammar("regex", wanted.regex, "structured_outputs.regex"))
    if wanted.choice is not None:
        if not wanted.choice:
            refuse("structured_outputs.choice", "must not be empty")
        choices = msgspec.json.encode(wanted.choice).decode()
        asked.append(Grammar("choice", choices, "structured_outputs.choice"))
    if wanted.grammar is not None:
        asked.append(Grammar("lark", wanted.grammar, "structured_outputs.grammar"))
    if len(asked) != 1:
        refuse("structured_outputs", "must have one of json, regex, choice and grammar")
    return asked[0]
