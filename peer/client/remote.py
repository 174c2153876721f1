"""A peer over HTTP, as a Backend: requests out, its stream back as events.

It speaks the chat-completions dialect and reads the comments other clients skip. An error comes
back as the class it was on the other side.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast, get_args

import aiohttp

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.types import (
    Capability,
    ChatRequest,
    Event,
    Finished,
    FinishReason,
    Grammar,
    ImagePart,
    Message,
    Piece,
    ScoredToken,
    TextPart,
    TokenLogprob,
    Tool,
    ToolChoice,
    Usage,
)

from ..errors import NoPeer, UnsupportedParameter
from ..types import ModelInfo, Warmth, Whereabouts
from .chunks import ChunkReader
from .progress import from_comment
from .told_errors import error_of

_CONNECT_S = 5.0
_MAX_LINE_BYTES = 4 * 1024 * 1024
# What reading the JSON of some other program can raise.
_NOT_A_PEER = (ValueError, TypeError, KeyError, AttributeError)
_BROKE_OFF = "send the question again"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a peer may say nothing before it counts as gone.

    `before_headers_s`: a peer says nothing until the prompt is made, which takes as long as its
    text process needs to start (two minutes, at the utmost) and as those before us in its queue.
    `in_stream_s`: a stream never rests longer than ten seconds.
    """

    before_headers_s: float = 300.0
    in_stream_s: float = 30.0


class RemotePeer:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: str,
        patience: Patience | None = None,
        *,
        api_key: str | None = None,
    ) -> None:
        self.name = address
        self.api_key = api_key
        self._session = session
        self._base = f"http://{address}"
        self._patience = patience or Patience()
        self._headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_S, sock_read=self._patience.before_headers_s
        )

    async def models(self) -> tuple[ModelInfo, ...]:
        try:
            async with self._session.get(
                f"{self._base}/v1/models", headers=self._headers, timeout=self._timeout
            ) as response:
                body = await response.read()
                if response.status != 200:
                    raise error_of(_load_object(body), response.status)
            return tuple(_read_model(model) for model in _load_object(body).get("data", ()))
        except (aiohttp.ClientError, TimeoutError, *_NOT_A_PEER) as error:
            raise self._gone(error) from error

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        try:
            async with self._session.post(
                f"{self._base}/v1/chat/completions",
                data=json.dumps(to_body(request)).encode(),
                headers={"content-type": "application/json", **self._headers},
                timeout=self._timeout,
                read_bufsize=_MAX_LINE_BYTES,
            ) as response:
                if response.status != 200:
                    raise error_of(_load_object(await response.read()), response.status)
                reader = StreamReader()
                while line := await self._read_line(response.content):
                    for event in reader.read_line(line):
                        yield event
                reader.check_end()
        except (aiohttp.ClientError, TimeoutError, *_NOT_A_PEER) as error:
            raise self._gone(error) from error

    async def _read_line(self, content: aiohttp.StreamReader) -> bytes:
        async with asyncio.timeout(self._patience.in_stream_s):
            return await content.readline()

    def _gone(self, error: Exception) -> CortexError:
        if isinstance(error, aiohttp.ClientConnectorError):
            return NoPeer(f"no peer answers at {self.name}", "start one there with: cortex peer")
        return EngineFailed(f"the peer at {self.name} broke off", _BROKE_OFF)


class StreamReader:
    """Lines of a chat-completions stream in, events out."""

    def __init__(self) -> None:
        self._reasons: dict[int, FinishReason] = {}
        self._is_finished = False
        self._choices: dict[int, ChunkReader] = {}

    def read_line(self, line: bytes) -> list[Event]:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith(":"):
            event = from_comment(text[1:])
            return [] if event is None else [event]
        if not text.startswith("data:") or text[5:].strip() == "[DONE]":
            return []
        return self._read_chunk(_load_object(text[5:].encode()))

    def check_end(self) -> None:
        if not self._is_finished:
            raise EngineFailed("the peer's answer broke off before its end", _BROKE_OFF)

    def _read_chunk(self, chunk: dict[str, Any]) -> list[Event]:
        if "error" in chunk:
            raise error_of(chunk, 0)
        events: list[Event] = []
        for choice in chunk.get("choices", ()):
            index = int(choice.get("index", 0))
            reader = self._choices.setdefault(index, ChunkReader())
            deltas = reader.read(choice.get("delta", {}))
            logprobs = _read_logprobs(choice.get("logprobs"))
            if choice.get("finish_reason") is not None:
                reason = "length" if choice["finish_reason"] == "length" else "stop"
                self._reasons[index] = reason
                deltas += reader.end(is_whole=reason == "stop")
            if deltas or logprobs:
                events.append(Piece(tuple(deltas), (), logprobs, index))
        if chunk.get("usage") and self._reasons:
            self._is_finished = True
            events += self._endings(_read_usage(chunk["usage"]))
        return events

    def _endings(self, total: Usage) -> list[Finished]:
        """The first choice stands for the cost of all: how it is shared out is not told."""
        nothing = Usage(total.prompt_tokens, 0, total.cached_tokens)
        choices = sorted(self._reasons.items())
        return [
            Finished(reason, nothing if place else total, choice)
            for place, (choice, reason) in enumerate(choices)
        ]


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


def _read_model(plain: dict[str, Any]) -> ModelInfo:
    told = plain.get("capabilities", ())
    capabilities: tuple[Capability, ...] = ("text", "vision") if "vision" in told else ("text",)
    return ModelInfo(
        id=str(plain["id"]),
        dir=None,
        capabilities=capabilities,
        context_length=int(plain.get("context_length", 0)),
        created_s=int(plain.get("created", 0)),
        size_bytes=int(plain.get("size_bytes", 0)),
        where=tuple(map(_read_whereabouts, plain.get("where", ()))),
    )


def _read_whereabouts(plain: dict[str, Any]) -> Whereabouts:
    eta_s, state = plain.get("eta_s"), str(plain["state"])
    return Whereabouts(
        str(plain["peer"]),
        # A newer peer may know more words: what is neither here nor coming has to be loaded.
        cast(Warmth, state) if state in get_args(Warmth) else "cold",
        None if eta_s is None else float(eta_s),
        plain.get("pinned") is True,
    )


def _read_logprobs(plain: dict[str, Any] | None) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(_read_scored(entry), tuple(map(_read_scored, entry["top_logprobs"])))
        for entry in (plain or {}).get("content") or ()
    )


def _read_scored(plain: dict[str, Any]) -> ScoredToken:
    return ScoredToken(bytes(plain["bytes"]), float(plain["logprob"]))


def _read_usage(plain: dict[str, Any]) -> Usage:
    prompt: dict[str, Any] = plain.get("prompt_tokens_details") or {}
    completion: dict[str, Any] = plain.get("completion_tokens_details") or {}
    return Usage(
        int(plain.get("prompt_tokens", 0)),
        int(plain.get("completion_tokens", 0)),
        int(prompt.get("cached_tokens", 0)),
        int(completion.get("reasoning_tokens", 0)),
    )


def _load_object(body: bytes) -> dict[str, Any]:
    try:
        value: Any = json.loads(body)
    except ValueError:
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
