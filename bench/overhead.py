"""What a step costs beside the model: `python -m bench.overhead [--out FILE]`.

The engine's own service over a model whose forward pass returns stored scores: scheduling, memory
bookkeeping, sampling and events, in milliseconds of a step that decodes for so many sequences.
Greedy, vocabulary of cortex-nano. The bars are 0.5 ms at 8 sequences and 2 ms at 64.
"""

from __future__ import annotations

import statistics
import time

import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.messages import Wanted
from cortex.engine.models.base import ModelShape, ServableModel
from cortex.engine.models.memory import AttentionShape, MemoryShape, StepMemory
from cortex.engine.recall import HostStore
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.types import Prompt, Sampling

from .report import arguments, written

_VOCAB, _HIDDEN, _MOST = 320, 8, 64
_WARM_STEPS, _STEPS = 20, 200


class StoredScores(ServableModel):
    """No layers: every row gets the same scores."""

    def __init__(self) -> None:
        shape = ModelShape(_VOCAB, _HIDDEN, MemoryShape({0: AttentionShape(1, 8)}, {}))
        super().__init__(shape)
        self._embedding = torch.nn.Embedding(_VOCAB, _HIDDEN)
        self._scores = torch.randn(_MOST, _VOCAB, generator=torch.Generator().manual_seed(0))

    @property
    def embedding(self) -> torch.nn.Embedding:
        return self._embedding

    def forward(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        memory: StepMemory | None = None,
    ) -> torch.Tensor:
        return embeddings

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._scores[: hidden.shape[0]].clone()


def decoding(num_sequences: int) -> ModelService:
    """A service with so many sequences, all past their prompts."""
    store: HostStore = PrefixStore(0)
    capacity = Capacity(num_pages=1024, num_slots=_MOST, grid_tokens=256, encoder_bytes=0)
    service = make_service(StoredScores(), _VOCAB, torch.device("cpu"), capacity, store, "stored")
    greedy = Sampling(seed=0, temperature=0.0)
    for n in range(num_sequences):
        prompt = Prompt((n + 1,) * 64, (), (), greedy, 900, (), stop_token_ids=())
        service.add(Wanted(str(n), 0), prompt, now_s=0.0)
    for _ in range(_WARM_STEPS + num_sequences):
        service.step(now_s=0.0)
    return service


def step_ms(num_sequences: int) -> list[float]:
    service = decoding(num_sequences)
    times: list[float] = []
    for _ in range(_STEPS):
        begun_s = time.perf_counter()
        service.step(now_s=0.0)
        times.append((time.perf_counter() - begun_s) * 1000)
    return times


def main() -> None:
    args = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, float]] = []
    for num_sequences in (1, 8, 32, 64):
        times = step_ms(num_sequences)
        median, p90 = statistics.median(times), statistics.quantiles(times, n=10)[-1]
        rows.append({"sequences": num_sequences, "median_ms": median, "p90_ms": p90})
        print(f"{num_sequences:>3} sequences  median {median:.3f} ms  p90 {p90:.3f} ms")
    written(args.out, "ms of a step beside the model", steps=rows)


if __name__ == "__main__":
    main()
