"""What the spellings of tool calls have in common: how a call is told, and how its body ends.

A body is fed the text behind a call's opening mark. It tells the call while it comes, or finds that
this is none: then what it took is handed back, to be shown as the model wrote it.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..stream import Delta, ToolCallArguments, ToolCallBegin, ToolCallEnd

_ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class Over:
    """A body has ended: `rest` stands behind it, and `refused` is what was no call after all."""

    rest: str
    refused: str = ""


class CallBody(Protocol):
    def push(self, text: str) -> Over | None:
        """Take the next piece; None while the call goes on. Nothing more comes after an Over."""
        ...

    def end(self, *, is_cut: bool) -> str:
        """No more text will come: by the model's own will, or `is_cut`.

        Returns what turned out to be no call.
        """
        ...


class CallWriter:
    """Tells one call as deltas."""

    def __init__(
        self, emit: Callable[[Delta], None], index: int, call_id: Callable[[int], str]
    ) -> None:
        self._emit = emit
        self._index = index
        self._call_id = call_id
        self.has_begun = False

    def begin(self, name: str) -> None:
        self.has_begun = True
        self._emit(ToolCallBegin(self._index, self._call_id(self._index), name))

    def arguments(self, text: str) -> None:
        if text:
            self._emit(ToolCallArguments(self._index, text))

    def end(self, *, is_whole: bool) -> None:
        self._emit(ToolCallEnd(self._index, is_whole))


class CallIds:
    """Names for an answer's calls, the same wherever the answer is made, or made again.

    Of the seed alone they would be the same in every turn of a conversation that keeps its seed.
    """

    def __init__(self, seed: int, prompt_token_ids: Sequence[int]) -> None:
        self._seed = seed
        self._prompt_token_ids = prompt_token_ids

    def __call__(self, index: int) -> str:
        digest = self._prompt_digest.copy()
        digest.update(b"%d" % index)
        return f"call_{digest.hexdigest()}"

    @functools.cached_property
    def _prompt_digest(self) -> hashlib.blake2b:
        digest = hashlib.blake2b(b"%d:" % self._seed, digest_size=_ID_BYTES)
        token_ids = self._prompt_token_ids
        digest.update(struct.pack(f">{len(token_ids)}I", *token_ids))
        return digest
