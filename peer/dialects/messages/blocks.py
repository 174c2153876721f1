"""An answer as blocks, strictly one after the other: deltas in, events of blocks out.

The stream sends the events and the whole reply is put together from them, so both say the same.
What a stream looks like around its blocks is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator

from cortex.engine.types import (
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
)

from .arguments import Arguments
from .shapes import (
    Block,
    BlockDelta,
    BlockEvent,
    BlockStart,
    BlockStop,
    Growth,
    InputGrowth,
    Signed,
    TextBlock,
    TextGrowth,
    ThinkingBlock,
    ThinkingGrowth,
    ToolUseBlock,
)
from .signatures import sign

_OUR_PREFIX, _THEIR_PREFIX = "call_", "toolu_"


def tool_use_id(call_id: str) -> str:
    """A call's id as this dialect begins them; sent back, it is as opaque as any other."""
    return _THEIR_PREFIX + call_id.removeprefix(_OUR_PREFIX)


class Blocks:
    """`hides_thinking`: its blocks are told without their text, which goes into the signature."""

    def __init__(self, *, hides_thinking: bool = False) -> None:
        self._hides_thinking = hides_thinking
        self._hidden: list[str] = []
        self._open: type[Block] | None = None
        self._num_begun = 0
        self._arguments = Arguments()
        # A call that is not whole stays open until it is known why: it may have been cut off.
        self._is_calling_over = False
        self.has_calls = False

    def take(self, delta: Delta) -> Iterator[BlockEvent]:
        if self._is_calling_over:
            yield from self._stop()
        match delta:
            case TextDelta():
                if delta.text:
                    yield from self._reach(TextBlock())
                    yield self._growth(TextGrowth(delta.text))
            case ReasoningDelta():
                if delta.text:
                    yield from self._reach(ThinkingBlock())
                    yield from self._think(delta.text)
            case ToolCallBegin():
                yield from self._begin(ToolUseBlock(tool_use_id(delta.id), delta.name))
                self._arguments = Arguments()
                self.has_calls = True
            case ToolCallArguments():
                if piece := self._arguments.push(delta.text):
                    yield self._growth(InputGrowth(piece))
            case ToolCallEnd(is_whole=True):
                yield from self._stop()
            case ToolCallEnd():
                self._is_calling_over = True

    def end(self, *, is_cut: bool) -> Iterator[BlockEvent]:
        """The answer is over, by the model's will or cut off: what is open is stopped.

        An answer is never without a block.
        """
        if not self._num_begun:
            yield from self._begin(TextBlock())
        yield from self._stop(is_cut=is_cut)

    def _reach(self, block: Block) -> Iterator[BlockEvent]:
        if self._open is not type(block):
            yield from self._begin(block)

    def _begin(self, block: Block) -> Iterator[BlockEvent]:
        yield from self._stop()
        yield BlockStart(self._num_begun, block)
        self._num_begun += 1
        self._open = type(block)

    def _think(self, text: str) -> Iterator[BlockEvent]:
        if self._hides_thinking:
            self._hidden.append(text)
        else:
            yield self._growth(ThinkingGrowth(text))

    def _stop(self, *, is_cut: bool = False) -> Iterator[BlockEvent]:
        """A call that was cut off stays as far as it came: closed, it would pass for what the model
        meant.
        """
        self._is_calling_over = False
        if self._open is ToolUseBlock and not is_cut and (rest := self._arguments.end()):
            yield self._growth(InputGrowth(rest))
        if self._open is ThinkingBlock:
            yield self._growth(Signed(sign("".join(self._hidden))))
            self._hidden.clear()
        if self._open is not None:
            self._open = None
            yield BlockStop(self._num_begun - 1)

    def _growth(self, growth: Growth) -> BlockDelta:
        return BlockDelta(self._num_begun - 1, growth)
