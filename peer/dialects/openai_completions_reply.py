"""The plain completions dialect, outwards: events become the objects a client reads.

Whole replies and pieces of a stream have one shape. Log probabilities are parallel lists, whose
offsets count on from piece to piece: each choice keeps its place.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from cortex.engine.types import FinishReason, Piece, TokenLogprob, Usage

from ..deltas import said
from .openai_reply import ReplyHead, render_usage


class CompletionReply:
    """One reply, whole or streamed; `head` says what its objects share."""

    def __init__(self, head: ReplyHead) -> None:
        self._head = head
        self._places: dict[int, _Place] = {}

    def piece(self, piece: Piece, reason: FinishReason | None = None) -> dict[str, Any]:
        """What came of one choice: an item of a whole reply's choices, or of a stream's."""
        choice: dict[str, Any] = {
            "index": piece.choice,
            "text": said(piece.deltas).text,
            "logprobs": None,
            "finish_reason": reason,
        }
        if piece.logprobs:
            place = self._places.setdefault(piece.choice, _Place())
            choice["logprobs"] = place.lists(piece.logprobs)
        if self._head.wants_token_ids:
            choice["token_ids"] = list(piece.token_ids)
        return choice

    def whole(self, choices: Sequence[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        return self._object(choices) | {"usage": render_usage(usage)}

    def chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        # As in chat: asked for, the key is in every chunk, null until the last.
        chunk = self._object([choice])
        return chunk | {"usage": None} if self._head.include_usage else chunk

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        return self.whole((), usage)

    def _object(self, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._head.id,
            "object": "text_completion",
            "created": self._head.created_s,
            "model": self._head.model,
            "choices": list(choices),
        }


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


def _by_text(entry: TokenLogprob) -> dict[str, float] | None:
    """The best by their text; of several that read alike, the better one."""
    best: dict[str, float] = {}
    for token in entry.top:
        best.setdefault(_text(token.data), token.logprob)
    return best or None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
