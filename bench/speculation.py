"""What computing ahead gives and costs: tokens a second with speculation and without, on the CPU.

One model, two services over it in one process, asked the same in turn. The model computes all that
it would, and then each next token is read from a script, so that answers quote, edit or go their
own ways whatever the weights are. Timed from the moment when every answer has begun.

    python -m bench.make_checkpoint qwen3.5-0.8b --dtype bfloat16 /tmp/qwen3.5-0.8b
    python -m bench.speculation /tmp/qwen3.5-0.8b --dtype bfloat16
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from cortex.engine import service as serving_of_one
from cortex.engine.cache.store import PrefixStore
from cortex.engine.cores import usable_cores
from cortex.engine.events import NewToken
from cortex.engine.heap import keep_freed_memory
from cortex.engine.memory import Share
from cortex.engine.messages import Wanted
from cortex.engine.sampler import Chosen, DrawUsual, SamplingRow, choose_tokens
from cortex.engine.service import ModelService
from cortex.engine.serving import ReadModel, open_service, read_model
from cortex.engine.types import Prompt, Sampling
from cortex.engine.wishes import Wishes

from .machine import load_average
from .report import arguments, written

CPU = torch.device("cpu")
_PROMPT_TOKENS, _ANSWER_TOKENS = 256, 160
_MEMORY_BYTES, _HOST_BYTES = 6 << 30, 1 << 28
# All are drawn from these, that every vocabulary has. Three in a row are hardly ever the same.
_TOKENS = range(10, 260)

Tokens = list[int]
Script = Callable[[random.Random, Tokens], Tokens]


def quotes(draw: random.Random, prompt: Tokens) -> Tokens:
    """A part of the prompt, word for word."""
    start = draw.randrange(8, _PROMPT_TOKENS - _ANSWER_TOKENS)
    return prompt[start : start + _ANSWER_TOKENS]


def edits(draw: random.Random, prompt: Tokens) -> Tokens:
    """A part of the prompt with one token in sixteen changed."""
    quoted = quotes(draw, prompt)
    return [draw.choice(_TOKENS) if draw.random() < 1 / 16 else token for token in quoted]


def goes_its_own_way(draw: random.Random, prompt: Tokens) -> Tokens:
    """Nothing comes twice: there is never a draft."""
    return draw.choices(_TOKENS, k=_ANSWER_TOKENS)


def misleads(draw: random.Random, prompt: Tokens) -> Tokens:
    """Three tokens of the prompt, again and again from another place, then something else."""
    answer: Tokens = []
    while len(answer) < _ANSWER_TOKENS:
        start = draw.randrange(_PROMPT_TOKENS - 3)
        answer += [*prompt[start : start + 3], draw.choice(_TOKENS)]
    return answer[:_ANSWER_TOKENS]


SCRIPTS: Mapping[str, Script] = {
    each.__name__: each for each in (quotes, edits, goes_its_own_way, misleads)
}


class Scripted:
    """Draws as the engine does, and says what is written for the answer of that seed."""

    def __init__(self) -> None:
        self.answers: dict[int, Tokens] = {}

    def __call__(
        self,
        logits: torch.Tensor,
        rows: Sequence[SamplingRow],
        forbidden_ids: torch.Tensor,
        draw_usual: DrawUsual | None,
    ) -> list[Chosen | None]:
        choose_tokens(logits, rows, forbidden_ids, draw_usual)
        places = ((row.sampling.seed, row.position - _PROMPT_TOKENS) for row in rows)
        return [Chosen(self.answers[seed][at]) for seed, at in places]


def timed(service: ModelService, prompts: Mapping[int, Tokens]) -> float:
    """Tokens a second of these answers, asked for together."""
    for seed, token_ids in prompts.items():
        sampling = Sampling(seed, temperature=0.0)
        prompt = Prompt(tuple(token_ids), (), (), sampling, _ANSWER_TOKENS, (), ())
        service.add(Wanted(f"{seed}", 0), prompt, time.monotonic())
    told = dict.fromkeys(map(str, prompts), 0)
    began_s, before = 0.0, 0
    while service.has_work:
        for event in service.step(time.monotonic()):
            if isinstance(event, NewToken):
                told[event.request_id] += 1
        if not began_s and all(told.values()):
            began_s, before = time.perf_counter(), sum(told.values())
    return (sum(told.values()) - before) / (time.perf_counter() - began_s)


def measure(
    read: ReadModel, names: Sequence[str], counts: Sequence[int], rounds: int
) -> list[dict[str, Any]]:
    script = Scripted()
    serving_of_one.choose_tokens = script
    services = {
        name: open_service(replace(read, speculates=speculates), CPU, PrefixStore(0)).service
        for name, speculates in (("off", False), ("auto", True))
    }
    found: list[dict[str, Any]] = []
    for name in names:
        for count in counts:
            speeds: dict[str, list[float]] = {each: [] for each in services}
            done = services["auto"].counts
            before = done.num_drafted, done.num_accepted
            for number in range(rounds + 1):
                draw = random.Random(number)
                prompts = {n: draw.choices(_TOKENS, k=_PROMPT_TOKENS) for n in range(count)}
                script.answers = {n: SCRIPTS[name](draw, prompt) for n, prompt in prompts.items()}
                # Who goes first goes second in the next round.
                for each in sorted(services, reverse=number % 2 == 0):
                    speed = timed(services[each], prompts)
                    if number:  # the first round warms up
                        speeds[each].append(round(speed, 2))
            line = _line(speeds, done.num_drafted - before[0], done.num_accepted - before[1])
            found.append({"answers": name, "at_once": count, **line})
            print(json.dumps(found[-1]), flush=True)
    return found


def _line(speeds: Mapping[str, list[float]], drafted: int, accepted: int) -> dict[str, Any]:
    ratios = sorted(a / b for a, b in zip(speeds["auto"], speeds["off"], strict=True))
    return {
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "drafted": drafted,
        "accepted": accepted,
        "tokens_per_s": dict(speeds),
        "load_average": load_average(),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--answers", nargs="+", choices=list(SCRIPTS), default=list(SCRIPTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=usable_cores())
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    wishes = Wishes(dtype=args.dtype)
    read = read_model(args.model_dir, CPU, Share(_MEMORY_BYTES), _HOST_BYTES, wishes)
    written(
        args.out,
        "tokens a second of scripted answers, with speculation and without",
        model=args.model_dir.name,
        dtype=args.dtype,
        threads=args.threads,
        lines=measure(read, args.answers, args.at_once, args.rounds),
    )


if __name__ == "__main__":
    main()
