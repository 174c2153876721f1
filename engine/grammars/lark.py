"""A grammar text as llguidance reads it (its dialect of Lark), put together rule by rule.

Knows how things are written down and nothing of what they are for. Rules are named in the order
they are added, so that the same wishes give the same text, letter for letter.
"""

from __future__ import annotations

import json
from typing import Any

from ..parsers import json_text

# White space where JSON may have it: a blank, or a line break and its indentation. Without a bound
# a model may write blanks until its tokens are used up.
_WHITESPACE = r" |\r?\n[ \t]{0,32}"
_MAIN, _FORM = "main", "form"
MAX_GRAMMAR_BYTES = 1024 * 1024


class LarkText:
    """Add `rule`s and `token`s, then take the `text` of it all.

    `num_chars` is what that was made of, counted as often as it was made, and by who adds to it.
    """

    def __init__(self) -> None:
        self.num_chars = 0
        self._lines: list[str] = []
        self._form: str | None = None
        self._names: dict[str, str] = {}

    def rule(self, body: str, *, is_lazy: bool = False) -> str:
        """The name of a rule; a lazy one, of a token alone, ends as soon as it can."""
        return self._add("r", "[lazy]" if is_lazy else "", body)

    def token(self, body: str) -> str:
        """The name of a token: what is matched as a whole, by a regular expression."""
        return self._add("T", "", body)

    def foreign(self, lark: str) -> str:
        """What stands for a whole grammar of somebody else's, whose names are its own."""
        assert self._form is None, "one answer has one form"
        self._form = lark
        return f"@{_FORM}"

    def text(self, start: str) -> str:
        """The grammar that begins with this rule's body."""
        lines = "\n".join((f"start: {start}", *self._lines, ""))
        if self._form is None:
            return lines
        grammars = [
            {"name": _MAIN, "lark_grammar": lines},
            {"name": _FORM, "lark_grammar": self._form},
        ]
        return json.dumps({"grammars": grammars}, ensure_ascii=False)

    def _add(self, kind: str, option: str, body: str) -> str:
        self.num_chars += len(body)
        key = f"{option}: {body}"
        if key not in self._names:
            name = f"{kind}{len(self._names)}"
            self._names[key] = name
            self._lines.append(name + key)
        return self._names[key]


def quoted(text: str) -> str:
    """This text and no other."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def any_of(alternatives: list[str]) -> str:
    return " | ".join(dict.fromkeys(alternatives))


def json_value(schema: dict[str, Any], *, is_lenient: bool = False) -> str:
    """JSON that obeys a schema; `is_lenient` leaves out what cannot be checked.

    Raises ValueError for a schema with a number that JSON cannot spell.
    """
    # What a client might have written there would loosen the rules.
    options: dict[str, Any] = {
        "whitespace_pattern": _WHITESPACE,
        "json_allow_general_unicode_escapes": True,
        "lenient": is_lenient,
    }
    return "%json " + json_text.dumped({**schema, "x-guidance": options})
