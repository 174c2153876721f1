"""What a model made of a prompt's own tokens: their log probabilities, chunk by chunk.

For an echoed prompt alone. A few positions are scored at a time, however long the chunk: the scores
of each are of a whole vocabulary.
"""

from __future__ import annotations

import torch

from .runner import Runner
from .sampler import rows_at_once, score_tokens
from .sequence import Sequence


def score_chunk(
    sequence: Sequence,
    start: int,
    hidden: torch.Tensor,
    runner: Runner,
    forbidden_ids: torch.Tensor,
) -> None:
    """Add the scores of what follows each position: hidden [tokens, hidden] are those from `start`.

    The last position of a prompt speaks of the answer's first token, which is not scored here.
    """
    wanted = sequence.prompt.top_logprobs or 0
    following = sequence.prompt.token_ids[start + 1 : start + 1 + len(hidden)]
    num_at_once = rows_at_once(runner.shape.vocab_size)
    scores = list(sequence.prompt_scores or ())
    for first in range(0, len(following), num_at_once):
        token_ids = following[first : first + num_at_once]
        logits = runner.logits(hidden[first : first + len(token_ids)])
        scores += score_tokens(logits, token_ids, wanted, forbidden_ids)
    sequence.prompt_scores = tuple(scores)
