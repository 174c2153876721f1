"""The form that a client wants an answer's words to have, as rules of a grammar.

Pure: text in, text out. Whether the grammar library takes it is asked elsewhere (`checking.py`);
here is what it must never be asked.
"""

from __future__ import annotations

import re
from typing import Any, cast

from ..bounds import MAX_GRAMMAR_SOURCE_BYTES
from ..errors import InvalidRequest
from ..parsers import json_text
from ..types import Grammar
from .lark import LarkText, any_of, json_value, quoted
from .schemas import read_schema

MAX_CHOICES = 10_000
_ESCAPED_OR_BREAKING = re.compile(r"\\.|[/\n\r]", re.DOTALL)
_SPELT = {"/": r"\/", "\n": r"\n", "\r": r"\r"}
# What in a Lark text is quoted: strings, regular expressions, comments. A comment is no expression.
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|#[^\n]*|/(?:[^/\\\n]|\\.)+/')
# Tokens by name or number reach past the text, other grammars are not there, and the options would
# take words back that were told, or count what the request counts.
_REFUSED = {
    "<": "tokens in angle brackets",
    "@": "other grammars",
    "stop": "the option stop",
    "max_tokens": "the option max_tokens",
    "temperature": "the option temperature",
}
_REFUSED_PATTERN = re.compile(r"<|@|\b(?:stop|max_tokens|temperature)(?=\s*=)")


def form_rule(lark: LarkText, grammar: Grammar) -> str:
    """The name of the rule that words of this form obey.

    Raises InvalidRequest.
    """
    match grammar.kind:
        case "json_schema":
            schema = read_schema(grammar.source, "the schema", grammar.param)
            return lark.rule(json_value(schema))
        case "json_object":
            return lark.rule(json_value({"type": "object"}))
        case "regex":
            return lark.rule(lark.token(expression(_bounded(grammar))))
        case "choice":
            return lark.rule(any_of([quoted(text) for text in _choices(grammar)]))
        case "lark":
            return lark.foreign(_own_lark(grammar))


def _bounded(grammar: Grammar) -> str:
    if (size_bytes := len(grammar.source.encode())) > MAX_GRAMMAR_SOURCE_BYTES:
        raise InvalidRequest(
            f"the {grammar.kind} is {size_bytes} bytes long,"
            f" at most {MAX_GRAMMAR_SOURCE_BYTES} are taken",
            param=grammar.param,
        )
    if not grammar.source:
        raise InvalidRequest(f"the {grammar.kind} is empty", param=grammar.param)
    return grammar.source


def expression(regex: str) -> str:
    """A regular expression as a Lark text has it, between slashes and on one line."""
    body = _ESCAPED_OR_BREAKING.sub(lambda m: _SPELT.get(m[0][-1], m[0]), regex)
    return f"/{body}/"


def _choices(grammar: Grammar) -> list[str]:
    try:
        value = json_text.load(_bounded(grammar))
    except ValueError:
        value = None
    items = cast(list[Any], value) if isinstance(value, list) else []
    texts = [json_text.without_half_characters(item) for item in items if isinstance(item, str)]
    if not texts or len(texts) < len(items) or len(texts) > MAX_CHOICES:
        raise InvalidRequest(
            f"the choice must be a list of 1 to {MAX_CHOICES} strings", param=grammar.param
        )
    return texts


def _own_lark(grammar: Grammar) -> str:
    source = _bounded(grammar)
    found = _REFUSED_PATTERN.search(_QUOTED.sub('""', source))
    if found is not None:
        raise InvalidRequest(
            f"the grammar uses {_REFUSED[found[0]]}, which is not taken here",
            "write what the answer's text has to be with strings, expressions and rules",
            param=grammar.param,
        )
    return source
