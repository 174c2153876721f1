"""What comes of a chat request: the stream of events that its consumer sees, and its usage.

Free to import, as types.py is.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .types import FinishReason, ImageTokens, TokenLogprob


class Usage(msgspec.Struct, frozen=True):
    """`completion_tokens` counts the reasoning too."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


# What an answer is made of, piece by piece. A piece is never half a character. A call's pieces come
# between its begin and its end, with no other call's among them.


class ReasoningDelta(msgspec.Struct, frozen=True, tag=True, tag_field="kind"):
    text: str


class TextDelta(msgspec.Struct, frozen=True, tag=True, tag_field="kind"):
    text: str


class ToolCallBegin(msgspec.Struct, frozen=True, tag=True, tag_field="kind"):
    """`index` counts the answer's calls from 0."""

    index: int
    id: str
    name: str


class ToolCallArguments(msgspec.Struct, frozen=True, tag=True, tag_field="kind"):
    """A piece of the JSON text of the call's arguments."""

    index: int
    text: str


class ToolCallEnd(msgspec.Struct, frozen=True, tag=True, tag_field="kind"):
    """`is_whole`: the model finished the call, and its pieces joined are one JSON object.

    A call that was cut off, or whose JSON is broken, is not whole: its pieces are what there is.
    """

    index: int
    is_whole: bool


Delta = ReasoningDelta | TextDelta | ToolCallBegin | ToolCallArguments | ToolCallEnd


# What a request's consumer sees, in this order: stages, one Accepted once the prompt is known,
# stages again while the model or its turn is waited for, one Began for every engine that takes it
# up, pieces, one Finished for each choice. A failure is raised as a CortexError instead.


StageWord = Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[a-z ]*\Z")]


class Stage(msgspec.Struct, frozen=True, tag=True):
    """What is being waited for: starting, loading, queued, preparing, prefill, defragmenting, or a
    newer peer's word. `total` 0 means the amount is unknown.

    `unit` names what done and total count: "bytes", "tokens", "images", or "place" in a queue.
    `eta_s` is when the whole wait should be over, judging by earlier ones; None without any. Of the
    tokens of a prompt that is being read `cached_tokens` were remembered.
    """

    name: StageWord
    done: int = 0
    total: int = 0
    unit: str = ""
    eta_s: float | None = None
    cached_tokens: int = 0


class Accepted(msgspec.Struct, frozen=True, tag=True):
    """`prompt_hash` tells prompts apart: a peer that makes the same of a request may go on with
    its answer.
    """

    prompt_tokens: int
    images: tuple[ImageTokens, ...]
    max_tokens: int
    prompt_hash: bytes = b""


class Began(msgspec.Struct, frozen=True, tag=True):
    """An engine has the model and begins. `computes_in` says how it computes: where two of one
    release say the same of the same weights, their tokens are the same. `is_cold` where it waited
    for the model to load, for which the models `evicted` had to go.
    """

    computes_in: str
    is_cold: bool = False
    evicted: tuple[str, ...] = ()


class Piece(msgspec.Struct, frozen=True, tag=True):
    """What some tokens of an answer say. Tokens may say nothing yet, and an end has no tokens.

    The first piece of a choice begins with its echoed prompt, whose tokens are not told.
    `logprobs` are those of the tokens that are the answer's words, where they were asked for, and
    of a plain completion at last those of the token that ended it, which has no place in
    `token_ids`. An older peer tells nothing of that one.
    The last one may say more than its tokens: what was held back until the end. Whoever goes on
    with a choice from its tokens is told that again, and so has to drop a last piece without its
    Finished.
    """

    deltas: tuple[Delta, ...]
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    choice: int = 0
    is_last: bool = False


class Finished(msgspec.Struct, frozen=True, tag=True):
    """The end of one choice; `usage` is of this choice alone.

    `stop_text` is the client's own stop string that ended it, where one did.
    """

    reason: FinishReason
    usage: Usage
    choice: int = 0
    stop_text: str | None = None


Event = Stage | Accepted | Began | Piece | Finished


class Vector(msgspec.Struct, frozen=True, tag=True):
    """All that comes of a request for one: its values, float32, lowest byte first."""

    data: bytes
    prompt_tokens: int


def is_computing(event: Event | Vector) -> bool:
    """Whether an engine computes it by then: Began only says that it has the model, and there its
    other requests may be waited for.
    """
    if isinstance(event, Stage):
        return event.name == "prefill"
    return isinstance(event, Piece | Finished | Vector)


class Resume(msgspec.Struct, frozen=True):
    """What of an answer somebody has already, who wants the rest of it from another engine.

    `prompt_hash` and `computes_in` are what the first one said. `token_ids` are the tokens so far,
    choice by choice; None is a choice that has ended.
    """

    prompt_hash: bytes
    computes_in: str
    token_ids: tuple[tuple[int, ...] | None, ...]
