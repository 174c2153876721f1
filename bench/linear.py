"""Linear layers on the CPU, ours against torch's packed and plain ones: speed by number of rows,
and whose bits differ.

Weights are taken in turn from enough copies that they come from memory, as those of a model do.
Variants follow each other within a round; a timing during which this process had to give way is
taken again.

    python -m bench.linear --out bench/results/linear-cpu.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch
from torch.nn import functional

from cortex.engine.cores import usable_cores
from cortex.engine.kernels.linear import LinearPacker, packed_product
from cortex.engine.kernels.own import own_kernels
from cortex.engine.kernels.panels import PanelLinear
from cortex.engine.kernels.row_rule import Product

from .cold_start import processor_name
from .quiet import Timings, described, interleaved, ratio

# (in, out) of Qwen3-0.6B and Qwen3.5-0.8B; the largest is a slice of a head.
SHAPES = ((1024, 3072), (3072, 1024), (2048, 1024), (1024, 1024), (1024, 6144), (1024, 38000))
NANO_SHAPES = ((256, 640), (640, 256), (256, 320), (256, 4), (192, 576), (768, 192))
ROWS = (1, 2, 4, 8, 16, 32, 128, 512)
# Layers that read the same input, and the one product they could be.
JOINED = {"gate|up": (1024, (3072, 3072)), "q|k|v": (1024, (2048, 1024, 1024))}
JOINED_ROWS = (1, 8, 128)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MOST_ROWS = 512
# Beyond any cache that two cores have.
_COPIES_BYTES = 130e6
# Fewer copies where arithmetic, not memory, takes the time.
_MANY_ROWS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="write the figures here as well")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20, help="at most, for a dtype and shape")
    parser.add_argument("--dtype", choices=tuple(DTYPES), action="append")
    parser.add_argument("--threads", type=int, default=usable_cores())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dtypes = {name: DTYPES[name] for name in args.dtype or DTYPES}
    measure = Measure(args.rounds, args.seconds)
    text = json.dumps(report(measure, dtypes, datetime.now(UTC)), indent=1)
    print(text)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(f"{text}\n", encoding="utf-8")


def report(measure: Measure, dtypes: dict[str, torch.dtype], at: datetime) -> dict[str, Any]:
    with torch.inference_mode():
        return {
            "what": "x @ weight.T: own kernels, oneDNN's packed once, torch.nn.functional.linear",
            "method": "copies in turn (130 MB), variants interleaved, disturbed timings retaken",
            "date": at.isoformat(timespec="seconds"),
            "machine": {
                "processor": processor_name(),
                "usable_cores": usable_cores(),
                "threads": torch.get_num_threads(),
                "capability": torch.backends.cpu.get_cpu_capability(),
                "load_average": os.getloadavg(),
                "system": platform.platform(),
            },
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "speed": [row for name in dtypes for row in measure.speed(name)],
            "joined": [row for name in dtypes for row in measure.joined(name)],
            "bits": [row for name in dtypes for row in bits(name)],
        }


class Measure:
    def __init__(self, rounds: int, seconds: float) -> None:
        self._rounds = rounds
        self._seconds = seconds

    def speed(self, dtype: str) -> Iterator[dict[str, Any]]:
        for shape in SHAPES:
            weights = copies(shape, DTYPES[dtype])
            packed = [packed_product(weight, None) for weight in weights]
            library = own_kernels(DTYPES[dtype])
            own = [PanelLinear(library, weight, None) for weight in weights] if library else []
            for num_rows in ROWS:
                few = len(weights) if num_rows < _MANY_ROWS else max(1, len(weights) // 8)
                x = random(num_rows, shape[0]).to(DTYPES[dtype])
                variants = {
                    "packed": every(packed[:few], x),
                    "plain": every([plain(weight) for weight in weights[:few]], x),
                }
                if own:
                    variants["own"] = every(own[:few], x)
                took = self._take(variants)
                yield {
                    "dtype": dtype,
                    "in_out": shape,
                    "rows": num_rows,
                    "calls": few,
                    **{name: speeds(t, weights[0], few, num_rows) for name, t in took.items()},
                    "plain_over_packed": ratio(took["plain"], took["packed"]),
                    **({"packed_over_own": ratio(took["packed"], took["own"])} if own else {}),
                }

    def joined(self, dtype: str) -> Iterator[dict[str, Any]]:
        """Several products of one input against one product that is as wide as all of them."""
        for name, (in_features, widths) in JOINED.items():
            whole = copies((in_features, sum(widths)), DTYPES[dtype])
            one = [packed_product(weight, None) for weight in whole]
            several = [
                packed_product(part, None) for weight in whole for part in cut(weight, widths)
            ]
            for num_rows in JOINED_ROWS:
                # As decode does it: never fewer than four rows.
                x = random(max(4, num_rows), in_features).to(DTYPES[dtype])
                took = self._take({"joined": every(one, x), "several": every(several, x)})
                yield {
                    "dtype": dtype,
                    "layers": name,
                    "rows": num_rows,
                    **{variant: described(t) for variant, t in took.items()},
                    "several_over_joined": ratio(took["several"], took["joined"]),
                }

    def _take(self, variants: dict[str, Callable[[], object]]) -> dict[str, Timings]:
        until_s = time.monotonic() + self._seconds / len(ROWS)
        return interleaved(variants, rounds=self._rounds, until_s=until_s)


def bits(dtype: str) -> Iterator[dict[str, Any]]:
    """Row counts from 1 to 512 in classes that give a row the same bits; what exact mode does."""
    for shape in (*SHAPES, *NANO_SHAPES):
        weight, x = copies(shape, DTYPES[dtype], 1)[0], random(MOST_ROWS, shape[0])
        x = x.to(DTYPES[dtype])
        layer = LinearPacker(exact=True).packed(weight, None)
        yield {
            "dtype": dtype,
            "in_out": shape,
            "packed": classes(packed_product(weight, None), x),
            "plain": classes(plain(weight), x),
            "exact": None if layer is None else classes(layer, x),
            "exact_rule": None if layer is None else repr(layer.rule),
        }


def classes(product: Product, x: torch.Tensor) -> list[list[int]]:
    """First and last row count of every class, and how many it has."""
    longest: list[torch.Tensor] = []
    found: list[list[int]] = []
    for count in (*range(1, 66), *range(66, MOST_ROWS, 31), MOST_ROWS):
        y = product(x[:count])
        same = (i for i, other in enumerate(longest) if torch.equal(other, y[: len(other)]))
        index = next(same, None)
        if index is None:
            longest.append(y)
            found.append([count])
        else:
            longest[index] = y
            found[index].append(count)
    return [[counts[0], counts[-1], len(counts)] for counts in found]


def speeds(timings: Timings, weight: torch.Tensor, calls: int, rows: int) -> dict[str, Any]:
    if not timings.kept_s:
        return described(timings)
    call_s = timings.median_s / calls
    return {
        "gb_per_s": round(weight.nbytes / call_s / 1e9, 2),
        "gflop_per_s": round(2 * rows * weight.numel() / call_s / 1e9, 1),
        **described(timings),
    }


def every(products: Sequence[Product], x: torch.Tensor) -> Callable[[], object]:
    def run() -> None:
        for product in products:
            product(x)

    return run


def plain(weight: torch.Tensor) -> Product:
    return lambda x: functional.linear(x, weight)


def copies(shape: tuple[int, int], dtype: torch.dtype, count: int = 0) -> list[torch.Tensor]:
    """Weights [out, in] scaled as a model's are."""
    weight = (random(shape[1], shape[0]) * shape[0] ** -0.5).to(dtype)
    count = count or max(2, int(_COPIES_BYTES / weight.nbytes) + 1)
    return [weight.clone() for _ in range(count)]


def cut(weight: torch.Tensor, widths: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    """The rows of a joined weight as the layers' own."""
    return cast("tuple[torch.Tensor, ...]", weight.split(widths))


def random(*size: int) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(0))


if __name__ == "__main__":
    main()
