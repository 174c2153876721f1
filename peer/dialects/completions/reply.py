"""The plain completions dialect, outwards: whole replies and streams, whose objects have one shape.

Log probabilities are parallel lists, whose offsets count on from piece to piece: each choice keeps
its place.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cortex.engine.types import Accepted, Finished, FinishReason, Piece, TokenLogprob

from ...deltas import said
from .. import events
from ..asked import Answer
from ..completed import finish_reason, render_usage
from ..errors import ToldError, openai_envelope
from ..usage import UsageTally, total_usage


@dataclass(frozen=True, slots=True)
class CompletionHead:
    """What all objects of one reply share. `model` is the name the client asked for."""

    id: str
    created_s: int
    model: str
    include_usage: bool = False
    wants_token_ids: bool = False


def render_reply(head: CompletionHead, answers: Sequence[Answer], num_choices: int) -> bytes:
    choices = Choices(head)
    rendered = [choices.render(each.whole, each.finished.reason) for each in answers]
    usage = total_usage([each.finished for each in answers], num_choices)
    return msgspec.json.encode(_object(head, rendered) | {"usage": render_usage(usage)})


class CompletionTeller:
    """A chunk for every piece, and one for the end of each choice."""

    def __init__(self, head: CompletionHead, num_choices: int) -> None:
        self._head = head
        self._choices = Choices(head)
        self._tally = UsageTally(num_choices)

    def open(self, accepted: Accepted) -> bytes:
        return b""

    def tell(self, event: Piece | Finished) -> bytes:
        if isinstance(event, Piece):
            return self._chunk(self._choices.render(event))
        self._tally.add(event)
        return self._chunk(self._choices.render(Piece((), choice=event.choice), event.reason))

    def keep_alive(self) -> bytes:
        return events.KEEP_ALIVE

    def close(self) -> bytes:
        if not self._head.include_usage:
            return events.DONE
        usage = {"usage": render_usage(self._tally.total)}
        return events.data(_object(self._head, ()) | usage) + events.DONE

    def fail(self, error: ToldError) -> bytes:
        return events.data(openai_envelope(error)) + events.DONE

    def _chunk(self, choice: dict[str, Any]) -> bytes:
        # As in chat: asked for, the key is in every chunk, null until the last.
        chunk = _object(self._head, [choice])
        return events.data(chunk | {"usage": None} if self._head.include_usage else chunk)


class Choices:
    """Items of a whole reply's choices, or of a stream's."""

    def __init__(self, head: CompletionHead) -> None:
        self._head = head
        self._places: dict[int, _Place] = {}

    def render(self, piece: Piece, reason: FinishReason | None = None) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": piece.choice,
            "text": said(piece.deltas).text,
            "logprobs": None,
            "finish_reason": reason and finish_reason(reason, has_calls=False),
        }
        if piece.logprobs:
            place = self._places.setdefault(piece.choice, _Place())
            choice["logprobs"] = place.lists(piece.logprobs)
        if self._head.wants_token_ids:
            choice["token_ids"] = list(piece.token_ids)
        return choice


class _Place:
    """How far the tokens of one choice have come, in whole characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._num_chars = 0

    def lists(self, logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
        offsets: list[int] = []
        for entry in logprobs:
            offsets.append(self._num_chars)
            self._num_chars += len(self._decoder.decode(entry.token.data))
        return {
            "tokens": [_text(entry.token.data) for entry in logprobs],
            "token_logprobs": [entry.token.logprob for entry in logprobs],
            "top_logprobs": [_by_text(entry) for entry in logprobs],
            "text_offset": offsets,
        }


def _object(head: CompletionHead, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": head.id,
        "object": "text_completion",
        "created": head.created_s,
        "model": head.model,
        "choices": list(choices),
    }


def _by_text(entry: TokenLogprob) -> dict[str, float | None] | None:
    """The best by their text; of several that read alike, the better one."""
    best: dict[str, float | None] = {}
    for token in entry.top:
        best.setdefault(_text(token.data), token.logprob)
    return best or None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
