"""Whether a sequence should wait for another that reads the same prompt, or one that begins alike.

What the other remembers on its way is taken up from there instead of being computed twice: the
choices of one request, and strangers that send the same long instructions at the same time. Knows
nothing of places or of order, and decides for one moment: who waits is asked again every step.
"""

from __future__ import annotations

from .chunks import LEAST_SPARED_TOKENS
from .sequence import Sequence


def should_follow(sequence: Sequence, leader: Sequence) -> bool:
    """Whether `leader`, which runs, will soon remember much that `sequence` begins with.

    Soon is within its prompt: a leader that is past it, or no longer runs, is waited for no more.
    """
    if leader.is_prefilled or sequence.saved is not None or sequence.reads_all:
        return False
    ahead = [
        end
        for end in leader.remembered
        if end > leader.num_computed and _begin_alike(sequence, leader, end)
    ]
    if not ahead:
        return False
    passed = (end for end in leader.remembered if end <= leader.num_computed)
    known = max(leader.num_cached, *passed, 0)
    return max(ahead) - known >= LEAST_SPARED_TOKENS


def _begin_alike(sequence: Sequence, leader: Sequence, end: int) -> bool:
    """Whether the first `end` tokens of the leader's prompt are of use to the sequence."""
    whole = sequence.num_prompt
    if whole == leader.num_prompt and sequence.marks[whole] == leader.marks[whole]:
        return True
    mark = sequence.marks.get(end)
    return end < whole and mark is not None and mark == leader.marks.get(end)
