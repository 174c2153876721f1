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


def choice_grammar(choices: list[str], path: str) -> Grammar:
    if not choices:
        refuse(path, "must not be empty")
    return Grammar("choice", msgspec.json.encode(choices).decode(), path)
