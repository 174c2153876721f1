"""The chat-completions dialect, inwards: a request body becomes a ChatRequest.

Pure: the clock and the seed of an unseeded request come as arguments. What the engine cannot do yet
is refused by its field's name; what has no bearing on the answer is ignored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from cortex.engine.errors import InvalidRequest, UnsupportedContent
from cortex.engine.types import ChatRequest, SamplingWish

from ..errors import UnsupportedParameter
from .fields import Fields, parse_object, refuse
from .openai_messages import read_messages

# Larger wishes mean "as much as the context leaves" all the same.
_MAX_TOKENS = 2**31 - 1
_SEED_BITS = 63
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_EFFORTS_WITHOUT_THINKING = ("none", "minimal")
# Names the chat template gets from the request itself, or from us.
_RESERVED_TEMPLATE_NAMES = ("messages", "tools", "strftime_now", "raise_exception")


@dataclass(frozen=True, slots=True)
class ParsedChat:
    """The question, and how its asker wants the answer told."""

    request: ChatRequest
    stream: bool
    include_usage: bool


def parse_chat(body: bytes, *, now_s: int, random_seed: int) -> ParsedChat:
    """A whole body. `random_seed` is taken where the client sent no seed.

    Raises CortexErrors only, each naming its field, whatever the bytes.
    """
    try:
        return _read_chat(parse_object(body), now_s, random_seed)
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def _read_chat(body: Fields, now_s: int, random_seed: int) -> ParsedChat:
    model = body.text("model")
    if not model:
        refuse("model", "required: the id of a model", "GET /v1/models lists them")
    _refuse_what_is_not_built(body)
    stream = body.flag("stream")
    options = body.object("stream_options") if stream else None
    seed = body.integer("seed", -(2**63))
    request = ChatRequest(
        model=model,
        messages=read_messages(body),
        seed=(random_seed if seed is None else seed) % 2**_SEED_BITS,
        now_s=now_s,
        sampling=_read_sampling(body),
        max_tokens=_read_max_tokens(body),
        stop=_read_stop(body),
        template_kwargs=_read_template_kwargs(body),
        routing_key=_read_routing_key(body),
    )
    return ParsedChat(request, stream, options is not None and options.flag("include_usage"))


def _refuse_what_is_not_built(body: Fields) -> None:
    n = body.integer("n", 1)
    if n is not None and n > 1:
        _not_built("n", f"one choice a request, not {n}", "send the request several times")
    if body.flag("logprobs"):
        _not_built("logprobs", "log probabilities are not given yet")
    if body.integer("top_logprobs", 0, 20):
        refuse("top_logprobs", "only together with logprobs: true")
    for name in ("tools", "functions"):
        if body.items(name):
            _not_built(name, "tool calls are not built yet", f"leave {name} out")
    if body.raw("tool_choice") not in (None, "auto", "none"):
        refuse("tool_choice", "chooses a tool, but there are no tools")
    if body.raw("function_call") not in (None, "auto", "none"):
        refuse("function_call", "chooses a function, but there are no functions")
    _check_response_format(body)
    _check_modalities(body)


def _check_response_format(body: Fields) -> None:
    response_format = body.object("response_format")
    if response_format is None:
        return
    kind = response_format.text("type")
    if kind in ("json_object", "json_schema"):
        _not_built("response_format", f"{kind} answers are not built yet", "ask for JSON in words")
    if kind != "text":
        refuse("response_format.type", "must be text, json_object or json_schema")


def _check_modalities(body: Fields) -> None:
    wants_audio = "audio" in (body.items("modalities") or []) or body.has("audio")
    if wants_audio:
        name = "audio" if body.has("audio") else "modalities"
        raise UnsupportedContent("no model here speaks or hears", "ask for text", param=name)


def _not_built(name: str, what: str, hint: str = "") -> None:
    raise UnsupportedParameter(f"{name}: {what}", hint, param=name)


def _read_sampling(body: Fields) -> SamplingWish:
    top_k = body.integer("top_k", -1, 2**31 - 1)
    return SamplingWish(
        temperature=body.number("temperature", 0, 2),
        # Elsewhere -1 is a common spelling of "off", which here is 0.
        top_k=None if top_k is None else max(top_k, 0),
        top_p=body.number("top_p", 0, 1),
        min_p=body.number("min_p", 0, 1),
        presence_penalty=body.number("presence_penalty", -2, 2),
        frequency_penalty=body.number("frequency_penalty", -2, 2),
        repetition_penalty=body.number("repetition_penalty", 0.01, 10),
    )


def _read_max_tokens(body: Fields) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        if body.has(name):
            value = body.raw(name)
            too_large = isinstance(value, (int, float)) and value > _MAX_TOKENS
            return _MAX_TOKENS if too_large else body.integer(name, 1)
    return None


def _read_stop(body: Fields) -> tuple[str, ...]:
    value = body.raw("stop")
    stops = [value] if isinstance(value, str) else (body.items("stop") or [])
    if not all(isinstance(stop, str) for stop in stops):
        refuse("stop", "must be a string or a list of strings")
    return tuple(stop for stop in cast(list[str], stops) if stop)


def _read_template_kwargs(body: Fields) -> str:
    asked: dict[str, Any] = json.loads(body.json_text("chat_template_kwargs"))
    for name in _RESERVED_TEMPLATE_NAMES:
        if name in asked:
            refuse(f"chat_template_kwargs.{name}", "is set by the request itself")
    effort = body.text("reasoning_effort")
    if effort is not None and effort not in _EFFORTS:
        refuse("reasoning_effort", f"must be one of {', '.join(_EFFORTS)}")
    if effort is not None:
        asked.setdefault("enable_thinking", effort not in _EFFORTS_WITHOUT_THINKING)
    return json.dumps(asked, ensure_ascii=False, separators=(",", ":"))


def _read_routing_key(body: Fields) -> str:
    """A hint of which conversation this is; never a reason to refuse."""
    for name in ("prompt_cache_key", "user", "safety_identifier"):
        value = body.raw(name)
        if isinstance(value, str) and value:
            return value[:256]
    return ""
