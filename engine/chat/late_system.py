"""Whether a chat template takes a system message that does not stand in front.

Found out by rendering: conversations with a system message put in at each place where one may come,
and without it. The template takes them if all that this changes is one turn more, spelt the same
everywhere. No list of model names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import InvalidRequest
from ..template import ChatTemplate

_Messages = Sequence[dict[str, Any]]
_TEXT = "Speak in rhymes."
_LATE: dict[str, Any] = {"role": "system", "content": _TEXT}
_FIRST: dict[str, Any] = {"role": "system", "content": "Be kind."}
_TALK: _Messages = (
    {"role": "user", "content": "Where is it?"},
    {"role": "assistant", "content": "Here!"},
    {"role": "user", "content": "And now?"},
)
# Ids of nine letters or digits: one family's template takes no others.
_CALLS: list[dict[str, Any]] = [
    {
        "id": f"lookup00{number}",
        "type": "function",
        "function": {"name": "look_up", "arguments": {"key": f"value {number}"}},
    }
    for number in (1, 2)
]
_WORK: _Messages = (
    {"role": "user", "content": "Look it up."},
    {"role": "assistant", "content": "", "reasoning_content": "How?", "tool_calls": _CALLS},
    {"role": "tool", "content": "a key", "tool_call_id": "lookup001"},
    {"role": "tool", "content": "a lock", "tool_call_id": "lookup002"},
    {"role": "assistant", "content": "Found and lost."},
)


def takes_late_system(template: ChatTemplate) -> bool:
    turns: list[str] = []
    for base in (_TALK, (_FIRST, *_TALK), _WORK, (_FIRST, *_WORK), _WORK[:-1]):
        without = _rendered(template, base)
        if without is None:  # no conversation of this template's
            continue
        for place in _places(base):
            rendered = _rendered(template, [*base[:place], _LATE, *base[place:]])
            turn = None if rendered is None else _added_turn(without, rendered)
            if turn is None or rendered is None or not _is_in_place(rendered, base, place):
                return False
            turns.append(turn)
    # Where a turn begins cannot be told from what is added: its neighbours may begin alike.
    return bool(turns) and all(len(t) == len(turns[0]) and t in turns[0] * 2 for t in turns)


def _places(base: _Messages) -> Iterator[int]:
    """Behind every message but the first system message and those whose results are to come.

    Nor behind an assistant's that comes last: that is no conversation to be answered, and templates
    treat its last turn as one that goes on.
    """
    for place in range(1, len(base) + 1):
        before, behind = base[place - 1]["role"], base[place : place + 1]
        is_between = bool(behind) and behind[0]["role"] == "tool"
        if before != "system" and not is_between and (behind or before != "assistant"):
            yield place


def _is_in_place(rendered: str, base: _Messages, place: int) -> bool:
    """Behind all that was said before, in front of all that comes after."""
    at = rendered.index(_TEXT)
    return all(rendered.find(m["content"]) <= at for m in base[:place]) and all(
        rendered.find(m["content"], at) > at for m in base[place:] if m["content"]
    )


def _added_turn(without: str, rendered: str) -> str | None:
    """What stands in `rendered` that is not in the other; None where that is no turn of its own."""
    if rendered.count(_TEXT) != 1 or _TEXT in without:
        return None
    num_added = len(rendered) - len(without)
    at = rendered.index(_TEXT)
    for start in range(max(0, at + len(_TEXT) - num_added), at + 1):
        if rendered[:start] + rendered[start + num_added :] == without:
            turn = rendered[start : start + num_added]
            return turn if turn.strip() != _TEXT else None
    return None


def _rendered(template: ChatTemplate, messages: _Messages) -> str | None:
    try:
        return template.render(messages, now_s=0)
    except InvalidRequest:
        return None
