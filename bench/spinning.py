"""How long OpenMP's threads should spin while they wait, when the engine is not alone.

A step of small products with a little serial work between them, as a decode step is, is timed in a
fresh process for each setting of GOMP_SPINCOUNT: alone, and beside a neighbour that keeps one core
busy a part of the time, as the peer process does.

    python -m bench.spinning --out bench/results/spinning-cpu.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from .cold_start import processor_name

SPIN_COUNTS = (None, 30_000, 10_000, 5_000, 2_000, 0)
# Share of time that the neighbour computes, in slices of 10 ms.
NEIGHBOURS = (0.0, 0.3, 1.0)
_SLICE_S = 0.01
_STEPS = 40
_LAYERS = 24
_ROWS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="write the figures here as well")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--step", action="store_true", help="(the process that is timed)")
    parser.add_argument("--neighbour", type=float, help="(the process beside it)")
    args = parser.parse_args()
    if args.step:
        print(json.dumps(steps_ms()))
    elif args.neighbour is not None:
        be_busy(args.neighbour)
    else:
        text = json.dumps(report(args.rounds, datetime.now(UTC)), indent=1)
        print(text)
        if args.out is not None:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(f"{text}\n", encoding="utf-8")


def report(rounds: int, at: datetime) -> dict[str, Any]:
    return {
        "what": f"ms of a step: {_LAYERS} packed bfloat16 products 1024 x 3072, {_ROWS} rows",
        "method": f"{_STEPS} steps in a fresh process, settings interleaved over rounds",
        "date": at.isoformat(timespec="seconds"),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "steps": [row for number in range(rounds) for row in one_round(number)],
    }


def one_round(number: int) -> Iterator[dict[str, Any]]:
    for busy in NEIGHBOURS:
        with subprocess.Popen(
            [sys.executable, "-m", "bench.spinning", "--neighbour", str(busy)],
            # A session of its own, as a peer and its engine have: Linux shares time by session.
            start_new_session=True,
        ) as neighbour:
            try:
                for spin_count in SPIN_COUNTS:
                    took_ms = sorted(in_fresh_process(spin_count))
                    yield {
                        "round": number,
                        "neighbour_busy": busy,
                        "spin_count": "default" if spin_count is None else spin_count,
                        "median_ms": round(statistics.median(took_ms), 2),
                        "p90_ms": round(took_ms[len(took_ms) * 9 // 10], 2),
                    }
            finally:
                neighbour.kill()


def in_fresh_process(spin_count: int | None) -> list[float]:
    # The library reads its environment once, when it is loaded.
    environ = {n: v for n, v in os.environ.items() if not n.startswith(("OMP_", "GOMP_"))}
    if spin_count is not None:
        environ["GOMP_SPINCOUNT"] = str(spin_count)
    done = subprocess.run(
        [sys.executable, "-m", "bench.spinning", "--step"],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return cast("list[float]", json.loads(done.stdout))


def steps_ms() -> list[float]:
    import torch

    from cortex.engine.kernels.linear import packed_product

    products = [packed_product(torch.randn(3072, 1024).bfloat16(), None) for _ in range(_LAYERS)]
    x = torch.randn(_ROWS, 1024).bfloat16()

    def step() -> None:
        for product in products:
            y = product(x)[:, :1024]
            for _ in range(4):  # norms, gates, sums: work of one thread
                y = torch.nn.functional.silu(y) * y

    took_ms: list[float] = []
    with torch.inference_mode():
        for _ in range(_STEPS):
            began_s = time.perf_counter()
            step()
            took_ms.append((time.perf_counter() - began_s) * 1e3)
    return took_ms


def be_busy(share: float) -> None:
    """Until killed, or left alone."""
    parent = os.getppid()
    while os.getppid() == parent:
        began_s = time.perf_counter()
        while time.perf_counter() < began_s + share * _SLICE_S:
            pass
        if share < 1:
            time.sleep((1 - share) * _SLICE_S)


if __name__ == "__main__":
    main()
