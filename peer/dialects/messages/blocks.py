"""An answer as blocks, strictly one after the other: deltas in, events of blocks out.

The stream sends the events, and the whole reply has the blocks that they tell of, so both say the
same. What a stream looks like around its blocks is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from cortex.engine.stream import (
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
)

from ..arguments import Arguments
from .signatures import sign

Json = dict[str, Any]

_OUR_PREFIX, _THEIR_PREFIX = "call_", "toolu_"


class Blocks:
    """`content` are the blocks that are over. With `hides_thinking` blocks of it are told without
    their text, which goes into the signature.
    """

    def __init__(self, *, hides_thinking: bool = False) -> None:
        self.content: list[Json] = []
        self.has_calls = False
        self._hides_thinking = hides_thinking
        self._open: Json | None = None
        self._texts: list[str] = []
        self._arguments = Arguments()
        # A call that is not whole stays open until it is known why: it may have been cut off.
        self._is_calling_over = False

    def take(self, delta: Delta) -> Iterator[Json]:
        if self._is_calling_over:
            yield from self._stop()
        match delta:
            case TextDelta():
                yield from self._say({"type": "text", "text": ""}, delta.text)
            case ReasoningDelta():
                block = {"type": "thinking", "thinking": "", "signature": ""}
                yield from self._say(block, delta.text)
            case ToolCallBegin():
                # A call's id as this dialect begins them; sent back, it is as opaque as any other.
                call_id = _THEIR_PREFIX + delta.id.removeprefix(_OUR_PREFIX)
                call: Json = {"type": "tool_use", "id": call_id, "name": delta.name, "input": {}}
                yield from self._begin(call)
                self._arguments = Arguments()
                self.has_calls = True
            case ToolCallArguments():
                if piece := self._arguments.push(delta.text):
                    yield self._growth("input_json_delta", "partial_json", piece)
            case ToolCallEnd(is_whole=True):
                yield from self._stop()
            case ToolCallEnd():
                self._is_calling_over = True

    def end(self, *, is_cut: bool) -> Iterator[Json]:
        """The answer is over, by the model's will or cut off: what is open is stopped.

        An answer is never without a block.
        """
        if not self.content and self._open is None:
            yield from self._begin({"type": "text", "text": ""})
        yield from self._stop(is_cut=is_cut)

    def _say(self, block: Json, text: str) -> Iterator[Json]:
        """A piece of text in the block that is open, if it is such a one, or in a new one."""
        if not text:
            return
        kind = block["type"]
        if self._open is None or self._open["type"] != kind:
            yield from self._begin(block)
        self._texts.append(text)
        if kind == "text" or not self._hides_thinking:
            yield self._growth(f"{kind}_delta", kind, text)

    def _begin(self, block: Json) -> Iterator[Json]:
        yield from self._stop()
        self._open = block
        self._texts.clear()
        yield {"type": "content_block_start", "index": len(self.content), "content_block": block}

    def _stop(self, *, is_cut: bool = False) -> Iterator[Json]:
        """A call that was cut off stays as far as it came: closed, it would pass for what the model
        meant.
        """
        if self._open is None:
            return
        self._is_calling_over = False
        text = "".join(self._texts)
        match self._open["type"]:
            case "tool_use":
                if not is_cut and (rest := self._arguments.end()):
                    yield self._growth("input_json_delta", "partial_json", rest)
                told: Json = {"input": msgspec.Raw(self._arguments.input_json().encode())}
            case "thinking":
                hidden, shown = (text, "") if self._hides_thinking else ("", text)
                told = {"thinking": shown, "signature": sign(hidden)}
                yield self._growth("signature_delta", "signature", told["signature"])
            case _:
                told = {"text": text}
        yield {"type": "content_block_stop", "index": len(self.content)}
        self.content.append(self._open | told)
        self._open = None

    def _growth(self, kind: str, name: str, text: str) -> Json:
        growth = {"type": kind, name: text}
        return {"type": "content_block_delta", "index": len(self.content), "delta": growth}
