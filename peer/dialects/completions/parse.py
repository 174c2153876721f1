"""The plain completions dialect, inwards: a body becomes one ChatRequest for each of its prompts.

No chat template is applied: the prompt is all the client's own, with the control tokens that it
spells.
"""

from __future__ import annotations

from msgspec.structs import replace

from .. import sampling
from ..asked import Arrival, Asked
from ..decoding import read_body, refuse
from ..names_of_others import refuse_wishes_of_others
from ..prompts import read_raw_prompts
from .body import CompletionBody
from .reply import CompletionTeller

# What the dialect gives where nothing is asked for. With 0 the prompt is read, and told again where
# an echo is asked for.
_DEFAULT_MAX_TOKENS = 16


def parse_completion(body: bytes, arrival: Arrival) -> Asked[CompletionTeller]:
    """A whole body.

    Raises CortexErrors only, each naming its field, whatever the bytes.
    """
    asked = read_body(body, CompletionBody, has_token_ids=True)
    num_choices = sampling.read_num_choices(asked, arrival)
    _refuse_what_is_not_built(asked, num_choices)
    most = arrival.limits.max_choices
    prompts = read_raw_prompts(asked.prompt, "prompt", most)
    if len(prompts) * num_choices > most:
        refuse(
            "prompt",
            f"{len(prompts)} prompts with {num_choices} choices each are more than {most} answers",
            "send several requests",
        )
    request = sampling.read_request(
        asked,
        arrival,
        messages=(),
        max_tokens=_read_max_tokens(asked),
        top_logprobs=asked.logprobs,
        echo=bool(asked.echo),
    )
    requests = tuple(
        # Each prompt draws for itself where no seed was asked for.
        replace(
            request, raw=prompt, seed=sampling.read_seed(asked.seed, arrival.random_seed + index)
        )
        for index, prompt in enumerate(prompts.values())
    )
    head = sampling.read_head(asked, arrival, "cmpl-")
    tells_tokens = head.wants_token_ids or request.top_logprobs is not None
    teller = CompletionTeller(head, num_choices, tells_tokens=tells_tokens)
    return Asked(requests, teller, bool(asked.stream))


def _read_max_tokens(asked: CompletionBody) -> int | None:
    if asked.max_tokens is not None:
        return sampling.read_max_tokens("max_tokens", asked.max_tokens)
    for path, value in (
        ("n_predict", asked.n_predict),
        ("num_predict", asked.num_predict),
        ("options.num_predict", asked.ollama_options.get("num_predict")),
    ):
        # It asks for no limit, where this dialect has one.
        if value is not None:
            sampling.unsupported(path, "is another server's name", "send max_tokens")
    return _DEFAULT_MAX_TOKENS


def _refuse_what_is_not_built(asked: CompletionBody, num_choices: int) -> None:
    refuse_wishes_of_others(asked)
    if asked.suffix:
        sampling.unsupported(
            "suffix",
            "is not put into a prompt here",
            "spell the model's own marks in the prompt (Qwen:"
            " <|fim_prefix|>…<|fim_suffix|>…<|fim_middle|>)",
        )
    if asked.best_of is not None and asked.best_of != num_choices:
        sampling.unsupported(
            "best_of", f"must equal n, which is {num_choices}", "leave best_of out"
        )
