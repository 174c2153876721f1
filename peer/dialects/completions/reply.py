"""The plain completions dialect, outwards: whole replies and streams, whose objects have one shape.

Log probabilities are parallel lists, whose offsets count on from piece to piece: each choice keeps
its place.
"""

from __future__ import annotations

import codecs
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from cortex.engine.stream import Accepted, Finished, Piece
from cortex.engine.types import FinishReason, TokenLogprob

from ...deltas import said
from ..asked import Answer
from ..openai_replies import OpenAITeller, ReplyHead, finish_reason, shown

_OBJECT = "text_completion"


class CompletionTeller(OpenAITeller):
    """A chunk for every piece, and one for the end of each choice."""

    def __init__(self, head: ReplyHead, num_choices: int, *, tells_tokens: bool) -> None:
        super().__init__(head, _OBJECT, num_choices, tells_tokens=tells_tokens)
        self._places = defaultdict[int, _Place](_Place)

    def whole(self, answers: Sequence[Answer]) -> bytes:
        choices = [self._choice(each.whole, each.finished.reason) for each in answers]
        return self.whole_reply(_OBJECT, choices, [each.finished for each in answers])

    def open(self, accepted: Accepted) -> bytes:
        return b""

    def tell(self, event: Piece | Finished) -> bytes:
        if isinstance(event, Piece):
            return self.chunk(self._choice(event))
        self.tally.add(event)
        return self.chunk(self._choice(Piece((), choice=event.choice), event.reason))

    def _choice(self, piece: Piece, reason: FinishReason | None = None) -> dict[str, Any]:
        logprobs = self._places[piece.choice].lists(piece.logprobs) if piece.logprobs else None
        choice: dict[str, Any] = {
            "index": piece.choice,
            "text": said(piece.deltas).text,
            "logprobs": logprobs,
            "finish_reason": reason and finish_reason(reason, has_calls=False),
        }
        return choice | {"token_ids": piece.token_ids} if self.head.wants_token_ids else choice


class _Place:
    """How far the tokens of one choice have come, in whole characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._num_chars = 0

    def lists(self, logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
        offsets: list[int] = []
        for entry in logprobs:
            offsets.append(self._num_chars)
            if not entry.is_skipped:
                self._num_chars += len(self._decoder.decode(entry.token.data))
        return {
            "tokens": [shown(entry.token) for entry in logprobs],
            "token_logprobs": [entry.token.logprob for entry in logprobs],
            "top_logprobs": [_by_text(entry) for entry in logprobs],
            "text_offset": offsets,
        }


def _by_text(entry: TokenLogprob) -> dict[str, float | None] | None:
    """The best and the one that was taken, by their text; of several that read alike, the better.
    Nothing of a token that was not foretold.
    """
    if entry.token.logprob is None:
        return None
    best: dict[str, float | None] = {}
    for token in (*entry.top, entry.token):
        best.setdefault(shown(token), token.logprob)
    return best
