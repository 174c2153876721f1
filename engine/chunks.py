"""Where a prompt is cut, and at which of these cuts it is worth remembering.

A cut is a function of the tokens before it: two prompts that begin alike are cut alike as far as
they agree. So a prompt taken up from what is remembered runs through the same chunks as one read
from its start. Which cuts are remembered may depend on the whole prompt: it changes no result.
Fast mode cuts where it pays as well (`fast_ends`): there results agree only within tolerance.
Knows no tokens, only positions; `turns.py` finds the boundaries.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

GRID_TOKENS = 512
# Sparing fewer tokens than these is not worth a copy of the state, nor one more pass for it; nor is
# a rest of fewer a step of its own.
LEAST_SPARED_TOKENS = 32


def chunk_ends(
    num_tokens: int, boundaries: Sequence[int], grid_tokens: int = GRID_TOKENS
) -> tuple[int, ...]:
    """Ends of the chunks that a prompt is read in, the last of them `num_tokens`.

    Cut at every boundary (ascending, after token 0) and, where these are far apart, every
    `grid_tokens` after the last one.
    """
    ends: list[int] = []
    start = 0
    for boundary in (*(b for b in boundaries if b < num_tokens), num_tokens):
        ends += range(start + grid_tokens, boundary, grid_tokens)
        ends.append(boundary)
        start = boundary
    return tuple(ends)


def remembered_ends(
    num_tokens: int,
    boundaries: Sequence[int],
    spacing_tokens: int,
    grid_tokens: int = GRID_TOKENS,
    answer_start: int = 0,
) -> tuple[int, ...]:
    """The cuts after which the state is worth keeping; the prompt's own end is not among them.

    The first boundary is the end of system and tools, where other conversations leave this one;
    the last two are where the next turn and a turn asked again leave it, `answer_start` where the
    next question does; the last cut of all is for the same prompt once more. Between them one in
    `spacing_tokens` is kept, for a history that is changed in its middle.
    """
    inside = [b for b in boundaries if b < num_tokens]
    cuts = chunk_ends(num_tokens, boundaries, grid_tokens)[:-1]
    always = {*inside[:1], *inside[-2:], *cuts[-1:], answer_start}
    kept: list[int] = []
    for end in cuts:
        if end in always or end - (kept[-1] if kept else 0) >= spacing_tokens:
            kept.append(end)
    return tuple(kept)


def fast_ends(
    num_tokens: int,
    remembered: Collection[int],
    num_restored: int,
    diverged_at: int,
    *,
    is_recurrent: bool,
) -> tuple[int, ...]:
    """Where fast mode cuts and remembers a prompt as well, ascending.

    At `diverged_at`, where it leaves the prompts that are known: two have come by here, the third
    can take it up. And before its last token, for the same prompt again. Neither where a cut that
    is `remembered` anyway, or what was restored, does almost as well. What is not recurrent can
    be taken up anywhere: of that the whole prompt is remembered, which needs no cut.
    """
    last = num_tokens - 1
    if not is_recurrent:
        return (num_tokens,) if num_restored < last else ()
    known = {0, num_restored, *remembered}
    ends: list[int] = []
    for end in (min(diverged_at, last), last):
        if end - max(k for k in known if k <= end) >= LEAST_SPARED_TOKENS:
            ends.append(end)
            known.add(end)
    return tuple(ends)
