"""Which sequences draw their next token in a step, and by what rule.

Runs on the device thread, between the model's scores and the sampler. What may come next in an
answer that is held to something is worked out elsewhere (`guiding.py`) while the model computes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from .errors import CortexError, EngineFailed, InvalidRequest
from .grammars.guide import Allowed, Free, Next
from .guiding import mask_tensor, wait_for
from .runner import Runner
from .sampler import SamplingRow, is_usual, sampling_row
from .sequence import Sequence

Rows = dict[Sequence, SamplingRow]

# How long a step waits for masks that are late: beside other work, and where there is none.
_PATIENCE_S = 0.002
_IDLE_PATIENCE_S = 0.02
_ANYTHING = Free(may_end=True)


def drawable(
    logits: dict[Sequence, torch.Tensor], *, has_work: bool
) -> dict[Sequence, torch.Tensor]:
    """Those whose next token can be drawn now; the others keep their scores for another step.

    Masks were worked on while this step was computed: most are there, and a late one is waited
    for a moment, but does not hold up the rest.
    """
    late = {s: s.guided for s in logits if s.guided is not None and not s.guided.is_ready}
    if has_work:
        wait_for([g for g in late.values() if g.is_open], _PATIENCE_S, all_of=True)
    elif len(late) == len(logits):
        wait_for(late.values(), _IDLE_PATIENCE_S, all_of=False)
    for sequence, guided in late.items():
        if not guided.is_ready:
            # The step's own scores are the next step's to write over.
            kept = logits.pop(sequence)
            sequence.undrawn = kept.clone() if sequence.undrawn is None else kept
    return logits


def drawn_within(sequences: Iterable[Sequence], num_coming: int = 0) -> Rows:
    """Whose next token can be drawn by the very step that computes its scores: it is known how by
    then, and nothing rare is asked. `num_coming` tokens of each are drawn and not known yet.
    """
    rows: Rows = {}
    for s in sequences:
        num_answered = s.num_answered + num_coming
        is_next = s.num_computed + 1 == len(s.tokens) + num_coming and num_answered < s.max_tokens
        if is_next and s.guided is None:
            row = sampling_row(s.prompt, num_answered, s.counts)
            if is_usual(row):
                rows[s] = row
    return rows


def coming_for(sequence: Sequence) -> Next:
    """Raises InvalidRequest where nothing may come that obeys what was asked of the answer."""
    return _ANYTHING if sequence.guided is None else sequence.guided.next()


def row_of(sequence: Sequence, coming: Free | Allowed, runner: Runner) -> SamplingRow:
    prompt, num_answered, counts = sequence.prompt, sequence.num_answered, sequence.counts
    if isinstance(coming, Free):
        return sampling_row(prompt, num_answered, counts, may_end=coming.may_end)
    mask = mask_tensor(coming, runner.shape.vocab_size)
    return sampling_row(prompt, num_answered, counts, mask)


def no_token_error(row: SamplingRow) -> CortexError:
    if row.mask is not None:
        return InvalidRequest(
            "what was asked of the answer leaves no token that this model may write.",
            "ask for text that a model can write.",
        )
    return EngineFailed(
        "the model's scores leave no token to choose.",
        "they may be no numbers: check the model's files with cortex verify.",
    )
