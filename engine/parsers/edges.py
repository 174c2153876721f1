"""The line breaks around marks.

Models put line breaks between their marks and what the marks enclose; they belong to the marks and
are no part of the text. Whether the breaks at the end of a text touch a mark is known only when
more has come: until then they are counted, not shown.
"""

from __future__ import annotations


class Edge:
    """Text of one kind, between two marks. `at_start`: a mark, or nothing, stands before it."""

    def __init__(self, *, at_start: bool) -> None:
        self._at_start = at_start
        self._num_held = 0

    @property
    def is_at_start(self) -> bool:
        """Whether nothing but breaks has come since the mark before it."""
        return self._at_start

    def push(self, text: str) -> str:
        """What may be shown now."""
        if self._at_start:
            text = text.lstrip("\n")
            self._at_start = not text
        body = text.rstrip("\n")
        num_trailing = len(text) - len(body)
        if not body:
            self._num_held += num_trailing
            return ""
        shown = self.release() + body
        self._num_held = num_trailing
        return shown

    def release(self) -> str:
        """The breaks that were held back, for where no mark follows."""
        held, self._num_held = self._num_held, 0
        return "\n" * held
