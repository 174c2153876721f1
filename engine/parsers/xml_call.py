"""A call spelt with a tag for each parameter (Qwen3-Coder, Qwen3.5 and later):

    <function=NAME>
    <parameter=KEY>
    VALUE
    </parameter>
    </function>

A value may hold anything, also these very tags: a parameter has ended only where its closing tag is
followed by the next tag of the call.
"""

from __future__ import annotations

from ..stopping import StopScanner
from . import json_text
from .calls import CallWriter, Over
from .parameters import ParameterTypes, ParameterValue

FUNCTION = "<function="
_PARAMETER = "<parameter="
_PARAMETER_END = "</parameter>"
_ENDS = ("</function>", "</tool_call>")
_NEXT_TAGS = (_PARAMETER, *_ENDS)
_MAX_NAME_CHARS = 256
_MAX_SPACE_CHARS = 64
_SPACE = " \t\r\n"


class XmlCall:
    """A `CallBody` that begins behind `<function=`.

    `is_wrapped`: a mark has announced a call, so that any name is one; else only a known tool's is.
    """

    def __init__(self, writer: CallWriter, types: ParameterTypes, *, is_wrapped: bool) -> None:
        self._writer = writer
        self._types = types
        self._is_wrapped = is_wrapped
        self._take = self._take_name
        self._held = ""
        self._tool = ""
        self._num_parameters = 0
        self._value = ParameterValue(frozenset())
        self._scanner = StopScanner(())
        self._is_first_char = False
        self._has_break = False

    def push(self, text: str) -> Over | None:
        over: Over | None = None
        rest: str | None = text
        while rest and over is None:
            over, rest = self._take(rest)
        return over

    def end(self, *, is_cut: bool) -> str:
        if not self._writer.has_begun:
            return FUNCTION + self._held
        is_between = self._take in (self._take_tag, self._take_closing)
        if self._take == self._take_closing:
            self._writer.arguments(self._value.end())
        if is_cut:
            if self._take == self._take_value:
                self._writer.arguments(self._value.cut())
            self._writer.end(is_whole=False)
            return ""
        if self._take == self._take_value:
            self._push_value(self._scanner.flush())
            self._writer.arguments(self._value.end())
        self._close(is_whole=is_between)
        return ""

    def _take_name(self, text: str) -> tuple[Over | None, str]:
        name, rest = self._until_bracket(text)
        if name is None:
            return None, ""
        if not name or not (self._is_wrapped or self._types.has_tool(name)):
            return Over(rest, refused=FUNCTION + self._held), ""
        self._tool, self._held = name, ""
        self._writer.begin(name)
        self._take = self._take_tag
        return None, rest

    def _take_tag(self, text: str) -> tuple[Over | None, str]:
        """Between parameters. What is neither a tag of the call nor space ends it, broken."""
        self._held = (self._held + text).lstrip(_SPACE)
        tag = _tag_at_start(self._held)
        if tag is None:
            if any(tag.startswith(self._held) for tag in _NEXT_TAGS):
                return None, ""
            self._close(is_whole=False)
            return Over(self._held), ""
        rest, self._held = self._held[len(tag) :], ""
        return self._enter(tag, rest)

    def _enter(self, tag: str, rest: str) -> tuple[Over | None, str]:
        if tag == _PARAMETER:
            self._take = self._take_key
            return None, rest
        self._close(is_whole=True)
        # The mark around the call is somebody else's to take.
        return Over(rest if tag == _ENDS[0] else tag + rest), ""

    def _take_key(self, text: str) -> tuple[Over | None, str]:
        key, rest = self._until_bracket(text)
        if key is None:
            return None, ""
        if not key:
            self._close(is_whole=False)
            return Over(_PARAMETER + self._held + rest), ""
        self._held = ""
        separator = ", " if self._num_parameters else "{"
        self._num_parameters += 1
        self._writer.arguments(f'{separator}"{json_text.escaped(key)}": ')
        self._value = ParameterValue(self._types.of(self._tool, key))
        self._is_first_char, self._has_break = True, False
        self._go_on_with_value()
        return None, rest

    def _take_value(self, text: str) -> tuple[Over | None, str]:
        if self._is_first_char:
            self._is_first_char = False
            text = text.removeprefix("\n")
        scan = self._scanner.push(text)
        self._push_value(scan.safe)
        if scan.matched is not None:
            self._take = self._take_closing
        return None, scan.rest

    def _take_closing(self, text: str) -> tuple[Over | None, str]:
        """Behind a closing tag, which may be part of the value after all."""
        self._held += text
        bare = self._held.lstrip(_SPACE)
        num_spaces = len(self._held) - len(bare)
        tag = _tag_at_start(bare) if num_spaces <= _MAX_SPACE_CHARS else None
        if tag is not None:
            self._held = ""
            self._writer.arguments(self._value.end())
            return self._enter(tag, bare[len(tag) :])
        may_come = num_spaces <= _MAX_SPACE_CHARS and any(t.startswith(bare) for t in _NEXT_TAGS)
        if may_come:
            return None, ""
        rest, self._held = self._held, ""
        self._push_value(_PARAMETER_END)
        self._go_on_with_value()
        return None, rest

    def _go_on_with_value(self) -> None:
        self._scanner = StopScanner((_PARAMETER_END,))
        self._take = self._take_value

    def _push_value(self, text: str) -> None:
        """The last line break belongs to the closing tag: it waits until more has come."""
        if not text:
            return
        text = "\n" * self._has_break + text
        self._has_break = text.endswith("\n")
        self._writer.arguments(self._value.push(text[:-1] if self._has_break else text))

    def _until_bracket(self, text: str) -> tuple[str | None, str]:
        """What stands before the `>`, and behind it.

        None while it has not come; nothing, with all of it held, where this cannot be a name.
        """
        name, bracket, rest = text.partition(">")
        room = _MAX_NAME_CHARS + 1 - len(self._held)
        fits = name[:room]
        bad = next((i for i, char in enumerate(fits) if char in "<\n"), None)
        if bad is not None or len(name) >= room:
            size = room if bad is None else bad
            self._held += text[:size]
            return "", text[size:]
        self._held += name + bracket
        return (self._held[:-1].strip() if bracket else None), rest

    def _close(self, *, is_whole: bool) -> None:
        self._writer.arguments("}" if self._num_parameters else "{}")
        self._writer.end(is_whole=is_whole)


def _tag_at_start(text: str) -> str | None:
    return next((tag for tag in _NEXT_TAGS if text.startswith(tag)), None)
