"""What a peer is sent: requests as the JSON of the dialects it speaks. Pure."""

from __future__ import annotations

import base64
import json
from typing import Any

from cortex.engine.types import (
    ChatRequest,
    Grammar,
    ImagePart,
    Message,
    TextPart,
    Tool,
    ToolChoice,
)

from ..errors import UnsupportedParameter

# A prompt that has nothing but itself and, maybe, a picture.
_SOME_WORDS = "What is it?"


def to_body(request: ChatRequest) -> dict[str, Any]:
    """A ChatRequest in the chat-completions dialect; what is None is left out."""
    if request.raw is not None:
        raise UnsupportedParameter("prompt: this way leads to chats only", param="prompt")
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message_body(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": request.seed,
        "max_completion_tokens": request.max_tokens,
        "stop": list(request.stop) or None,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "chat_template_kwargs": json.loads(request.template_kwargs) or None,
        "prompt_cache_key": request.routing_key or None,
        "n": request.num_choices,
        "logit_bias": {str(token_id): bias for token_id, bias in request.logit_bias} or None,
        "logprobs": None if request.top_logprobs is None else True,
        "top_logprobs": request.top_logprobs,
        "ignore_eos": request.ignore_eos or None,
        "min_tokens": request.min_tokens or None,
        "tools": [_tool_body(tool) for tool in request.tools] or None,
        "tool_choice": _choice_body(request.tool_choice),
        "reasoning_effort": request.reasoning.effort,
        **_grammar_body(request.grammar),
        "priority": request.priority or None,
        "parallel_tool_calls": None if request.parallel_tool_calls else False,
    }
    return {name: value for name, value in body.items() if value is not None}


def _message_body(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {
        "role": message.role,
        "content": [_part_body(part) for part in message.content],
    }
    if message.reasoning:
        body["reasoning_content"] = message.reasoning
    if message.tool_call_id:
        body["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    return body


def _tool_body(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": json.loads(tool.parameters),
        "strict": tool.is_strict,
    }
    return {"type": "function", "function": function}


def _choice_body(choice: ToolChoice) -> str | dict[str, Any] | None:
    if not choice.names:
        return None if choice.mode == "auto" else choice.mode
    tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}


def _grammar_body(grammar: Grammar | None) -> dict[str, Any]:
    if grammar is None:
        return {}
    source = grammar.source
    match grammar.kind:
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            return {"structured_outputs": {"json": json.loads(source)}}
        case "choice":
            return {"structured_outputs": {"choice": json.loads(source)}}
        case "regex":
            return {"structured_outputs": {"regex": source}}
        case "lark":
            return {"structured_outputs": {"grammar": source}}


def _part_body(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    data = base64.b64encode(part.data).decode("ascii")
    # The declared type is not looked at: the bytes decide.
    url = f"data:application/octet-stream;base64,{data}"
    return {"type": "image_url", "image_url": {"url": url}}


def count_body(model: str, picture: bytes | None) -> dict[str, Any]:
    """A short prompt in the messages dialect, whose tokens are to be counted."""
    content: list[dict[str, Any]] = [{"type": "text", "text": _SOME_WORDS}]
    if picture is not None:
        source = {
            "type": "base64",
            # The declared type is not looked at: the bytes decide.
            "media_type": "image/png",
            "data": base64.b64encode(picture).decode("ascii"),
        }
        content.insert(0, {"type": "image", "source": source})
    return {"model": model, "messages": [{"role": "user", "content": content}]}
