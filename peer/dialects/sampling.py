"""What the OpenAI bodies, chat and plain completions, ask of the decoder alike.

How many tokens, how they are drawn, what they have to be, what ends them, and what is told of each.
How the prompt is given is not known here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NoReturn, cast, get_args

import msgspec
from msgspec import Meta, Raw, field

from cortex.engine.bounds import MAX_STOP_TOKEN_IDS
from cortex.engine.types import (
    MAX_LOGIT_BIASES,
    ChatRequest,
    Effort,
    SamplingWish,
)

from ..errors import UnsupportedParameter
from .asked import Arrival
from .decoding import ModelName, Priority, check_count, is_absent, read_raw, refuse
from .forms import ResponseFormat, StructuredOutputs, read_grammar
from .openai_replies import ReplyHead
from .routing import first_key, user_key

_MAX_BIAS = 100.0
# More digits than any token id has.
_MAX_ID_DIGITS = 9
TokenId = Annotated[int, Meta(ge=0, lt=10**_MAX_ID_DIGITS)]
# Larger wishes mean "as much as the context leaves" all the same.
_MAX_TOKENS = 2**31 - 1
_SEED_BITS = 63

Probability = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-_MAX_BIAS, le=_MAX_BIAS)]
# Whole numbers, however they are written: some clients write 1.0.
TokenCount = Annotated[int, Meta(ge=1)] | Annotated[float, Meta(ge=1)]
# Elsewhere -1 is a common spelling of "no limit".
MaxTokens = Annotated[
    Annotated[int, Meta(ge=-1)] | Annotated[float, Meta(ge=-1)],
    Meta(description="-1: as much as the context leaves."),
]
_MAX_TOP_K, _MAX_SEED = 2**31 - 1, 2**_SEED_BITS - 1
TopK = Annotated[
    Annotated[int, Meta(ge=-1, le=_MAX_TOP_K)] | Annotated[float, Meta(ge=-1, le=_MAX_TOP_K)],
    Meta(description="-1 and 0: off."),
]
Seed = Annotated[
    Annotated[int, Meta(ge=-_MAX_SEED - 1, le=_MAX_SEED)]
    | Annotated[float, Meta(ge=-_MAX_SEED - 1, le=_MAX_SEED)],
    Meta(description="-1: another one each time."),
]

PenaltyName = Literal["presence_penalty", "frequency_penalty", "repetition_penalty"]
# What each is called elsewhere, and the value with which it does nothing.
_PENALTIES: dict[PenaltyName, tuple[str, float]] = {
    "presence_penalty": ("presence_penalty", 0),
    "frequency_penalty": ("frequency_penalty", 0),
    "repetition_penalty": ("repeat_penalty", 1),
}

_EFFORTS: tuple[Effort, ...] = get_args(Effort)
EffortName = Annotated[
    str, Meta(description=f"{', '.join(_EFFORTS)}; any other counts as if the field were left out.")
]

_STREAM_OPTIONS = {"type": "object", "properties": {"include_usage": {"type": "boolean"}}}


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class DecoderFields(msgspec.Struct, kw_only=True):
    """The fields that chat and plain completions share."""

    model: ModelName
    stream: bool | None = None
    stream_options: Annotated[
        Raw,
        Meta(
            description="`include_usage` ends a stream with its cost.",
            extra_json_schema=_STREAM_OPTIONS,
        ),
    ] = field(default_factory=Raw)
    max_tokens: MaxTokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2, description="0 is greedy.")] | None = None
    top_p: Probability | None = None
    top_k: TopK | None = None
    min_p: Probability | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=10)] | None = None
    seed: Seed | None = None
    stop: str | list[str] | None = None
    stop_token_ids: Annotated[
        list[TokenId] | None,
        Meta(
            description="They end the answer as the model's own end does, with `ignore_eos` too;"
            " within `response_format` and its kin control tokens alone. 64 at most."
        ),
    ] = None
    include_stop_str_in_output: Annotated[
        bool | None,
        Meta(description="The answer ends behind its stop string; not with `stop_token_ids`."),
    ] = None
    n: TokenCount | None = None
    logit_bias: dict[str, Bias | None] | None = None
    ignore_eos: bool | None = None
    min_tokens: Annotated[int, Meta(ge=0, le=_MAX_TOKENS)] | None = None
    priority: Priority | None = None
    return_token_ids: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    # Hints of which conversation this is: nothing in them is a reason to refuse.
    prompt_cache_key: Any = None
    metadata: Any = None
    user: Any = None
    safety_identifier: Any = None
    # Other servers' names: refused where they ask for what is not done.
    guided_json: Any = None
    guided_regex: Any = None
    guided_choice: Any = None
    guided_grammar: Any = None
    json_schema: Any = None
    regex: Any = None
    ebnf: Any = None
    grammar: Any = None
    allowed_token_ids: Any = None
    bad_words: Any = None
    skip_special_tokens: Any = None
    prompt_logprobs: Any = None
    use_beam_search: Any = None
    truncate_prompt_tokens: Any = None
    n_predict: Any = None
    num_predict: Any = None
    repeat_penalty: Any = None
    options: Any = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its cost; without a stream the option means nothing."""
        if not self.stream or is_absent(self.stream_options):
            return False
        return bool(read_raw(self.stream_options, StreamOptions, "stream_options").include_usage)

    @property
    def ollama_options(self) -> dict[str, Any]:
        """What stands within `options`, as it came."""
        return cast(dict[str, Any], self.options) if isinstance(self.options, dict) else {}


def unsupported(name: str, what: str, hint: str = "") -> NoReturn:
    raise UnsupportedParameter(f"{name}: {what}", hint, param=name)


def read_request(body: DecoderFields, arrival: Arrival, **more: Any) -> ChatRequest:
    """All that both bodies ask alike, and `more`."""
    stops = [body.stop] if isinstance(body.stop, str) else (body.stop or [])
    return ChatRequest(
        model=body.model,
        seed=read_seed(body.seed, arrival.random_seed),
        now_s=arrival.wall_clock_s,
        sampling=SamplingWish(
            temperature=body.temperature,
            top_k=read_top_k(body.top_k),
            top_p=body.top_p,
            min_p=body.min_p,
            presence_penalty=read_penalty(body, "presence_penalty"),
            frequency_penalty=read_penalty(body, "frequency_penalty"),
            repetition_penalty=read_penalty(body, "repetition_penalty"),
        ),
        stop=tuple(stop for stop in stops if stop),
        routing_key=first_key(
            body.prompt_cache_key,
            arrival.routing_key,
            user_key(body.metadata),
            body.user,
            body.safety_identifier,
        ),
        num_choices=read_num_choices(body, arrival),
        logit_bias=_read_logit_bias(body),
        stop_token_ids=_read_stop_token_ids(body),
        includes_stop=bool(body.include_stop_str_in_output),
        ignore_eos=bool(body.ignore_eos),
        min_tokens=body.min_tokens or 0,
        priority=body.priority or 0,
        grammar=read_grammar(body.response_format, body.structured_outputs),
        **more,
    )


def read_head(
    body: DecoderFields, arrival: Arrival, prefix: str, custom_names: frozenset[str] = frozenset()
) -> ReplyHead:
    return ReplyHead(
        f"{prefix}{arrival.id_hex}",
        arrival.now_s,
        body.model,
        body.wants_usage,
        bool(body.return_token_ids),
        custom_names,
        arrival.fingerprint,
    )


def read_effort(name: str | None) -> Effort | None:
    """What no model here can follow is ignored, as all controls of the reasoning are."""
    return next((effort for effort in _EFFORTS if effort == name), None)


def read_top_k(top_k: float | None) -> int | None:
    """Elsewhere -1 is a common spelling of "off", which here is 0."""
    read = _read_whole("top_k", top_k)
    return None if read is None else max(read, 0)


def read_penalty(body: DecoderFields, name: PenaltyName) -> float | None:
    """None leaves it to the model's own files, which may hold one: where another server's name says
    that there is to be none, there is none.
    """
    theirs, does_nothing = _PENALTIES[name]
    ours: float | None = getattr(body, name)
    said = (getattr(body, theirs), body.ollama_options.get(theirs))
    return does_nothing if ours is None and does_nothing in said else ours


def read_seed(seed: float | None, random_seed: int) -> int:
    """Elsewhere -1 is a common spelling of "any"."""
    read = _read_whole("seed", seed)
    return (random_seed if read in (None, -1) else read) % 2**_SEED_BITS


def read_max_tokens(name: str, value: float | None) -> int | None:
    """None: no limit is set."""
    read = _read_whole(name, value)
    return None if read in (None, -1) else min(read, _MAX_TOKENS)


def read_num_choices(body: DecoderFields, arrival: Arrival) -> int:
    most = arrival.limits.max_choices
    wanted = _read_whole("n", body.n) or 1
    if wanted > most:
        refuse("n", f"must be at most {most}")
    return wanted


def _read_whole(name: str, value: float | None) -> int | None:
    if value is not None and value != int(value):
        refuse(name, "must be a whole number")
    return None if value is None else int(value)


def _read_stop_token_ids(body: DecoderFields) -> tuple[int, ...]:
    """They travel with every prompt of their body, so they are counted before any of them does."""
    token_ids = body.stop_token_ids or []
    check_count("stop_token_ids", token_ids, MAX_STOP_TOKEN_IDS)
    return tuple(token_ids)


def _read_logit_bias(body: DecoderFields) -> tuple[tuple[int, float], ...]:
    """Token ids, which JSON spells as strings, with what is added to their scores."""
    read: dict[int, float] = {}
    biases = body.logit_bias or {}
    if len(biases) > MAX_LOGIT_BIASES:
        refuse("logit_bias", f"holds {len(biases)} tokens, at most {MAX_LOGIT_BIASES} are taken")
    for name, bias in biases.items():
        if not (name.isascii() and name.isdigit() and len(name) <= _MAX_ID_DIGITS):
            refuse("logit_bias", f"{name[:20]!r} is no token id", "its keys are ids, as strings")
        if bias is not None:
            read[int(name)] = bias
    return tuple(read.items())
