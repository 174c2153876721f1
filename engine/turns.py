"""Where the messages of a chat part in its tokens, for cutting prompts and remembering them.

Found in the tokens, not in the template: a template that marks turns otherwise has no boundaries,
and its prompts are cut on the grid alone. Every boundary lies behind the tokens that show it, so
a prompt cut short there or later has it too.
"""

from __future__ import annotations

from collections.abc import Sequence

from .tokenizer import Tokenizer

_TURN_START = "<|im_start|>"
_RESULT = "user\n<tool_response>"


def turn_boundaries(token_ids: Sequence[int], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Where conversations will leave this prompt, ascending, none at its end.

    Behind the first turn, if that is the system's (with tools), up to and with the mark that
    begins the next; and behind the mark and role of every assistant turn, the one to be written
    among them: clients send answers back without their reasoning, so later prompts go on there.
    """
    assistant, system = tokenizer.encode("assistant"), tokenizer.encode("system")
    marks = _turn_starts(token_ids, tokenizer)
    boundaries = {at + len(assistant) for at in marks if _reads(token_ids, at, assistant)}
    if len(marks) > 1 and _reads(token_ids, marks[0], system):
        boundaries.add(marks[1])
    return tuple(sorted(boundary for boundary in boundaries if boundary < len(token_ids)))


def answer_start(token_ids: Sequence[int], tokenizer: Tokenizer) -> int:
    """The boundary behind the last question of a user, 0 where there is none.

    The answer may go on through many calls of tools, with its reasoning, until the next question
    comes: then a template leaves the reasoning out from here on. Results of tools are told in turns
    of the user too, and ask nothing.
    """
    assistant, user = tokenizer.encode("assistant"), tokenizer.encode("user")
    result = tokenizer.encode(_RESULT)
    start = 0
    for at in reversed(_turn_starts(token_ids, tokenizer)):
        if _reads(token_ids, at, assistant):
            start = at + len(assistant)
        elif _reads(token_ids, at, user) and not _reads(token_ids, at, result):
            break
    else:
        return 0
    return start if start < len(token_ids) else 0


def _turn_starts(token_ids: Sequence[int], tokenizer: Tokenizer) -> list[int]:
    mark = tokenizer.special_id(_TURN_START)
    return [i + 1 for i, token_id in enumerate(token_ids) if token_id == mark]


def _reads(token_ids: Sequence[int], at: int, role: list[int]) -> bool:
    return list(token_ids[at : at + len(role)]) == role
