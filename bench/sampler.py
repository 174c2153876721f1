"""Milliseconds to choose one token for each row of a batch, by what the rows ask of the sampler.

Logits are random and stored: nothing but the sampler is measured. As at most positions of a text a
few tokens stand out: the best has a share of a half, its followers less by rank (`peaked_logits`).
Cases take turns, round by round, so that a slow minute of the machine falls on all of them. One
thread works, and its own processor time is told, so that what else runs counts little.

    python -m bench.sampler --out bench/results/sampler.json
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from cortex.engine.sampler import SamplingRow, choose_tokens
from cortex.engine.sampling.adjusting import TokenCounts
from cortex.engine.types import Sampling

from .report import arguments, written

_NUM_ROWS = (1, 8, 64)
_VOCAB_SIZES = (320, 151_936)
_PROMPT_TOKENS = 300


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    wish: Callable[[int], SamplingRow]


@dataclass(frozen=True, slots=True)
class Figure:
    case: str
    vocab_size: int
    num_rows: int
    median_ms: float
    best_ms: float
    rounds_ms: tuple[float, ...]


def cases(vocab_size: int) -> tuple[Case, ...]:
    def row(seed: int, **wishes: Any) -> SamplingRow:
        return SamplingRow(Sampling(seed, **wishes), position=1000 + seed)

    def penalised(seed: int) -> SamplingRow:
        counts = TokenCounts(range(0, vocab_size, max(1, vocab_size // _PROMPT_TOKENS)), _CPU)
        counts.add(seed)
        sampling = Sampling(seed, temperature=0.0, presence_penalty=1.5, repetition_penalty=1.1)
        return SamplingRow(sampling, 1000, counts)

    words = torch.full(((vocab_size + 31) // 32,), -1, dtype=torch.int32)
    return (
        Case("greedy", lambda seed: row(seed, temperature=0.0)),
        Case("temperature 1", lambda seed: row(seed)),
        Case(
            "temperature 0.6, top-k 20, top-p 0.95",
            lambda seed: row(seed, temperature=0.6, top_k=20, top_p=0.95),
        ),
        Case("temperature 0.7, top-p 0.9", lambda seed: row(seed, temperature=0.7, top_p=0.9)),
        Case(
            "temperature 2, top-p 0.95: a flat distribution",
            lambda seed: row(seed, temperature=2.0, top_p=0.95),
        ),
        Case("greedy, penalties", penalised),
        Case(
            "greedy, grammar mask",
            lambda seed: SamplingRow(Sampling(seed, temperature=0.0), 1000, mask=words),
        ),
        Case(
            "greedy, 20 log probabilities",
            lambda seed: SamplingRow(Sampling(seed, temperature=0.0), 1000, top_logprobs=20),
        ),
    )


_CPU = torch.device("cpu")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    torch.set_num_threads(1)
    figures = [
        figure
        for vocab_size in _VOCAB_SIZES
        for num_rows in _NUM_ROWS
        for figure in measure(vocab_size, num_rows, args.rounds, time.thread_time)
    ]
    for figure in figures:
        print(f"{figure.vocab_size:>7} x {figure.num_rows:<3}{figure.median_ms:>9.3f} ms", end="")
        print(f"  (best {figure.best_ms:.3f})  {figure.case}")
    written(
        args.out,
        "milliseconds of one thread to choose one token for each row of a batch",
        command=["python", "-m", "bench.sampler"],
        figures=[asdict(figure) for figure in figures],
        threads=1,
    )


@torch.inference_mode()
def measure(
    vocab_size: int, num_rows: int, num_rounds: int, clock: Callable[[], float]
) -> list[Figure]:
    logits = peaked_logits(vocab_size, num_rows)
    forbidden = torch.arange(vocab_size - 5, vocab_size)
    some = cases(vocab_size)
    batches = [[case.wish(seed) for seed in range(num_rows)] for case in some]
    rounds_ms: list[list[float]] = [[] for _ in some]
    for round_number in range(num_rounds + 1):
        for times_ms, rows in zip(rounds_ms, batches, strict=True):
            began_s = clock()
            choose_tokens(logits, rows, forbidden)
            if round_number:  # the first one finds cold caches, and is not told
                times_ms.append(round((clock() - began_s) * 1000, 4))
    return [
        Figure(case.name, vocab_size, num_rows, statistics.median(t), min(t), tuple(t))
        for case, t in zip(some, rounds_ms, strict=True)
    ]


def peaked_logits(vocab_size: int, num_rows: int) -> torch.Tensor:
    """[rows, vocab]: normal with a spread of 2, and 100 tokens of each row by Zipf's law on top."""
    generator = torch.Generator().manual_seed(num_rows)
    logits = torch.randn(num_rows, vocab_size, generator=generator) * 2
    count = min(100, vocab_size)
    for row in logits:
        ids = torch.randperm(vocab_size, generator=generator)[:count]
        row[ids] = 18.0 - 2.0 * torch.arange(1, count + 1).log()
    return logits


if __name__ == "__main__":
    main()
