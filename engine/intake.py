"""Requests taken in for one model: what can never be served is refused before it waits.

Knows how much one request may fill, and not who else is there but by their number.
"""

from __future__ import annotations

from collections.abc import Iterable

from .errors import (
    InsufficientVram,
    InvalidRequest,
    MemoryShortage,
    Overloaded,
    writes_no_text,
)
from .guiding import Guiding
from .long_text import check_capacity
from .messages import Wanted
from .runner import Runner
from .sequence import Sequence, open_sequence
from .types import Prompt

MAX_WAITING = 256


class Intake:
    """Opens the sequences of requests."""

    def __init__(
        self,
        runner: Runner,
        guiding: Guiding | None,
        *,
        capacity_tokens: int,
        picture_bytes: int,
        grid_tokens: int,
    ) -> None:
        """`capacity_tokens` is what one sequence alone may fill, and `picture_bytes` what the rows
        of pictures may take, those of one chunk at a time; `grid_tokens` is the longest chunk.
        """
        self._runner = runner
        self._guiding = guiding
        self._capacity_tokens = capacity_tokens
        self._picture_bytes = picture_bytes
        self._grid_tokens = grid_tokens

    def open(self, wanted: Wanted, prompt: Prompt, num_waiting: int, now_s: float) -> Sequence:
        """Raises ContextLengthExceeded for a prompt that can never fit and InsufficientVram for
        such pictures, Overloaded where too many wait, and InvalidRequest where pictures and their
        places differ, or for tokens to go on from that can be no answer's: they come from other
        peers. Files may have changed since the request was made a prompt: InvalidRequest for tokens
        that the weights have not, and ModelNotSupported where a model without a head is asked for
        more than a vector.
        """
        shape = self._runner.shape
        if prompt.pooling is None and not shape.has_head:
            raise writes_no_text("this model")
        _check_resumed(wanted.resume_token_ids, prompt.max_tokens, shape.vocab_size)
        check_capacity(prompt, len(wanted.resume_token_ids), self._capacity_tokens)
        biased = (token_id for token_id, _ in prompt.sampling.logit_bias)
        check_in_table(prompt.token_ids, shape.vocab_size, "the prompt holds")
        check_in_table(biased, shape.vocab_size, "logit_bias names", "logit_bias")
        if num_waiting >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} requests already wait for this model.")
        sequence = open_sequence(
            wanted, prompt, shape,
            capacity_tokens=self._capacity_tokens, grid_tokens=self._grid_tokens, now_s=now_s,
        )  # fmt: skip
        picture_bytes = self._runner.picture_bytes(sequence)
        _check_pictures(picture_bytes, self._picture_bytes)
        if self._guiding is not None:
            sequence.guided = self._guiding.open(prompt, wanted.resume_token_ids)
        return sequence

    def close(self) -> None:
        """Nothing is opened any more."""
        if self._guiding is not None:
            self._guiding.close()


def check_in_table(
    token_ids: Iterable[int], vocab_size: int, says: str, param: str | None = None
) -> None:
    """Raises InvalidRequest for a token of the tokenizer alone: many add some, and train none."""
    largest = max(token_ids, default=0)  # there may be a million of them
    if largest >= vocab_size:
        raise InvalidRequest(
            f"{says} token {largest}, which this model's tokenizer has and its weights have not:"
            f" theirs end at {vocab_size - 1}",
            "ask without it, or ask another model",
            param=param,
        )


def _check_resumed(token_ids: tuple[int, ...], max_tokens: int, vocab_size: int) -> None:
    foreign = [token_id for token_id in token_ids if not 0 <= token_id < vocab_size]
    if foreign or len(token_ids) > max_tokens:
        raise InvalidRequest(
            f"an answer cannot be gone on with from {len(token_ids)} tokens, {len(foreign)} of"
            f" them none of this model's; {max_tokens} were wanted at most",
            "send the request again",
        )


def _check_pictures(required_bytes: int, available_bytes: int) -> None:
    if required_bytes > available_bytes:
        raise InsufficientVram(
            f"this request needs memory for {required_bytes} bytes of pictures; the model was"
            f" loaded with room for {available_bytes}.",
            "ask for less, or give the engine more memory.",
            shortage=MemoryShortage(required_bytes, available_bytes, is_final=True),
        )
