"""System messages put where every chat template takes them: one, and in front.

Templates differ in what they do with a system message further down: some refuse it, some move it,
which changes the meaning of what was said before it. So its text goes into a neighbouring turn.
Pure; it knows no dialect.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from cortex.engine.types import Message, TextPart

_BLANK_LINE = "\n\n"


def fold_system_messages(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same conversation with at most one system message, the first.

    Those that lead are joined. A later one is added to the user message or the tool results before
    it; after an assistant's turn it goes in front of the next user message, or becomes one at the
    end. It never parts a call from its results: between them it waits until they have come.
    """
    leading = list(itertools.takewhile(lambda message: message.role == "system", messages))
    turns = _joined(leading)
    waiting = ""
    for message in messages[len(leading) :]:
        if message.role == "system":
            waiting = _paragraphs((waiting, _text_of(message)))
            if turns[-1].role == "user":
                turns[-1], waiting = _with_text_after(turns[-1], waiting), ""
            continue
        if waiting and turns[-1].role == "tool" and message.role != "tool":
            turns[-1], waiting = _with_text_after(turns[-1], waiting), ""
        if waiting and message.role == "user":
            message, waiting = _with_text_before(message, waiting), ""
        turns.append(message)
    if waiting and turns[-1].role == "tool":
        turns[-1], waiting = _with_text_after(turns[-1], waiting), ""
    if waiting:
        turns.append(Message("user", (TextPart(waiting),)))
    return tuple(turns)


def _joined(leading: list[Message]) -> list[Message]:
    if len(leading) < 2:
        return leading
    return [Message("system", (TextPart(_paragraphs(map(_text_of, leading))),))]


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
