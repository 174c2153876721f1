"""Deltas on their way to a client, in which the arguments of calls are JSON."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from cortex.engine.stream import Delta, ToolCallArguments, ToolCallBegin, ToolCallEnd
from cortex.engine.types import FinishReason

from .arguments import Arguments


class MendedCalls:
    """`take` the deltas of one answer in order, then its `end`. Calls of the tools in
    `custom_names` stay as they are: their text is read out of them by other rules.
    """

    def __init__(self, custom_names: Container[str]) -> None:
        self._custom_names = custom_names
        self._arguments: Arguments | None = None
        # The end of a call that is not whole, until it is known why: it may have been cut off.
        self._broken: ToolCallEnd | None = None

    def take(self, deltas: Iterable[Delta]) -> Iterator[Delta]:
        for delta in deltas:
            yield from self._close(is_cut=False)
            match delta:
                case ToolCallBegin():
                    is_custom = delta.name in self._custom_names
                    self._arguments = None if is_custom else Arguments()
                    yield delta
                case ToolCallArguments() if self._arguments is not None:
                    if piece := self._arguments.push(delta.text):
                        yield ToolCallArguments(delta.index, piece)
                case ToolCallEnd() if self._arguments and not (
                    delta.is_whole and not self._arguments.closed_early
                ):
                    self._broken = delta
                case _:
                    yield delta

    def end(self, reason: FinishReason) -> Iterator[Delta]:
        """A call that was cut off stays as far as it came: closed, it would pass for what the model
        meant.
        """
        return self._close(is_cut=reason != "stop")

    def _close(self, *, is_cut: bool) -> Iterator[Delta]:
        broken, self._broken = self._broken, None
        if broken is None:
            return
        arguments = self._arguments
        if not is_cut and arguments and (rest := arguments.end()):
            yield ToolCallArguments(broken.index, rest)
        is_short = is_cut or (arguments is not None and arguments.closed_early)
        yield ToolCallEnd(broken.index, is_whole=not is_short)
