"""Where the messages of a chat part in its tokens, for cutting prompts and remembering them.

Found in the tokens, not in the template: a template that marks turns otherwise has no boundaries,
and its prompts are cut on the grid alone. Every boundary lies behind the tokens that show it, so
a prompt cut short there or later has it too.
"""

from __future__ import annotations

from collections.abc import Sequence

from .tokenizer import Tokenizer

_TURN_START = "<|im_start|>"


def turn_boundaries(token_ids: Sequence[int], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Where conversations will leave this prompt, ascending, none at its end.

    Behind the first turn, if that is the system's (with tools), up to and with the mark that
    begins the next; and behind the mark and role of every assistant turn, the one to be written
    among them: clients send answers back without their reasoning, so later prompts go on there.
    """
    mark = tokenizer.special_id(_TURN_START)
    assistant, system = tokenizer.encode("assistant"), tokenizer.encode("system")
    marks = [i + 1 for i, token_id in enumerate(token_ids) if token_id == mark]
    boundaries = {at + len(assistant) for at in marks if _reads(token_ids, at, assistant)}
    if len(marks) > 1 and _reads(token_ids, marks[0], system):
        boundaries.add(marks[1])
    return tuple(sorted(boundary for boundary in boundaries if boundary < len(token_ids)))


def _reads(token_ids: Sequence[int], at: int, role: list[int]) -> bool:
    return list(token_ids[at : at + len(role)]) == role
