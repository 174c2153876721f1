"""The plain completions dialect, inwards: a body becomes one ChatRequest for each of its prompts.

No chat template is applied. Text is encoded as plain text, in which control tokens cannot be
spelt; who wants those sends token ids.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from cortex.engine.errors import InvalidRequest
from cortex.engine.types import ChatRequest

from . import openai_sampling as wishes
from .fields import Fields, parse_object, refuse
from .raw_prompts import read_raw_prompts

# What the dialect gives where nothing is asked for.
_DEFAULT_MAX_TOKENS = 16
_MAX_LOGPROBS = 5


@dataclass(frozen=True, slots=True)
class ParsedCompletion:
    """One request a prompt, each with as many choices, and how the answers are to be told."""

    requests: tuple[ChatRequest, ...]
    stream: bool
    include_usage: bool
    return_token_ids: bool


def parse_completion(body: bytes, *, now_s: int, random_seed: int) -> ParsedCompletion:
    """A whole body. `random_seed` is taken where the client sent no seed.

    Raises CortexErrors only, each naming its field, whatever the bytes.
    """
    try:
        return _read(parse_object(body), now_s, random_seed)
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def _read(body: Fields, now_s: int, random_seed: int) -> ParsedCompletion:
    model = body.text("model")
    if not model:
        refuse("model", "required: the id of a model", "GET /v1/models lists them")
    num_choices = wishes.read_num_choices(body)
    _refuse_what_is_not_built(body, num_choices)
    prompts = read_raw_prompts(body, "prompt", wishes.MAX_CHOICES)
    if len(prompts) * num_choices > wishes.MAX_CHOICES:
        refuse(
            "prompt",
            f"{len(prompts)} prompts with {num_choices} choices each are more than"
            f" {wishes.MAX_CHOICES} answers",
            "send several requests",
        )
    stream = body.flag("stream")
    options = body.object("stream_options") if stream else None
    max_tokens = wishes.read_max_tokens(body)
    request = ChatRequest(
        model=model,
        messages=(),
        seed=0,
        now_s=now_s,
        sampling=wishes.read_sampling(body),
        max_tokens=_DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens,
        stop=wishes.read_stop(body),
        routing_key=wishes.read_routing_key(body),
        num_choices=num_choices,
        logit_bias=wishes.read_logit_bias(body),
        top_logprobs=body.integer("logprobs", 0, _MAX_LOGPROBS),
        ignore_eos=body.flag("ignore_eos"),
        min_tokens=wishes.read_min_tokens(body),
        priority=wishes.read_priority(body),
    )
    requests = tuple(
        # Each prompt draws for itself where no seed was asked for.
        replace(request, raw=prompt, seed=wishes.read_seed(body, random_seed + index))
        for index, prompt in enumerate(prompts.values())
    )
    include_usage = options is not None and options.flag("include_usage")
    return ParsedCompletion(requests, stream, include_usage, body.flag("return_token_ids"))


def _refuse_what_is_not_built(body: Fields, num_choices: int) -> None:
    if body.flag("echo"):
        wishes.not_built(
            "echo", "the prompt is not given back", "put it before the answer yourself"
        )
    if body.text("suffix"):
        wishes.not_built("suffix", "no model here fills in the middle", "leave suffix out")
    best_of = body.integer("best_of", 1)
    if best_of is not None and best_of != num_choices:
        wishes.not_built("best_of", f"must equal n, which is {num_choices}", "leave best_of out")
