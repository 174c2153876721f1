"""The chat-completions dialect, inwards: a body becomes a ChatRequest and a way of telling it.

Pure: what does not depend on the body comes with its arrival. What has no bearing on the answer is
ignored.
"""

from __future__ import annotations

from cortex.engine.errors import UnsupportedContent

from .. import sampling
from ..asked import Arrival, Asked
from ..decoding import names_in, object_text, read_body, refuse
from ..names_of_others import refuse_wishes_of_others
from .body import ChatBody
from .messages import read_messages
from .reasoning import read_reasoning
from .reply import ChatTeller
from .tools import read_tools

# Names the chat template gets from the request itself, or from us.
_RESERVED_NAMES = frozenset({"messages", "tools", "strftime_now", "raise_exception"})


def parse_chat(body: bytes, arrival: Arrival) -> Asked[ChatTeller]:
    """A whole body.

    Raises CortexErrors only, each naming its field, whatever the bytes.
    """
    asked = read_body(body, ChatBody)
    _check_modalities(asked)
    refuse_wishes_of_others(asked)
    offered = read_tools(asked, arrival.limits)
    request = sampling.read_request(
        asked,
        arrival,
        messages=read_messages(asked.messages, arrival.limits),
        tools=offered.tools,
        tool_choice=offered.choice,
        reasoning=read_reasoning(asked),
        max_tokens=_read_max_tokens(asked),
        template_kwargs=_read_template_kwargs(asked),
        top_logprobs=_read_top_logprobs(asked),
        parallel_tool_calls=asked.parallel_tool_calls is not False,
    )
    head = sampling.read_head(asked, arrival, "chatcmpl-", offered.custom_names)
    tells_tokens = head.wants_token_ids or request.top_logprobs is not None
    teller = ChatTeller(head, request.num_choices, tells_tokens=tells_tokens)
    return Asked((request,), teller, bool(asked.stream))


def _read_max_tokens(asked: ChatBody) -> int | None:
    name, wished = "max_completion_tokens", asked.max_completion_tokens
    if wished is None:
        name, wished = "max_tokens", asked.max_tokens
    if wished == 0:
        refuse(name, "must be at least 1", "leave it out for as much as the context leaves")
    return sampling.read_max_tokens(name, wished)


def _read_top_logprobs(asked: ChatBody) -> int | None:
    """How many alternatives to tell beside each token; None where nothing is to be told."""
    if asked.logprobs:
        return asked.top_logprobs or 0
    if asked.top_logprobs:
        refuse("top_logprobs", "only together with logprobs: true")
    return None


def _check_modalities(asked: ChatBody) -> None:
    if "audio" in (asked.modalities or []) or asked.audio is not None:
        name = "audio" if asked.audio is not None else "modalities"
        raise UnsupportedContent("no model here speaks or hears", "ask for text", param=name)


def _read_template_kwargs(asked: ChatBody) -> str:
    path = "chat_template_kwargs"
    for name in names_in(asked.chat_template_kwargs, path).intersection(_RESERVED_NAMES):
        refuse(f"{path}.{name}", "is set by the request itself")
    return object_text(asked.chat_template_kwargs, path)
