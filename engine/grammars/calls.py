"""Tool calls as a model spells them, as rules of a grammar.

The spellings are those that `parsers/json_call.py` and `parsers/xml_call.py` read. What a strict
tool's schema asks is asked of the model in full, or the request is refused; of any other tool's as
much as can be.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ..errors import InvalidRequest
from ..parsers.references import unfolded
from ..parsers.reply import CALL, CALL_END
from ..parsers.xml_call import FUNCTION
from ..types import ReplyFormat, Tool
from .checking import SPENT, TrialBudget
from .lark import MAX_GRAMMAR_BYTES, LarkText, any_of, json_value, quoted
from .schemas import Schema, read_schema
from .values import ParameterRules

# Why a grammar cannot be used, or nothing where it can; one for a part of an answer has a budget.
Refusal = Callable[[str, TrialBudget | None], str | None]

_ANY_OBJECT: Schema = {"type": "object"}
_AGAIN = (
    "offer fewer tools, or simpler schemas of the first ones; what is ready by now is remembered"
    " when you send it again"
)
_NAME_MARKS = frozenset("<>\n")


class CallRules:
    """The rules of one answer's calls. `why_not` is asked of every tool's schema; once these have
    taken too long together, the rest is of no use.
    """

    def __init__(self, lark: LarkText, reply: ReplyFormat, why_not: Refusal) -> None:
        self._lark = lark
        self._why_not = why_not
        self._budget = TrialBudget()
        self._is_json = reply.calls == "json"
        self._parameters = ParameterRules(lark, reply.tools, self._is_refused, self._is_full)

    def bodies(self, tools: list[Tool]) -> str:
        """A call of any of these, from behind its opening mark to the end of its closing one.

        Raises InvalidRequest.
        """
        spell = self._json_body if self._is_json else self._xml_body
        body = self._lark.rule(any_of([spell(tool) for tool in tools]))
        return f"{quoted(chr(10))} {body} {quoted(chr(10) + CALL_END)}"

    def calls(self, tools: list[Tool], *, is_one: bool) -> str:
        """One call, or several, and nothing else."""
        call = self._lark.rule(f"{quoted(CALL)} {self.bodies(tools)}")
        return call if is_one else self._lark.rule(f"{call} ({quoted(chr(10))} {call})*")

    def words_and_calls(self, tools: list[Tool], *, is_one: bool) -> str:
        """Words, in which an opening mark begins a call."""
        # A call without the mark around it is one too: it is not to be written.
        free = "/(?s:.*)/" if self._is_json else f"/(?s:.*)/ & ~/(?s:.*){FUNCTION}(?s:.*)/"
        words = self._lark.token(free)
        head = self._lark.rule(f"{words} {quoted(CALL)}", is_lazy=True)
        call = self._lark.rule(f"{head} {self.bodies(tools)}")
        return self._lark.rule(f"{call}{'?' if is_one else '*'} {self._lark.rule(words)}")

    def _json_body(self, tool: Tool) -> str:
        head = f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "arguments": '
        return f"{quoted(head)} {self._lark.rule(self._arguments(tool))} {quoted('}')}"

    def _arguments(self, tool: Tool) -> str:
        schema = _schema_of(tool)
        if schema is None or self._is_full(tool):
            return json_value(_ANY_OBJECT)
        # The schema of arguments is an object's, whether it says so or not.
        whole = {**unfolded(schema, schema), "type": "object"}
        body = json_value(whole, is_lenient=not tool.is_strict)
        return json_value(_ANY_OBJECT) if self._is_refused(tool, body) else body

    def _xml_body(self, tool: Tool) -> str:
        if _NAME_MARKS & set(tool.name) or tool.name != tool.name.strip():
            raise InvalidRequest(
                f"tools: the name {tool.name!r} cannot be spelt in a call of this model",
                "use letters, digits, _ and -",
                param="tools",
            )
        parameters = self._parameters.rules(tool, _schema_of(tool) or {})
        head, end = f"{FUNCTION}{tool.name}>\n", quoted("</function>")
        return " ".join((quoted(head), *parameters, end))

    def _is_full(self, tool: Tool) -> bool:
        """Whether what a tool's schema asks is no longer looked at, for the room or the time that
        others took.

        Raises InvalidRequest where the tool's schema has to be obeyed, and is too much.
        """
        if not tool.is_strict:
            has_room = self._lark.num_chars < MAX_GRAMMAR_BYTES // 2
            return self._budget.seconds_left <= 0 or not has_room
        if self._lark.num_chars > 2 * MAX_GRAMMAR_BYTES:
            raise InvalidRequest(
                f"tools: the parameters of {tool.name} are too much to be obeyed",
                "make the schemas smaller, or offer fewer strict tools",
                param="tools",
            )
        return False

    def _is_refused(self, tool: Tool, body: str) -> bool:
        """Whether the library cannot take this rule.

        Raises InvalidRequest where the tool's schema has to be obeyed.
        """
        reason = self._why_not(f"start: {body}\n", self._budget)
        if reason is not None and tool.is_strict:
            hint = _AGAIN if reason == SPENT else "change the schema, or leave strict out"
            raise InvalidRequest(
                f"tools: the parameters of {tool.name} cannot be obeyed: {reason}",
                hint,
                param="tools",
            )
        return reason is not None


def _schema_of(tool: Tool) -> Schema | None:
    """None where the tool is not strict and its schema of no use."""
    try:
        return read_schema(tool.parameters, f"tools: the schema of {tool.name}", "tools")
    except InvalidRequest:
        if tool.is_strict:
            raise
        return None
