"""The items of a Responses body as our Messages.

Items are flat: what an assistant thought, said and called stands one after the other, and becomes
one message here, so that calls stand directly before their results. Turns stay where they are. It
does not know which model will read them.
"""

from __future__ import annotations

import logging

from cortex.engine.types import ImagePart, Message, Role, TextPart, ToolCall

from ..asked import Limits
from ..call_arguments import object_arguments
from ..content import Content, PartTypes, check_images, read_content, without_volatile
from ..decoding import first_char, is_absent, object_text, read_raw, refuse
from ..offered_tools import custom_arguments
from . import body as b
from .input_items import InputItem
from .toolbox import Toolbox

logger = logging.getLogger(__name__)

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_PART_TYPES = PartTypes(("input_text", "output_text", "text"), "input_image")
# Tools that clients run under names of the dialect's own, by the types of their items.
_HOSTED_CALLS = {
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
}
_HOSTED_OUTPUTS = frozenset(f"{kind}_output" for kind in _HOSTED_CALLS)
_BLANK_LINE = "\n\n"


def read_messages(
    instructions: str, items: str | list[InputItem], toolbox: Toolbox, limits: Limits
) -> tuple[Message, ...]:
    """All turns, in order.

    Raises InvalidRequest and friends, naming the field.
    """
    reader = _Reader(toolbox, limits)
    reader.system((TextPart(instructions),) if instructions else ())
    if isinstance(items, str):
        reader.messages.append(Message("user", (TextPart(items),)))
    else:
        for item in items:
            reader.read(item)
        reader.end_turn()
    if all(message.role == "system" for message in reader.messages):
        refuse("input", "holds nothing to answer", "send a message")
    check_images("input", reader.messages, limits)
    return tuple(reader.messages)


class _Reader:
    def __init__(self, toolbox: Toolbox, limits: Limits) -> None:
        self.messages: list[Message] = []
        self._toolbox = toolbox
        self._limits = limits
        # The assistant's turn under construction.
        self._thoughts: list[str] = []
        self._said: list[TextPart | ImagePart] = []
        self._calls: list[ToolCall] = []

    def read(self, item: InputItem) -> None:
        match item.type:
            case "message":
                self._read_message(item)
            case "reasoning":
                self._read_reasoning(item)
            case "function_call" | "custom_tool_call":
                call = read_raw(item.raw, b.CallInput, item.path)
                name = self._toolbox.flat(call.name, call.namespace or "")
                if item.type == "function_call":
                    arguments = object_arguments(call.arguments or "")
                else:
                    arguments = custom_arguments(call.input or "")
                self._calls.append(ToolCall(call.call_id or "", name, arguments))
            case "function_call_output" | "custom_tool_call_output":
                output = read_raw(item.raw, b.CallOutput, item.path)
                content = self._content(output.output, "tool", f"{item.path}.output")
                self._end_with(Message("tool", content, tool_call_id=output.call_id or ""))
            case "agent_message":
                self._read_agent_message(item)
            case kind if kind in _HOSTED_CALLS:
                self._read_hosted_call(item)
            case kind if kind in _HOSTED_OUTPUTS:
                self._read_hosted_output(item)
            case _:  # what a server did, or what is newer than we are
                logger.debug("input item skipped path=%s", item.path)

    def system(self, content: Content) -> None:
        if kept := without_volatile(content):
            self._end_with(Message("system", kept))

    def end_turn(self) -> None:
        """The assistant's turn is over. Of thoughts that led to nothing, nothing is kept."""
        if self._said or self._calls:
            thought = _BLANK_LINE.join(self._thoughts)
            said, calls = tuple(self._said), tuple(self._calls)
            self.messages.append(Message("assistant", said, reasoning=thought, tool_calls=calls))
        self._thoughts, self._said, self._calls = [], [], []

    def _end_with(self, message: Message) -> None:
        self.end_turn()
        self.messages.append(message)

    def _read_message(self, item: InputItem) -> None:
        sent = read_raw(item.raw, b.MessageInput, item.path)
        role = _ROLES.get(sent.role)
        if role is None:
            refuse(f"{item.path}.role", f"must be one of {', '.join(_ROLES)}")
        content = self._content(sent.content, role, f"{item.path}.content")
        if role == "assistant":
            self._said += content
        elif role == "system":
            self.system(content)
        else:
            self._end_with(Message(role, content))

    def _read_reasoning(self, item: InputItem) -> None:
        sent = read_raw(item.raw, b.ReasoningInput, item.path)
        for parts in (sent.content, sent.summary):
            if texts := [part.text for part in parts or () if part.text]:
                self._thoughts.append(_BLANK_LINE.join(texts))
                return

    def _read_agent_message(self, item: InputItem) -> None:
        """What another agent of the client's says, as far as it can be read."""
        content = read_raw(item.raw, b.AgentMessage, item.path).content
        texts = [content] if isinstance(content, str) else [part.text for part in content or ()]
        if said := tuple(TextPart(text) for text in texts if text):
            self._end_with(Message("user", said))

    def _read_hosted_call(self, item: InputItem) -> None:
        call = read_raw(item.raw, b.HostedCall, item.path)
        action = call.operation if is_absent(call.action) else call.action
        arguments = object_arguments(object_text(action, f"{item.path}.action"))
        call_id = call.call_id or call.id or ""
        self._calls.append(ToolCall(call_id, _HOSTED_CALLS[item.type], arguments))

    def _read_hosted_output(self, item: InputItem) -> None:
        """A text, or its JSON as text."""
        sent = read_raw(item.raw, b.HostedCall, item.path)
        text = "" if is_absent(sent.output) else bytes(sent.output).decode(errors="replace")
        if first_char(sent.output) == '"':
            text = read_raw(sent.output, str, f"{item.path}.output")
        call_id = sent.call_id or sent.id or ""
        self._end_with(Message("tool", (TextPart(text),), tool_call_id=call_id))

    def _content(self, content: b.Content | None, role: Role, path: str) -> Content:
        return read_content(content, _PART_TYPES, role, path, self._limits)
