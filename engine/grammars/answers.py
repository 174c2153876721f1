"""What an answer has to be, from the end of its reasoning on, as one grammar.

Decided from how the model marks its answers up, what it may or must call, and the form that the
client wants its words to have. Pure, but for asking whether the grammar library takes a rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from ..errors import InvalidRequest
from ..types import ChatRequest, ReplyFormat, Tool
from .calls import CallRules, Refusal
from .forms import form_rule
from .lark import MAX_GRAMMAR_BYTES, LarkText


@dataclass(frozen=True, slots=True)
class BoundAnswer:
    """`grammar` is empty where the answer may be anything; `reply` is how it is to be read."""

    grammar: str
    reply: ReplyFormat


def bind_answer(request: ChatRequest, reply: ReplyFormat, why_not: Refusal) -> BoundAnswer:
    """Raises InvalidRequest, naming the field, for what cannot be obeyed."""
    grammar = _grammar(request, reply, why_not)
    if request.grammar is not None and reply.calls != "none":
        reply = replace(reply, is_words_or_calls=True)
    return BoundAnswer(grammar, reply)


def _grammar(request: ChatRequest, reply: ReplyFormat, why_not: Refusal) -> str:
    lark = LarkText()
    start = _start(lark, request, reply, why_not)
    if not start:
        return ""
    text = lark.text(start)
    if (size_bytes := len(text.encode())) > MAX_GRAMMAR_BYTES:
        raise InvalidRequest(
            f"what the answer has to be takes {size_bytes} bytes, at most {MAX_GRAMMAR_BYTES} are"
            " taken",
            "make the schemas smaller, or allow fewer tools",
            param=_param(request),
        )
    if (reason := why_not(text, None)) is not None:
        raise InvalidRequest(f"the answer cannot be held to this: {reason}", param=_param(request))
    return text


def _start(lark: LarkText, request: ChatRequest, reply: ReplyFormat, why_not: Refusal) -> str:
    choice, is_one = request.tool_choice, not request.parallel_tool_calls
    tools = _callable_tools(request, reply)
    calls = CallRules(lark, reply, why_not)
    if choice.mode == "required" and request.tools:
        if not tools:
            raise InvalidRequest(
                f"the model {request.model} has no way to call tools that is known here",
                'set tool_choice to "auto", or ask another model',
                param="tool_choice",
            )
        return calls.calls(tools, is_one=is_one)
    if request.grammar is not None:
        words = form_rule(lark, request.grammar)
        return f"{words} | {calls.calls(tools, is_one=is_one)}" if tools else words
    if tools and (choice.names or any(tool.is_strict for tool in tools)):
        return calls.words_and_calls(tools, is_one=is_one)
    return ""


def _callable_tools(request: ChatRequest, reply: ReplyFormat) -> list[Tool]:
    """What may be called: nothing where the model knows no calls."""
    names = request.tool_choice.names
    offered = {tool.name for tool in request.tools}
    if unknown := [name for name in names if name not in offered]:
        raise InvalidRequest(
            f"tool_choice names {unknown[0]!r}, which is none of the tools", param="tool_choice"
        )
    return [tool for tool in reply.tools if not names or tool.name in names]


def _param(request: ChatRequest) -> str:
    if request.tool_choice.mode == "required" or request.grammar is None:
        return "tools"
    return request.grammar.param
