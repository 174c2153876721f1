"""What a request adds to or takes from the model's scores before a token is chosen.

Penalties on what was said, biases, ids that may not come now, and the mask of a grammar. It works
on the few scores concerned, for all rows together, and knows nothing of how tokens are drawn.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch

from ..types import Sampling


class TokenCounts:
    """The distinct tokens of the prompt and the answer, and how often the answer has each."""

    def __init__(
        self, prompt_ids: Iterable[int], device: torch.device, answer_ids: Iterable[int] = ()
    ) -> None:
        """`answer_ids` are what is known of the answer: counted here, for on a device each `add`
        costs some launches, and an answer that is gone on with may be long.
        """
        answered = Counter(answer_ids)
        distinct = list(dict.fromkeys(itertools.chain(prompt_ids, answered)))
        self._slots = {token_id: slot for slot, token_id in enumerate(distinct)}
        self._ids = torch.tensor(distinct, dtype=torch.long, device=device)
        counts = [answered[token_id] for token_id in distinct]
        self._answered = torch.tensor(counts, dtype=torch.float32, device=device)

    @property
    def ids(self) -> torch.Tensor:
        """int64 [distinct], in the order of their first appearance."""
        return self._ids[: len(self._slots)]

    @property
    def answered(self) -> torch.Tensor:
        """float32 [distinct]."""
        return self._answered[: len(self._slots)]

    def add(self, token_id: int) -> None:
        """This token has come next in the answer."""
        slot = self._slots.setdefault(token_id, len(self._slots))
        if slot == len(self._ids):
            # Twice the room, so that n tokens cost no more than 2n copies.
            room = max(64, len(self._ids))
            self._ids = torch.cat((self._ids, self._ids.new_zeros(room)))
            self._answered = torch.cat((self._answered, self._answered.new_zeros(room)))
        self._ids[slot] = token_id
        self._answered[slot] += 1


def needs_counts(sampling: Sampling) -> bool:
    """Whether any penalty looks at the tokens so far."""
    return (
        sampling.presence_penalty != 0.0
        or sampling.frequency_penalty != 0.0
        or sampling.repetition_penalty != 1.0
    )


class Adjustment(Protocol):
    """What a row asks for.

    `counts` are there where `needs_counts` says so. `banned_ids` may not come now. `mask` int32
    [vocab / 32, rounded up] has a bit for each token, from the lowest of the first word on: those
    not set may not come now.
    """

    @property
    def sampling(self) -> Sampling: ...
    @property
    def counts(self) -> TokenCounts | None: ...
    @property
    def banned_ids(self) -> Sequence[int]: ...
    @property
    def mask(self) -> torch.Tensor | None: ...


def asks_nothing(row: Adjustment) -> bool:
    """Whether this row's scores are taken as the model gave them."""
    return not (
        row.banned_ids
        or row.mask is not None
        or row.sampling.logit_bias
        or needs_counts(row.sampling)
    )


def adjust(scores: torch.Tensor, rows: Sequence[Adjustment]) -> None:
    """Change scores float32 [rows, vocab], one row for each of `rows`, in place."""
    flat = scores.view(-1)
    _penalise(flat, scores.shape[1], rows)
    _bias(flat, scores.shape[1], rows)
    _ban(flat, scores.shape[1], rows)
    _mask(scores, rows)


def _penalise(flat: torch.Tensor, vocab_size: int, rows: Sequence[Adjustment]) -> None:
    """Repetition penalty (Keskar et al., 2019) on all seen; the other two on the answer's own."""
    counted = [(place, row, row.counts) for place, row in enumerate(rows) if row.counts is not None]
    if not counted:
        return
    lengths = torch.tensor([len(counts.ids) for _, _, counts in counted], device=flat.device)
    wishes = torch.tensor(
        [
            (s.repetition_penalty, s.frequency_penalty, s.presence_penalty)
            for s in (row.sampling for _, row, _ in counted)
        ],
        device=flat.device,
    )
    # One line for each distinct token of each row.
    repetition, frequency, presence = wishes.repeat_interleave(lengths, dim=0).unbind(dim=1)
    starts = torch.tensor([place * vocab_size for place, _, _ in counted], device=flat.device)
    index = torch.cat([counts.ids for _, _, counts in counted])
    index = index + starts.repeat_interleave(lengths)
    answered = torch.cat([counts.answered for _, _, counts in counted])
    values = flat[index]
    values = torch.where(values > 0, values / repetition, values * repetition)
    values = values - frequency * answered - presence * (answered > 0)
    flat[index] = values


def _bias(flat: torch.Tensor, vocab_size: int, rows: Sequence[Adjustment]) -> None:
    wishes = [
        (place * vocab_size + token_id, bias)
        for place, row in enumerate(rows)
        for token_id, bias in row.sampling.logit_bias
    ]
    if wishes:
        index, biases = zip(*wishes, strict=True)
        flat[torch.tensor(index, device=flat.device)] += torch.tensor(biases, device=flat.device)


def _ban(flat: torch.Tensor, vocab_size: int, rows: Sequence[Adjustment]) -> None:
    # What a model's files call an answer's end may be a token that its weights have not.
    places = (
        (place * vocab_size + token_id for token_id in row.banned_ids if token_id < vocab_size)
        for place, row in enumerate(rows)
    )
    if index := list(itertools.chain.from_iterable(places)):
        flat[torch.tensor(index, device=flat.device)] = float("-inf")


def _mask(scores: torch.Tensor, rows: Sequence[Adjustment]) -> None:
    masked = [(place, row.mask) for place, row in enumerate(rows) if row.mask is not None]
    if not masked:
        return
    # By bytes, of which there are 256: looked up, not shifted out bit by bit. What may not come
    # loses infinitely much: taking away costs a third of filling in, and changes no other score.
    shifts = torch.arange(8, device=scores.device)
    is_set_by_byte = (torch.arange(256, device=scores.device)[:, None] >> shifts & 1) == 1
    loss_by_byte = torch.where(is_set_by_byte, 0.0, float("inf"))  # [256, 8]
    for place, mask in masked:
        row = scores[place]
        is_set = mask.to(scores.device).view(torch.uint8).int()
        losses = loss_by_byte.index_select(0, is_set)  # [words * 4, 8]
        row.sub_(losses.view(-1)[: len(row)])
