"""A model's tokens as the grammar library sees them.

Control tokens are out of every grammar's reach. Those that spell the marks of reasoning and calls
are text like any other, whether the model's files call them special or not: grammars spell them.
No token is an answer's end to the library; who draws knows which are (`guide.py`).
"""

from __future__ import annotations

import re
from typing import cast

import llguidance

from ..parsers.reply import MARKS
from ..tokenizer import Tokenizer

_MARK = re.compile("(" + "|".join(map(re.escape, MARKS)) + ")")


def grammar_tokenizer(tokenizer: Tokenizer) -> llguidance.LLTokenizer:
    """Costs half a second and tens of megabytes for 150,000 tokens."""
    # Whatever has these attributes is taken for one.
    wrapped = cast(llguidance.TokenizerWrapper, _Wrapped(tokenizer))
    return llguidance.LLTokenizer(wrapped)


class _Wrapped:
    """What the library asks a tokenizer for. An end mark is added behind all tokens."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._mark_ids = {
            mark: special_id for mark in MARKS if (special_id := tokenizer.special_id(mark))
        }
        self.eos_token_id = tokenizer.vocab_size
        ids = range(tokenizer.vocab_size)
        self.tokens = [*map(tokenizer.token_bytes, ids), b"<end>"]
        marks = frozenset(self._mark_ids.values())
        control = (i for i in ids if tokenizer.is_special(i) and i not in marks)
        self.special_token_ids = [*control, self.eos_token_id]

    def __call__(self, text: bytes | str) -> list[int]:
        """How the model would spell a text that is all that may come."""
        whole = text.decode() if isinstance(text, bytes) else text
        token_ids: list[int] = []
        for part in _MARK.split(whole):
            mark_id = self._mark_ids.get(part)
            plain = self._tokenizer.encode(self._tokenizer.escape(part)) if mark_id is None else []
            token_ids += plain if mark_id is None else [mark_id]
        return token_ids
