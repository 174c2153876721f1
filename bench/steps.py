"""Where a step's time goes: products, attention, the small operations, and the rest, on the CPU.

A model is loaded in a process of its own for each setting, with our kernels or torch's, on huge
pages or without, settings interleaved over rounds. It decodes for one sequence and for eight, after
64 tokens each, and reads a prompt; the median step is told, and what its parts took on the average.

    python -m bench.steps ~/.cache/cortex-bench/models/qwen3-0_6b-bfloat16 --dtype bfloat16
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, get_args

import torch

from cortex.engine.cache.place import Place
from cortex.engine.cache.pools import PooledMemory, Pools
from cortex.engine.cores import usable_cores
from cortex.engine.heap import keep_freed_memory
from cortex.engine.kernels.linear import CpuLinear
from cortex.engine.kernels.panels import PanelLinear
from cortex.engine.layers.operations import PLAIN, Operations, use_operations
from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import load_model
from cortex.engine.wishes import KernelsWish

from .machine import load_average
from .report import arguments, written

# Whose kernels, and whether glibc asks for huge pages: the first is what a peer runs with.
_SETTINGS: tuple[tuple[KernelsWish, int], ...] = (("auto", 1), ("auto", 0), ("torch", 1))
_OPERATIONS = ("rms_norm", "silu_times", "norm_rotate", "gated_delta_mix", "attend")
_STEPS, _HISTORY_TOKENS = 40, 64
_PROMPT_TOKENS, _CHUNK_TOKENS = 1024, 256
_PAGE_TOKENS = 64


class Clock:
    """Seconds by part, each call's added up."""

    def __init__(self) -> None:
        self.took_s: defaultdict[str, float] = defaultdict(float)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            began_s = time.perf_counter()
            result = function(*args)
            self.took_s[part] += time.perf_counter() - began_s
            return result

        return call


def watched(model: ServableModel, clock: Clock) -> None:
    """Have the clock see every product and operation of a model."""
    for module in model.modules():
        if isinstance(module, (PanelLinear, CpuLinear)):
            module.forward = clock.timed("products", module.forward)
    operations = Operations() if model.operations is PLAIN else model.operations
    for name in _OPERATIONS:
        setattr(operations, name, clock.timed(name, getattr(operations, name)))
    use_operations(model, operations)


class Sequences:
    """So many sequences of one model, from their beginning."""

    def __init__(self, model: ServableModel, count: int, num_pages: int) -> None:
        self._model = model
        self._pools = Pools(
            model.shape.memory, model.dtype, torch.device("cpu"), num_pages=count * num_pages,
            page_tokens=_PAGE_TOKENS, num_slots=count, operations=model.operations,
        )  # fmt: skip
        self._places = [
            Place(list(range(i * num_pages, (i + 1) * num_pages)), slot=i) for i in range(count)
        ]
        for i in range(count):
            self._pools.clear_state(i)

    def skip(self, num_tokens: int) -> None:
        """As if these had been computed; what they hold is no matter for time."""
        for place in self._places:
            place.num_tokens += num_tokens
        for keys, values in self._pools.keys_values.values():
            keys.zero_()
            values.zero_()

    def advance(self, num_tokens: int) -> float:
        """Seconds that the next tokens of all took, scores of the last ones included."""
        start, count = self._places[0].num_tokens, len(self._places)
        positions = torch.arange(start, start + num_tokens).expand(3, count, -1)
        token_ids = torch.randint(0, 256, (count, num_tokens))
        began_s = time.perf_counter()
        memory = PooledMemory(self._pools, self._places, num_tokens)
        hidden = self._model(self._model.embed(token_ids), positions, memory)
        self._model.logits(hidden[:, -1])
        took_s = time.perf_counter() - began_s
        for place in self._places:
            place.num_tokens += num_tokens
        return took_s


def measure(model_dir: Path, dtype: torch.dtype, kernels: KernelsWish) -> dict[str, Any]:
    """In this process: a line for each kind of step, in milliseconds."""
    keep_freed_memory()
    torch.set_num_threads(usable_cores())
    is_exact = dtype == torch.float32
    device = torch.device("cpu")
    model = load_model(model_dir, dtype, device, exact=is_exact, kernels=kernels).model
    clock = Clock()
    watched(model, clock)
    found: dict[str, Any] = {}
    with torch.inference_mode():
        for count in (1, 8):
            sequences = Sequences(model, count, 2)
            sequences.skip(_HISTORY_TOKENS)
            sequences.advance(1)
            clock.took_s.clear()
            took_s = [sequences.advance(1) for _ in range(_STEPS)]
            found[f"decode at {count}"] = _line(median(took_s), clock, _STEPS)
        pages = _PROMPT_TOKENS // _PAGE_TOKENS
        whole_s: list[float] = []
        clock.took_s.clear()
        for _ in range(2):
            sequences = Sequences(model, 1, pages)
            chunks = range(0, _PROMPT_TOKENS, _CHUNK_TOKENS)
            whole_s.append(sum(sequences.advance(_CHUNK_TOKENS) for _ in chunks))
        found["prefill"] = _line(median(whole_s), clock, 2)
    return found


def _line(median_s: float, clock: Clock, times: int) -> dict[str, Any]:
    parts = {part: round(took_s / times * 1e3, 2) for part, took_s in clock.took_s.items()}
    return {"median_ms": round(median_s * 1e3, 1), "mean_ms_of_parts": parts}


def in_own_process(model_dir: Path, dtype: str, kernels: KernelsWish, huge: int) -> dict[str, Any]:
    tunables = f"glibc.malloc.hugetlb={huge}"
    environ = {**os.environ, "GLIBC_TUNABLES": tunables, "GOMP_SPINCOUNT": "5000"}
    command = [sys.executable, "-m", "bench.steps", str(model_dir), "--dtype", dtype]
    done = subprocess.run(
        [*command, "--only", kernels], env=environ, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=get_args(KernelsWish), help="measure in this process")
    args = parser.parse_args()
    if args.only is not None:
        print(json.dumps(measure(args.model_dir, getattr(torch, args.dtype), args.only)))
        return
    rounds: list[dict[str, Any]] = []
    for number in range(args.rounds):
        for kernels, huge in _SETTINGS:
            steps = in_own_process(args.model_dir, args.dtype, kernels, huge)
            about = {"round": number, "kernels": kernels, "huge_pages": bool(huge)}
            rounds.append({**about, "load_average": load_average(), **steps})
            times = {kind: line["median_ms"] for kind, line in steps.items()}
            print(f"{about} {times} ms", flush=True)
    written(
        args.out,
        "milliseconds of a step and of its parts, by kernels and pages",
        model=args.model_dir.name,
        dtype=args.dtype,
        rounds=rounds,
    )


if __name__ == "__main__":
    main()
