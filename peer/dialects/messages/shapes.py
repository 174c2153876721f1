"""What the messages dialect answers with: a message, its blocks, and the events of a stream.

Shapes only, in the order in which their keys are written. What goes into them is decided by
`blocks.py`, `reply.py` and `stream.py`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"
]


class TextBlock(msgspec.Struct, frozen=True, tag="text"):
    """Words of the answer."""

    text: str = ""


class ThinkingBlock(msgspec.Struct, frozen=True, tag="thinking"):
    """Reasoning. `signature` is opaque: send it back with the block as it came."""

    thinking: str = ""
    signature: str = ""


class ToolUseBlock(msgspec.Struct, frozen=True, tag="tool_use"):
    """A call of one of the tools on offer; its result is sent back under the same `id`."""

    id: str
    name: str
    input: msgspec.Raw = msgspec.Raw(b"{}")


Block = TextBlock | ThinkingBlock | ToolUseBlock


class OutputTokensDetails(msgspec.Struct, frozen=True):
    thinking_tokens: int


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`input_tokens` counts what did not come from the cache; `output_tokens` all that was made."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: OutputTokensDetails | None = None


class Reply(msgspec.Struct, frozen=True, tag="message"):
    """A whole answer, and the empty one that a stream begins with."""

    id: str
    model: str
    content: tuple[Block, ...]
    usage: Usage
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    role: Literal["assistant"] = "assistant"


class TokenCount(msgspec.Struct, frozen=True):
    """How many tokens a prompt has."""

    input_tokens: int


# The events of a stream. Blocks come one after the other: each is started, grows, and is stopped.


class MessageStart(msgspec.Struct, frozen=True, tag="message_start"):
    message: Reply


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    pass


class BlockStart(msgspec.Struct, frozen=True, tag="content_block_start"):
    index: int
    content_block: Block


class TextGrowth(msgspec.Struct, frozen=True, tag="text_delta"):
    text: str


class ThinkingGrowth(msgspec.Struct, frozen=True, tag="thinking_delta"):
    thinking: str


class InputGrowth(msgspec.Struct, frozen=True, tag="input_json_delta"):
    """The pieces of one call, joined, are the JSON text of its input."""

    partial_json: str


class Signed(msgspec.Struct, frozen=True, tag="signature_delta"):
    signature: str


Growth = TextGrowth | ThinkingGrowth | InputGrowth | Signed


class BlockDelta(msgspec.Struct, frozen=True, tag="content_block_delta"):
    index: int
    delta: Growth


class BlockStop(msgspec.Struct, frozen=True, tag="content_block_stop"):
    index: int


class Stopped(msgspec.Struct, frozen=True):
    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(msgspec.Struct, frozen=True, tag="message_delta"):
    """How the answer ended. The counts of `usage` replace those that the stream began with."""

    delta: Stopped
    usage: Usage


class MessageStop(msgspec.Struct, frozen=True, tag="message_stop"):
    pass


BlockEvent = BlockStart | BlockDelta | BlockStop
StreamEvent = MessageStart | Ping | BlockEvent | MessageDelta | MessageStop
