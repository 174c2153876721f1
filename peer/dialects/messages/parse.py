"""The messages dialect, inwards: a body becomes a ChatRequest and a way of telling its answer.

Pure: what does not depend on the body comes with its arrival. What has no bearing on the answer is
ignored.
"""

from __future__ import annotations

from typing import Any

from cortex.engine.types import ChatRequest, Grammar, ReasoningWish, SamplingWish

from .. import sampling
from ..asked import Arrival, Asked
from ..decoding import read_body, refuse
from ..grammars import schema_grammar
from ..routing import first_key, user_key
from .body import MessagesBody, OutputFormat, PromptBody
from .reply import MessageTeller, ReplyHead
from .tools import read_tools
from .turns import read_messages


def parse_message(body: bytes, arrival: Arrival) -> Asked[MessageTeller]:
    """A whole body of POST /v1/messages.

    Raises CortexErrors only, each naming its field, whatever the bytes.
    """
    asked = read_body(body, MessagesBody)
    request = _read_prompt(
        asked,
        arrival,
        sampling=SamplingWish(
            temperature=asked.temperature,
            top_k=sampling.read_top_k(asked.top_k),
            top_p=asked.top_p,
        ),
        max_tokens=sampling.read_max_tokens("max_tokens", asked.max_tokens),
        stop=_read_stop(asked.stop_sequences or []),
        routing_key=first_key(arrival.routing_key, user_key(asked.metadata)),
    )
    head = ReplyHead(f"msg_{arrival.id_hex}", asked.model, hides_thinking=_hides_thinking(asked))
    return Asked((request,), MessageTeller(head), bool(asked.stream))


def parse_count(body: bytes, arrival: Arrival) -> ChatRequest:
    """A whole body of POST /v1/messages/count_tokens, as the request whose prompt it has.

    Raises CortexErrors only, each naming its field, whatever the bytes.
    """
    return _read_prompt(read_body(body, PromptBody), arrival)


def _read_prompt(asked: PromptBody, arrival: Arrival, **more: Any) -> ChatRequest:
    offered = read_tools(asked, arrival.limits)
    return ChatRequest(
        model=asked.model,
        messages=read_messages(asked, arrival.limits),
        seed=arrival.random_seed,
        now_s=arrival.wall_clock_s,
        tools=offered.tools,
        tool_choice=offered.choice,
        parallel_tool_calls=offered.is_parallel,
        grammar=_read_grammar(asked),
        reasoning=_read_reasoning(asked),
        **more,
    )


def _read_grammar(asked: PromptBody) -> Grammar | None:
    config = asked.output_config
    if config is not None and config.format is not None:
        return _read_format(config.format, "output_config.format")
    if asked.output_format is not None:
        return _read_format(asked.output_format, "output_format")
    return None


def _read_format(wanted: OutputFormat, path: str) -> Grammar:
    if wanted.type != "json_schema":
        refuse(f"{path}.type", "must be json_schema")
    return schema_grammar(wanted.schema, f"{path}.schema")


def _read_reasoning(asked: PromptBody) -> ReasoningWish:
    """With `adaptive`, and whatever is newer, the effort decides."""
    config = asked.output_config
    effort = sampling.read_effort(config and config.effort)
    thinking = asked.thinking
    if thinking is None or thinking.type not in ("enabled", "disabled"):
        return ReasoningWish(effort)
    if thinking.type == "disabled":
        return ReasoningWish(effort, thinks=False)
    name, budget = "thinking.budget_tokens", thinking.budget_tokens
    budget_tokens = sampling.read_max_tokens(name, budget)
    return ReasoningWish(effort, thinks=True, budget_tokens=budget_tokens)


def _hides_thinking(asked: PromptBody) -> bool:
    return asked.thinking is not None and asked.thinking.display == "omitted"


def _read_stop(stops: list[str]) -> tuple[str, ...]:
    for index, stop in enumerate(stops):
        if not stop.strip():
            refuse(f"stop_sequences[{index}]", "must not be white space alone")
    return tuple(stops)
