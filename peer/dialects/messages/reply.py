"""The messages dialect, outwards: a whole reply, why it ended, and what it cost. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import msgspec

from cortex.engine import types
from cortex.engine.types import Delta, Finished

from .arguments import Arguments
from .blocks import Blocks
from .shapes import (
    Block,
    BlockDelta,
    BlockEvent,
    BlockStart,
    BlockStop,
    InputGrowth,
    OutputTokensDetails,
    Reply,
    Signed,
    StopReason,
    TextBlock,
    TextGrowth,
    ThinkingBlock,
    ThinkingGrowth,
    ToolUseBlock,
    Usage,
)


class ReplyHead(msgspec.Struct, frozen=True):
    """What is known of a reply before its answer: `model` is the name that was asked for."""

    id: str
    model: str
    hides_thinking: bool = False


def render_reply(head: ReplyHead, deltas: Iterable[Delta], finished: Finished) -> Reply:
    blocks = Blocks(hides_thinking=head.hides_thinking)
    events = [event for delta in deltas for event in blocks.take(delta)]
    content = fold_blocks([*events, *blocks.end(is_cut=is_cut(finished))])
    reason, sequence = ending(finished, has_calls=blocks.has_calls)
    return Reply(head.id, head.model, content, render_usage(finished.usage), reason, sequence)


def is_cut(finished: Finished) -> bool:
    """Whether a limit ended the answer, wherever it was."""
    return finished.reason in ("length", "context")


def ending(finished: Finished, *, has_calls: bool) -> tuple[StopReason, str | None]:
    """Why the answer ended, and the client's own stop text where that did it."""
    if finished.reason == "length":
        return "max_tokens", None
    if finished.reason == "context":
        return "model_context_window_exceeded", None
    if has_calls:
        return "tool_use", None
    if finished.stop_text is not None:
        return "stop_sequence", finished.stop_text
    return "end_turn", None


def render_usage(usage: types.Usage) -> Usage:
    return Usage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=usage.cached_tokens,
        output_tokens_details=OutputTokensDetails(usage.reasoning_tokens),
    )


def fold_blocks(events: Iterable[BlockEvent]) -> tuple[Block, ...]:
    """The blocks that the events of a finished answer make."""
    blocks: list[Block] = []
    deltas: list[BlockDelta] = []
    for event in events:
        match event:
            case BlockStart():
                blocks.append(event.content_block)
            case BlockDelta():
                deltas.append(event)
            case BlockStop():
                pass
    grown = itertools.groupby(deltas, key=lambda delta: delta.index)
    for index, growth in grown:
        blocks[index] = _grown(blocks[index], list(growth))
    return tuple(blocks)


def _grown(block: Block, deltas: list[BlockDelta]) -> Block:
    pieces = [delta.delta for delta in deltas]
    match block:
        case TextBlock():
            return TextBlock("".join(p.text for p in pieces if isinstance(p, TextGrowth)))
        case ThinkingBlock():
            thinking = "".join(p.thinking for p in pieces if isinstance(p, ThinkingGrowth))
            signature = "".join(p.signature for p in pieces if isinstance(p, Signed))
            return ThinkingBlock(thinking, signature)
        case ToolUseBlock():
            arguments = Arguments()
            for piece in pieces:
                if isinstance(piece, InputGrowth):
                    arguments.push(piece.partial_json)
            return ToolUseBlock(block.id, block.name, msgspec.Raw(arguments.input_json().encode()))
