"""JSON schemas and their kin, as the grammars that answers have to obey.

Whether one can be compiled is found out in the text process; here it is only read.
"""

from __future__ import annotations

import msgspec

from cortex.engine.types import Grammar

from .decoding import is_absent, object_text, refuse


def schema_grammar(schema: msgspec.Raw, path: str) -> Grammar:
    """Raises InvalidRequest where there is no schema."""
    if is_absent(schema):
        refuse(path, "required: a JSON schema")
    return Grammar("json_schema", object_text(schema, path), path)


def format_grammar(kind: str, schema: msgspec.Raw, path: str, schema_path: str) -> Grammar | None:
    """What an answer's format asks for; `schema_path` leads from it to the schema."""
    if kind == "text":
        return None
    if kind == "json_object":
        return Grammar("json_object")
    if kind != "json_schema":
        refuse(f"{path}.type", "must be text, json_object or json_schema")
    return schema_grammar(schema, f"{path}.{schema_path}")
