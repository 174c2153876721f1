"""Drafts by the model's own draft head, and what it has to remember for them.

The head attends to all that came before, as a layer of the model does, and its keys and values lie
in the same pages: row t is of the final hidden state of token t and the embedding of the token
behind it. So they are counted, remembered and suspended with the others. What they are changes no
answer. Prompts are read as they are computed; of answers the head reads what it has not read yet
when it is asked for a draft.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from ..cache.drafted import DraftedMemory
from ..cache.place import Place
from ..cache.pools import PooledMemory, Pools
from ..decoding.inputs import ChunkInputs
from ..models.base import ServableModel
from ..sampler import Chosen, SamplingRow, sampling_row
from ..sequence import Sequence

# Where the head falls farther behind an answer, it does not follow that one any more: hidden states
# that nobody reads would fill the memory.
MOST_UNREAD_TOKENS = 64
# What attention takes of a GPU's memory goes by rows times the longest sequence. All answers may
# have much to be read at once: so many rows are not many more than those of a step.
_MOST_ROWS = 4 * MOST_UNREAD_TOKENS


@dataclass(slots=True)
class Unread:
    """Final hidden states [tokens, hidden] of the tokens from `start` on, which the head has not
    read with the tokens that came behind them. As steps made them: put together when they are read.
    """

    start: int
    pieces: list[torch.Tensor]

    def cut(self, num_tokens: int) -> None:
        """The last step's drafts that were dropped are no tokens."""
        num_dropped = sum(map(len, self.pieces)) - num_tokens
        if num_dropped:
            self.pieces[-1] = self.pieces[-1][:-num_dropped]

    def part(self) -> None:
        """Copy them: each was a row of its step, and kept the rows of all others there."""
        self.pieces = [torch.cat(self.pieces)] if self.pieces else []


# As answers choose them: from logits [rows, vocab], a token for each row.
ChooseTokens = Callable[[torch.Tensor, list[SamplingRow]], list[Chosen | None]]


class HeadDrafts:
    """The draft head of one model over one set of pools."""

    def __init__(self, model: ServableModel, pools: Pools, choose: ChooseTokens) -> None:
        self._model = model
        self._pools = pools
        self._choose = choose

    def read_chunk(
        self,
        sequence: Sequence,
        embeddings: torch.Tensor,
        inputs: ChunkInputs,
        hidden: torch.Tensor,
        memory: PooledMemory,
    ) -> None:
        """Of a prompt: what was computed of it just now in this memory, and is not counted yet.

        embeddings, hidden [tokens, hidden].
        """
        end = sequence.num_computed + len(hidden)
        # What comes behind the last is not known yet, or a picture perhaps. If the answer begins
        # there it is read again; memory that others may begin from is never without something.
        after = torch.cat([embeddings[1:], self._model.embed(inputs.behind)])
        self._model.foresee(after[None], hidden[None], inputs.positions, memory)
        sequence.unread = Unread(end - 1, [hidden[-1:].clone()])

    def note(self, computed: Mapping[Sequence, torch.Tensor]) -> None:
        """Final hidden states [rows, hidden] of the tokens that a step was fed, drafts among them;
        none of them is counted yet, and no later step writes over them.
        """
        for sequence, hidden in computed.items():
            unread = sequence.unread
            if unread is None:
                continue
            num_unread = sequence.num_computed - unread.start
            if num_unread >= MOST_UNREAD_TOKENS:
                sequence.unread = None
            else:
                unread.cut(num_unread)
                unread.pieces.append(hidden)

    def draft(self, lengths: Mapping[Sequence, int]) -> dict[Sequence, list[int]]:
        """What may come behind the next token that is fed to each, so many tokens."""
        order = sorted(lengths, key=lambda sequence: -lengths[sequence])
        hidden = self._catch_up(order)
        drafts = {s: [id_] for s, id_ in zip(order, self._chosen(hidden, order, 1), strict=True)}
        for number in range(1, max(lengths.values(), default=0)):
            asked = [sequence for sequence in order if lengths[sequence] > number]
            at = {sequence: sequence.num_computed - 1 + number for sequence in asked}
            hidden = self._foresee(
                self._embed([drafts[sequence][-1] for sequence in asked]),
                hidden[: len(asked)],
                [sequence.positions.at(index) for sequence, index in at.items()],
                PooledMemory(self._pools, [_place(s, index) for s, index in at.items()], 1),
            )
            for sequence, id_ in zip(asked, self._chosen(hidden, asked, number + 1), strict=True):
                drafts[sequence].append(id_)
        return drafts

    def _catch_up(self, sequences: list[Sequence]) -> torch.Tensor:
        """Read all that is computed, with the tokens behind it; what the head makes of the last
        ones, [sequences, hidden].
        """
        return torch.cat([self._read(some) for some in _groups(sequences)])

    def _read(self, sequences: list[Sequence]) -> torch.Tensor:
        places: list[tuple[Place, int]] = []
        hidden: list[torch.Tensor] = []
        token_ids: list[int] = []
        positions: list[tuple[int, int, int]] = []
        for sequence in sequences:
            unread, end = sequence.unread, sequence.num_computed
            assert unread is not None and unread.start < end, "a draft is asked for once a step"
            places.append((_place(sequence, unread.start), end - unread.start))
            unread.cut(end - unread.start)
            hidden += unread.pieces
            token_ids += sequence.tokens[unread.start + 1 : end + 1]
            positions += map(sequence.positions.at, range(unread.start, end))
            sequence.unread = Unread(end, [])
        memory = DraftedMemory(self._pools, [], places)
        out = self._foresee(self._embed(token_ids), torch.cat(hidden), positions, memory)
        ends = list(accumulate(count for _, count in places))
        return out[torch.tensor(ends, device=out.device) - 1]

    def _foresee(
        self,
        embeddings: torch.Tensor,
        hidden: torch.Tensor,
        positions: list[tuple[int, int, int]],
        memory: PooledMemory | DraftedMemory,
    ) -> torch.Tensor:
        """Rows of one token each, [rows, hidden]; like them."""
        at = torch.tensor(positions, device=self._pools.device).T[..., None]  # [3, rows, 1]
        return self._model.foresee(embeddings[:, None], hidden[:, None], at, memory)[:, 0]

    def _embed(self, token_ids: list[int]) -> torch.Tensor:
        return self._model.embed(torch.tensor(token_ids, device=self._pools.device))

    def _chosen(self, hidden: torch.Tensor, sequences: list[Sequence], number: int) -> list[int]:
        """The tokens that would be drawn if the model's scores were these: with the noise of their
        places, which is known, chance itself can be foreseen. `number` places behind what is fed.
        """
        rows = [
            replace(
                sampling_row(s.prompt, s.num_computed + number - s.num_prompt, s.counts),
                top_logprobs=None,
            )
            for s in sequences
        ]
        chosen = self._choose(self._model.logits(hidden), rows)
        return [0 if one is None else one.token_id for one in chosen]


def _groups(sequences: list[Sequence]) -> list[list[Sequence]]:
    """In their order, so many at a time as have no more to be read than one pass reads."""
    groups: list[list[Sequence]] = [[]]
    room = _MOST_ROWS
    for sequence in sequences:
        assert sequence.unread is not None
        num_unread = sequence.num_computed - sequence.unread.start
        if num_unread > room:
            groups.append([])
            room = _MOST_ROWS
        groups[-1].append(sequence)
        room -= num_unread
    return groups


def _place(sequence: Sequence, num_tokens: int) -> Place:
    place = sequence.place()
    return Place(place.pages, place.slot, num_tokens)
