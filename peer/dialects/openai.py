"""The chat-completions dialect, inwards: a request body becomes a ChatRequest.

Pure: the clock and the seed of an unseeded request come as arguments. What the engine cannot do yet
is refused by its field's name; what has no bearing on the answer is ignored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cortex.engine.errors import InvalidRequest, UnsupportedContent
from cortex.engine.types import MAX_TOP_LOGPROBS, ChatRequest

from . import openai_sampling as wishes
from .fields import Fields, parse_object, refuse
from .openai_messages import read_messages
from .openai_sampling import not_built
from .openai_tools import read_tools

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
    return_token_ids: bool


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
    request = ChatRequest(
        model=model,
        messages=read_messages(body),
        seed=wishes.read_seed(body, random_seed),
        now_s=now_s,
        sampling=wishes.read_sampling(body),
        tools=read_tools(body),
        max_tokens=wishes.read_max_tokens(body),
        stop=wishes.read_stop(body),
        template_kwargs=_read_template_kwargs(body),
        routing_key=wishes.read_routing_key(body),
        num_choices=wishes.read_num_choices(body),
        logit_bias=wishes.read_logit_bias(body),
        top_logprobs=_read_top_logprobs(body),
        ignore_eos=body.flag("ignore_eos"),
        min_tokens=wishes.read_min_tokens(body),
        parallel_tool_calls=body.raw("parallel_tool_calls") is None
        or body.flag("parallel_tool_calls"),
        priority=wishes.read_priority(body),
    )
    include_usage = options is not None and options.flag("include_usage")
    return ParsedChat(request, stream, include_usage, body.flag("return_token_ids"))


def _read_top_logprobs(body: Fields) -> int | None:
    """How many alternatives to tell beside each token; None where nothing is to be told."""
    count = body.integer("top_logprobs", 0, MAX_TOP_LOGPROBS)
    if body.flag("logprobs"):
        return count or 0
    if count:
        refuse("top_logprobs", "only together with logprobs: true")
    return None


def _refuse_what_is_not_built(body: Fields) -> None:
    _check_response_format(body)
    _check_modalities(body)


def _check_response_format(body: Fields) -> None:
    response_format = body.object("response_format")
    if response_format is None:
        return
    kind = response_format.text("type")
    if kind in ("json_object", "json_schema"):
        not_built("response_format", f"{kind} answers are not built yet", "ask for JSON in words")
    if kind != "text":
        refuse("response_format.type", "must be text, json_object or json_schema")


def _check_modalities(body: Fields) -> None:
    wants_audio = "audio" in (body.items("modalities") or []) or body.has("audio")
    if wants_audio:
        name = "audio" if body.has("audio") else "modalities"
        raise UnsupportedContent("no model here speaks or hears", "ask for text", param=name)


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
