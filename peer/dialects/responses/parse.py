"""The Responses dialect, inwards: a body becomes a ChatRequest and a way of telling its answer.

Pure: what does not depend on the body comes with its arrival, and the time at which an answer is
complete from a clock. Nothing is stored here, so what refers to earlier responses is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from cortex.engine.types import ChatRequest, Grammar, ReasoningWish, SamplingWish

from .. import sampling
from ..asked import Arrival, Asked
from ..decoding import is_absent, read_body, read_raw
from ..grammars import format_grammar
from ..routing import first_key, user_key
from .body import Format, ReasoningOptions, ResponsesBody, TextOptions
from .conversation import read_messages
from .echo import read_echo
from .input_items import added_tools, split_input
from .stream import RESPONSE_PREFIX, Manner, ResponseTeller, new_response
from .toolbox import read_tools

_LOGPROBS = "message.output_text.logprobs"


def parse_response(
    body: bytes, arrival: Arrival, clock: Callable[[], float] = time.time
) -> Asked[ResponseTeller]:
    """A whole body.

    Raises CortexErrors only, each naming its field, whatever the bytes.
    """
    asked = read_body(body, ResponsesBody)
    _refuse_what_needs_a_store(asked)
    items = split_input(asked.input, arrival.limits)
    sent_tools = [] if is_absent(asked.tools) else read_raw(asked.tools, list[msgspec.Raw], "tools")
    toolbox = read_tools({"tools": sent_tools, **added_tools(items)}, arrival.limits)
    choice = toolbox.choice(asked.tool_choice)
    request = ChatRequest(
        model=asked.model,
        messages=read_messages(asked.instructions or "", items, toolbox, arrival.limits),
        seed=sampling.read_seed(asked.seed, arrival.random_seed),
        now_s=arrival.wall_clock_s,
        sampling=_read_sampling(asked),
        tools=() if choice.mode == "none" else toolbox.tools,
        tool_choice=choice,
        grammar=_read_grammar(asked.text),
        reasoning=ReasoningWish(sampling.read_effort(asked.reasoning and asked.reasoning.effort)),
        max_tokens=sampling.read_max_tokens("max_output_tokens", asked.max_output_tokens),
        routing_key=_read_routing_key(asked, arrival),
        top_logprobs=_read_top_logprobs(asked),
        parallel_tool_calls=asked.parallel_tool_calls is not False,
    )
    manner = Manner(
        _wants_summary(asked.reasoning), request.top_logprobs is not None, toolbox.names
    )
    response_id = f"{RESPONSE_PREFIX}{arrival.id_hex}"
    begun = new_response(response_id, arrival.now_s, asked.model, read_echo(asked))
    return Asked((request,), ResponseTeller(begun, manner, clock), bool(asked.stream))


def _refuse_what_needs_a_store(asked: ResponsesBody) -> None:
    refused = {
        "previous_response_id": asked.previous_response_id,
        "conversation": asked.conversation,
        "prompt": asked.prompt,
        "background": asked.background or None,
    }
    for name, value in refused.items():
        if value is not None:
            sampling.unsupported(
                name, "nothing is stored here", "send the whole conversation as input"
            )


def _read_sampling(asked: ResponsesBody) -> SamplingWish:
    return SamplingWish(
        temperature=asked.temperature,
        top_p=asked.top_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
    )


def _read_top_logprobs(asked: ResponsesBody) -> int | None:
    """How many alternatives to tell beside each token; None where nothing is to be told."""
    wants_any = isinstance(asked.include, list) and _LOGPROBS in asked.include
    return asked.top_logprobs or 0 if wants_any or asked.top_logprobs else None


def _read_grammar(text: TextOptions | None) -> Grammar | None:
    if text is None or is_absent(text.format):
        return None
    wanted = read_raw(text.format, Format, "text.format")
    return format_grammar(wanted.type, wanted.schema, "text.format", "schema")


def _wants_summary(reasoning: ReasoningOptions | None) -> bool:
    return reasoning is not None and (
        reasoning.summary is not None or reasoning.generate_summary is not None
    )


def _read_routing_key(asked: ResponsesBody, arrival: Arrival) -> str:
    return first_key(
        asked.prompt_cache_key,
        arrival.routing_key,
        user_key(asked.metadata),
        asked.user,
        asked.safety_identifier,
    )
