"""A chat request as the string that its model reads, everything that clients wrote escaped.

Puts what this model's template does not take in its place where it does, and ends the string where
the answer begins: behind the mark of a new turn, or inside the assistant's turn that comes last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from msgspec.structs import replace

from ..errors import InvalidRequest
from ..template import ChatTemplate
from ..tokenizer import CUT, Escape
from ..types import ChatRequest, ImagePart, Message, TextPart, Tool, ToolCall
from .habits import TemplateHabits
from .system_turns import place_system_messages
from .tool_pictures import pictures_behind_results


@dataclass(frozen=True, slots=True)
class Rendered:
    """`pictures` are in the order of their places in `text`.

    `begun` is what the client gave of the answer, which goes on behind it.
    """

    text: str
    pictures: tuple[bytes, ...]
    begun: str = ""


def render_request(
    template: ChatTemplate, habits: TemplateHabits, request: ChatRequest, escape: Escape
) -> Rendered:
    """Raises InvalidRequest."""
    messages, begun = _arranged(habits, request.messages)
    options = habits.controls.options(request.reasoning)
    try:
        plain = [_message(message, escape) for message in messages]
        options |= _escaped_object(request.template_kwargs, "chat_template_kwargs", escape)
        tools = [_tool(tool, escape) for tool in request.tools]
        if begun is not None:
            plain.append(_message(begun, escape, end=CUT))
            options = {"add_generation_prompt": False, **options}
        text = template.render(plain, tools=tools, now_s=request.now_s, options=options)
    except RecursionError as error:
        raise InvalidRequest("the request's JSON is nested too deeply") from error
    pictures = tuple(p.data for m in messages for p in m.content if isinstance(p, ImagePart))
    if begun is None:
        return Rendered(text, pictures)
    return Rendered(_cut(text), pictures, _text_of(begun))


def _arranged(
    habits: TemplateHabits, messages: Sequence[Message]
) -> tuple[tuple[Message, ...], Message | None]:
    """The turns as the template takes them, and beside them the one that is to be continued.

    Of an assistant's turn that holds nothing there is nothing to continue: it is left out.
    """
    begun = None
    if messages and messages[-1].role == "assistant" and not messages[-1].tool_calls:
        *messages, last = messages
        text = _text_of(last).rstrip()
        begun = replace(last, content=(TextPart(text),)) if text or last.reasoning else None
    placed = place_system_messages(messages, takes_late_system=habits.takes_late_system)
    return placed if habits.takes_tool_pictures else pictures_behind_results(placed), begun


def _text_of(message: Message) -> str:
    if not all(isinstance(part, TextPart) for part in message.content):
        raise InvalidRequest(
            "messages: the last one is the assistant's and holds a picture, behind which no answer"
            " can go on",
            "end with a user message",
            param="messages",
        )
    return "".join(cast(TextPart, part).text for part in message.content)


def _cut(text: str) -> str:
    before, *behind = text.split(CUT)
    if len(behind) != 1:
        raise InvalidRequest(
            "the model's chat template does not show where the assistant's last message ends, so"
            " that no answer can continue it",
            "end with a user message",
            param="messages",
        )
    return before


def _message(message: Message, escape: Escape, end: str = "") -> dict[str, Any]:
    content = _content(message.content, escape)
    plain: dict[str, Any] = {"role": message.role, "content": content}
    if isinstance(content, str):
        plain["content"] = content + end
    if message.reasoning:
        plain["reasoning_content"] = escape(message.reasoning)
    if message.tool_calls:
        plain["tool_calls"] = [_tool_call(c, escape) for c in message.tool_calls]
    if message.tool_call_id:
        plain["tool_call_id"] = escape(message.tool_call_id)
    return plain


def _content(parts: Sequence[TextPart | ImagePart], escape: Escape) -> str | list[dict[str, str]]:
    """One string where there is only text: older templates take nothing else."""
    if all(isinstance(part, TextPart) for part in parts):
        return escape("".join(cast(TextPart, part).text for part in parts))
    return [
        {"type": "text", "text": escape(part.text)}
        if isinstance(part, TextPart)
        else {"type": "image"}
        for part in parts
    ]


def _tool_call(call: ToolCall, escape: Escape) -> dict[str, Any]:
    arguments = _escaped_object(call.arguments, "messages", escape)
    function = {"name": escape(call.name), "arguments": arguments}
    return {"id": escape(call.id), "type": "function", "function": function}


def _tool(tool: Tool, escape: Escape) -> dict[str, Any]:
    function: dict[str, Any] = {"name": escape(tool.name)}
    if tool.description:
        function["description"] = escape(tool.description)
    function["parameters"] = _escaped_object(tool.parameters, "tools", escape)
    return {"type": "function", "function": function}


def _escaped_object(text: str, param: str, escape: Escape) -> dict[str, Any]:
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{param}: not the JSON text of an object", param=param) from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{param}: expected the JSON text of an object", param=param)
    return cast(dict[str, Any], _escaped(value, escape))


def _escaped(value: Any, escape: Escape) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return [_escaped(item, escape) for item in cast(list[Any], value)]
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        return {escape(key): _escaped(item, escape) for key, item in items}
    return value
