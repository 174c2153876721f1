"""A model's chat template: messages to the one string that the model reads.

Templates come with the weights and are run in jinja's sandbox, with the filters and functions that
published templates rely on. The clock is the request's, so that a prompt is the same wherever it is
made. Knows nothing of tokens; what clients wrote passes through the `escape` it is given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, cast

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .errors import InvalidRequest, ModelInvalid
from .model_files import read_json_object
from .types import ChatRequest, ImagePart, Message, TextPart, Tool, ToolCall

Escape = Callable[[str], str]
_OURS = frozenset({"messages", "tools", "strftime_now", "raise_exception"})


class ChatTemplate:
    """A compiled template. `variables` are the names it may use besides the request's."""

    def __init__(self, source: str, variables: Mapping[str, str], origin: str) -> None:
        """Compile.

        Raises ModelInvalid, naming `origin`, for a template that is not one.
        """
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        self.source = source
        self._variables = dict(variables)
        try:
            self._template = environment.from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise ModelInvalid(f"{origin}: not a chat template: {error}") from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        now_s: int,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt, ending where the answer begins unless `options` say otherwise.

        Raises InvalidRequest with the template's own words where it refuses the messages.
        """
        options = options or {}
        if taken := sorted(_OURS & options.keys()):
            raise InvalidRequest(f"chat_template_kwargs may not hold {taken[0]!r}")
        variables = {**self._variables, "add_generation_prompt": True, **options}
        try:
            return self._template.render(
                {
                    **variables,
                    "messages": messages,
                    "tools": list(tools) or None,
                    "strftime_now": datetime.fromtimestamp(now_s, UTC).strftime,
                    "raise_exception": _raise_exception,
                }
            )
        except jinja2.TemplateError as error:
            raise _refused(str(error.message)) from error
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise _refused(type(error).__name__) from error


def read_template(model_dir: Path) -> ChatTemplate:
    """The template of a model folder, from its own file or from tokenizer_config.json.

    Raises ModelInvalid where there is none.
    """
    config_path = model_dir / "tokenizer_config.json"
    config = read_json_object(config_path) if config_path.exists() else {}
    variables = {
        name: content
        for name, value in config.items()
        if name.endswith("_token") and (content := _token_content(value)) is not None
    }
    path = model_dir / "chat_template.jinja"
    if path.exists():
        return ChatTemplate(path.read_text(encoding="utf-8"), variables, str(path))
    source = _default_template(config.get("chat_template"))
    if source is None:
        raise ModelInvalid(
            f"{model_dir} has no chat template",
            "it needs a chat_template.jinja, or chat_template in tokenizer_config.json",
        )
    return ChatTemplate(source, variables, str(config_path))


def render_request(template: ChatTemplate, request: ChatRequest, escape: Escape) -> str:
    """A chat request as the model reads it, everything the client wrote escaped.

    Raises InvalidRequest.
    """
    try:
        return template.render(
            [_message(m, escape) for m in request.messages],
            tools=[_tool(t, escape) for t in request.tools],
            now_s=request.now_s,
            options=_escaped_object(request.template_kwargs, "chat_template_kwargs", escape),
        )
    except RecursionError as error:
        raise InvalidRequest("the request's JSON is nested too deeply") from error


def _message(message: Message, escape: Escape) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": _content(message.content, escape)}
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


def _default_template(value: Any) -> str | None:
    """A template's text; some files list several by name."""
    if isinstance(value, list):
        named = {e.get("name"): e.get("template") for e in cast(list[dict[str, Any]], value)}
        value = named.get("default")
    return value if isinstance(value, str) else None


def _token_content(value: Any) -> str | None:
    """A token as tokenizer_config.json names it: its text, or an object around that."""
    if isinstance(value, dict):
        value = cast(dict[str, Any], value).get("content")
    return value if isinstance(value, str) else None


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As templates expect it: jinja's own filter would escape for HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"the model's chat template refuses these messages: {reason}", param="messages"
    )
