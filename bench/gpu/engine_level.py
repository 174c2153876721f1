"""The engine alone, in this process: prompts all at once, answered greedily to a fixed length."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.current_device import make_current
from cortex.engine.errors import CortexError
from cortex.engine.events import NewToken
from cortex.engine.memory import Share
from cortex.engine.messages import GenerateFailed, Wanted
from cortex.engine.recall import HostStore
from cortex.engine.service import ModelService
from cortex.engine.serving import load_service
from cortex.engine.types import Prompt, Sampling
from cortex.engine.wishes import Wishes
from cortex.peer.measure.timeline import Arrival, Timeline

from ..compare import decode_rate

# Digits of the made tokenizer: no prompt is like another, so that nothing is read twice.
_TOKENS = range(15, 25)


@dataclass(frozen=True, slots=True)
class Case:
    """So many prompts of so many tokens at once, and how many tokens each answer has."""

    concurrency: int
    prompt_tokens: int
    output_tokens: int

    @property
    def mean_context_tokens(self) -> int:
        """While the answers are made."""
        return self.prompt_tokens + self.output_tokens // 2

    def __str__(self) -> str:
        return f"{self.prompt_tokens}/{self.output_tokens} at {self.concurrency}"


@dataclass(frozen=True, slots=True)
class Seen:
    """`ttft_s` is the median of the case; `prefill_tokens_per_s` what its longest wait makes;
    `num_replayed` of its steps were launched as a graph each.
    """

    decode_tokens_per_s: float
    ttft_s: float
    prefill_tokens_per_s: float
    num_replayed: int


class CaseFailed(Exception):
    """The engine refused a request of a case; the message is its reason."""


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    service: ModelService
    computes_in: str
    load_s: float


def load_engine(
    model_dir: Path, device: torch.device, memory_bytes: int, wishes: Wishes
) -> LoadedEngine:
    """Raises CortexError for what cannot be served there."""
    began_s = time.perf_counter()
    make_current(device)
    nothing_remembered: HostStore = PrefixStore(0)
    loaded = load_service(model_dir, device, nothing_remembered, Share(memory_bytes), wishes)
    return LoadedEngine(loaded.service, loaded.computes_in, time.perf_counter() - began_s)


def run_case(service: ModelService, case: Case, seed: str) -> list[Timeline]:
    """Raises CaseFailed."""
    source = random.Random(seed)
    prompts = [
        _prompt(source.choices(_TOKENS, k=case.prompt_tokens), case.output_tokens)
        for _ in range(case.concurrency)
    ]
    arrivals: dict[str, list[Arrival]] = {str(place): [] for place in range(len(prompts))}
    began_s = time.perf_counter()
    try:
        for request_id, prompt in zip(arrivals, prompts, strict=True):
            job = Wanted(request_id, 0)
            service.add(job, prompt, began_s)
        while service.has_work:
            events = service.step(time.perf_counter())
            now_s = time.perf_counter()
            for event in events:
                if isinstance(event, GenerateFailed):
                    raise CaseFailed(event.error.message)
                if isinstance(event, NewToken) and event.token_id is not None:
                    arrivals[event.request_id].append(Arrival(now_s))
    except CortexError as error:
        raise CaseFailed(str(error)) from None
    finally:
        for request_id in arrivals:
            service.cancel(request_id, 0)
    return [
        Timeline(began_s, each[-1].at_s, tuple(each), prompt_tokens=case.prompt_tokens)
        for each in arrivals.values()
    ]


def measured_case(service: ModelService, case: Case) -> Seen:
    """The second time: in the first, kernels and graphs are made. Raises CaseFailed."""
    run_case(service, case, f"warm-up {case}")
    before = service.counts.num_replayed
    timelines = run_case(service, case, str(case))
    waits_s = sorted(timeline.ttft_s for timeline in timelines)
    return Seen(
        decode_tokens_per_s=decode_rate(timelines),
        ttft_s=waits_s[len(waits_s) // 2],
        prefill_tokens_per_s=case.concurrency * case.prompt_tokens / waits_s[-1],
        num_replayed=service.counts.num_replayed - before,
    )


def _prompt(token_ids: Iterable[int], num_tokens: int) -> Prompt:
    return Prompt(
        token_ids=tuple(token_ids), boundaries=(), images=(),
        sampling=Sampling(seed=0, temperature=0.0), max_tokens=num_tokens, stop=(),
        stop_token_ids=(),
    )  # fmt: skip
