"""Logits to tokens, a whole batch at once: what each request asked, and nothing of its neighbours.

A row's result is a pure function of the row: the same bits alone, in any batch and at any place in
it, and the noise of a draw is a pure function of (seed, position, token id). So a request that is
continued elsewhere from the same tokens draws the same next token. Log probabilities are the
model's own: of its scores as they were before penalties, biases, masks and temperature.

Knows no sequence and no model; whoever calls says what a row's position and tokens so far are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from .sampling.adjusting import TokenCounts, adjust, asks_nothing, needs_counts
from .sampling.drawing import Draw, draw, take
from .sampling.largest import largest, sound_ids, top
from .sampling.noise import noise_key
from .types import MAX_TOP_LOGPROBS, Prompt, Sampling, TokenScores

# What stands for minus infinity, which JSON cannot say.
_LOWEST_LOGPROB = -9999.0
# Rows that need more than their best score are worked on so many scores at a time: their copies
# stay in a processor's cache, and a wide batch costs no more memory than a narrow one.
_SCORES_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class SamplingRow:
    """What one row of logits is chosen by. `position` is the new token's index in its sequence.

    `counts` are needed where `needs_counts` says so. `banned_ids` may not come now. `mask` is a
    grammar's word on what may: int32 [vocab / 32, rounded up] on the host, a bit for each token,
    from the lowest bit of the first word on. `top_logprobs` None asks for no log probabilities, a
    number for the chosen token's and those of so many of the best.
    """

    sampling: Sampling
    position: int
    counts: TokenCounts | None = None
    banned_ids: tuple[int, ...] = ()
    mask: torch.Tensor | None = None
    top_logprobs: int | None = None


def sampling_row(
    prompt: Prompt,
    num_answered: int,
    counts: TokenCounts | None = None,
    mask: torch.Tensor | None = None,
    *,
    may_end: bool = True,
) -> SamplingRow:
    """How the next token of an answer is chosen that has `num_answered` tokens."""
    may_not_end = not may_end or num_answered < prompt.min_tokens
    return SamplingRow(
        prompt.sampling,
        position=len(prompt.token_ids) + num_answered,
        counts=counts,
        banned_ids=prompt.stop_token_ids if may_not_end else (),
        mask=mask,
        top_logprobs=prompt.top_logprobs,
    )


@dataclass(frozen=True, slots=True)
class Chosen:
    token_id: int
    scores: TokenScores | None = None


# Logits [rows, vocab] and their rows, all `is_usual`, to token ids int64 [rows]: -1 for none.
DrawUsual = Callable[[torch.Tensor, Sequence[SamplingRow]], torch.Tensor]


def choose_tokens(
    logits: torch.Tensor,
    rows: Sequence[SamplingRow],
    forbidden_ids: torch.Tensor,
    draw_usual: DrawUsual | None = None,
) -> list[Chosen | None]:
    """The next token of each row; None where there is none to choose.

    That is a row whose logits are not numbers, or one in which everything is forbidden.
    logits float32 [rows, vocab], in which nothing is changed but that forbidden_ids int64 [ids],
    which no row may ever get, become -inf. `draw_usual` is given the rows that it can draw.
    """
    logits.index_fill_(1, forbidden_ids, float("-inf"))
    chosen: list[Chosen | None] = [None] * len(rows)
    is_quick = _is_plain if draw_usual is None else is_usual
    quick = [place for place, row in enumerate(rows) if is_quick(row)]
    if quick:
        scores, quick_rows = take(logits, quick), [rows[place] for place in quick]
        if draw_usual is None:
            token_ids = sound_ids(*largest(scores))
        else:
            drawn = cast("list[int]", draw_usual(scores, quick_rows).tolist())
            token_ids = [None if token_id < 0 else token_id for token_id in drawn]
        for place, token_id in zip(quick, token_ids, strict=True):
            chosen[place] = None if token_id is None else Chosen(token_id)
    others = [place for place, row in enumerate(rows) if not is_quick(row)]
    num_at_once = rows_at_once(logits.shape[1])
    for start in range(0, len(others), num_at_once):
        some = others[start : start + num_at_once]
        chosen_here = _choose(take(logits, some), [rows[place] for place in some])
        for place, one in zip(some, chosen_here, strict=True):
            chosen[place] = one
    return chosen


def score_tokens(
    logits: torch.Tensor, token_ids: Sequence[int], count: int, forbidden_ids: torch.Tensor
) -> list[TokenScores]:
    """The log probabilities of tokens that were not drawn, a row for each, and `count` of the best.

    logits float32 [rows, vocab]; as when tokens are drawn, forbidden_ids int64 [ids] become -inf.
    """
    logits.index_fill_(1, forbidden_ids, float("-inf"))
    return _scores_at(logits, token_ids, [count] * len(token_ids))


def rows_at_once(vocab_size: int) -> int:
    return max(1, _SCORES_AT_ONCE // vocab_size)


def _is_plain(row: SamplingRow) -> bool:
    """Whether the best score is all that is asked for."""
    return row.sampling.temperature == 0.0 and row.top_logprobs is None and asks_nothing(row)


def is_usual(row: SamplingRow) -> bool:
    """Whether it asks for nothing but temperature, truncations and a mask."""
    asks_more = row.banned_ids or row.sampling.logit_bias or needs_counts(row.sampling)
    return row.top_logprobs is None and not asks_more


def _choose(logits: torch.Tensor, rows: Sequence[SamplingRow]) -> list[Chosen | None]:
    adjusted = logits
    if not all(asks_nothing(row) for row in rows):
        adjusted = logits.clone()
        adjust(adjusted, rows)
    token_ids: list[int | None] = [None] * len(rows)
    greedy = [place for place, row in enumerate(rows) if row.sampling.temperature == 0.0]
    if greedy:
        for place, token_id in zip(
            greedy, sound_ids(*largest(take(adjusted, greedy))), strict=True
        ):
            token_ids[place] = token_id
    drawn = [place for place, row in enumerate(rows) if row.sampling.temperature != 0.0]
    if drawn:
        draws = [
            Draw(row.sampling, noise_key(row.sampling.seed, row.position))
            for row in (rows[place] for place in drawn)
        ]
        for place, token_id in zip(drawn, draw(take(adjusted, drawn), draws), strict=True):
            token_ids[place] = token_id
    scores = _score(logits, rows, token_ids)
    return [
        None if token_id is None else Chosen(token_id, scores.get(place))
        for place, token_id in enumerate(token_ids)
    ]


def _score(
    logits: torch.Tensor, rows: Sequence[SamplingRow], token_ids: Sequence[int | None]
) -> dict[int, TokenScores]:
    """Log probabilities by the places of the rows that asked for them."""
    asked = [
        (place, row.top_logprobs, token_id)
        for place, (row, token_id) in enumerate(zip(rows, token_ids, strict=True))
        if row.top_logprobs is not None and token_id is not None
    ]
    if not asked:
        return {}
    places = [place for place, _, _ in asked]
    counts, ids = [count for _, count, _ in asked], [token_id for _, _, token_id in asked]
    return dict(zip(places, _scores_at(take(logits, places), ids, counts), strict=True))


def _scores_at(
    logits: torch.Tensor, token_ids: Sequence[int], counts: Sequence[int]
) -> list[TokenScores]:
    """The log probability of a token in each row, and so many of the row's best."""
    logprobs = logits.log_softmax(dim=-1).nan_to_num_(nan=_LOWEST_LOGPROB)
    logprobs = logprobs.clamp_(min=_LOWEST_LOGPROB)
    wanted = torch.tensor(token_ids, device=logits.device)[:, None]
    own = cast("list[float]", logprobs.gather(1, wanted)[:, 0].tolist())
    # Always as many, so that equals among the last are the same whoever asks beside.
    values, ids = top(logprobs, min(MAX_TOP_LOGPROBS, logits.shape[1]))
    best_values = cast("list[list[float]]", values.tolist())
    best_ids = cast("list[list[int]]", ids.tolist())
    return [
        TokenScores(
            own[row], tuple(zip(best_ids[row][:count], best_values[row][:count], strict=True))
        )
        for row, count in enumerate(counts)
    ]
