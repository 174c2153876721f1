"""Where system messages go that do not stand in front.

A template that takes them gets them in their place. Others refuse a late one, leave it out, or
move it, which changes the meaning of what was said before it: there its text goes into a
neighbouring turn. Pure; which template does what, `late_system` finds out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from ..types import Message, TextPart

_BLANK_LINE = "\n\n"


def place_system_messages(
    messages: Sequence[Message], *, takes_late_system: bool
) -> tuple[Message, ...]:
    """The same conversation as the template takes it.

    Those that lead are joined into one, and a later one never parts a call from its results.
    """
    leading = list(itertools.takewhile(_is_system, messages))
    later = _behind_results(messages[len(leading) :])
    return (*_joined(leading), *(later if takes_late_system else _folded(later)))


def _behind_results(messages: Iterable[Message]) -> list[Message]:
    """Late system messages that say something, each behind the results that it stood before."""
    turns: list[Message] = []
    waiting: list[Message] = []
    for message in messages:
        if _is_system(message):
            waiting += [message] if _text_of(message) else []
        elif message.role == "tool" and turns and _awaits_results(turns[-1]):
            turns.append(message)
        else:
            turns += [*waiting, message]
            waiting = []
    return [*turns, *waiting]


def _awaits_results(message: Message) -> bool:
    return message.role == "tool" or bool(message.tool_calls)


def _folded(messages: Iterable[Message]) -> list[Message]:
    """None of them a system message.

    A text is added to the user message or the tool result before it. After an assistant's turn it
    goes in front of the user message that follows, or becomes one where none does: an answer that
    was given to it must not come before it in the next prompt.
    """
    turns: list[Message] = []
    waiting = ""
    for message in messages:
        if not _is_system(message):
            if waiting and message.role == "user":
                message = _with_text_before(message, waiting)
            elif waiting:
                turns.append(Message("user", (TextPart(waiting),)))
            waiting = ""
            turns.append(message)
        elif turns and turns[-1].role in ("user", "tool"):
            turns[-1] = _with_text_after(turns[-1], _text_of(message))
        else:
            waiting = _paragraphs((waiting, _text_of(message)))
    return [*turns, Message("user", (TextPart(waiting),))] if waiting else turns


def _joined(leading: list[Message]) -> list[Message]:
    if len(leading) < 2:
        return leading
    return [Message("system", (TextPart(_paragraphs(map(_text_of, leading))),))]


def _is_system(message: Message) -> bool:
    return message.role == "system"


def _text_of(message: Message) -> str:
    return "".join(part.text for part in message.content if isinstance(part, TextPart))


def _paragraphs(texts: Iterable[str]) -> str:
    return _BLANK_LINE.join(text for text in texts if text)


def _with_text_after(message: Message, text: str) -> Message:
    *others, last = message.content or (TextPart(""),)
    if isinstance(last, TextPart):
        return replace(message, content=(*others, TextPart(_paragraphs((last.text, text)))))
    return replace(message, content=(*message.content, TextPart(_BLANK_LINE + text)))


def _with_text_before(message: Message, text: str) -> Message:
    first, *others = message.content or (TextPart(""),)
    if isinstance(first, TextPart):
        return replace(message, content=(TextPart(_paragraphs((text, first.text))), *others))
    return replace(message, content=(TextPart(text + _BLANK_LINE), *message.content))
