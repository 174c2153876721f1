"""What a step pays for memory that the C library gives back between its tensors.

A norm over the rows of a prompt chunk, in a fresh process each: as glibc is by itself, and as
`engine/heap.py` sets it.

    python -m bench.heap --out bench/results/heap-cpu.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .machine import describe_machine

_ROWS, _HIDDEN = 256, 1024
_REPEATS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="write the figures here as well")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timed", choices=("as it is", "kept"), help="(the process that is timed)")
    args = parser.parse_args()
    if args.timed:
        print(norm_us(args.timed == "kept"))
        return
    text = json.dumps(report(args.rounds), indent=1)
    print(text)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(f"{text}\n", encoding="utf-8")


def report(rounds: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "what": f"median us of {_REPEATS} RMS norms over [{_ROWS}, {_HIDDEN}], fresh processes",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "load_average": os.getloadavg(),
    }
    for dtype in ("bfloat16", "float32"):
        for how in ("as it is", "kept"):
            told[f"{dtype}, {how}"] = []
    for _ in range(rounds):
        for how in ("as it is", "kept"):
            for dtype, took_us in _timed(how).items():
                told[f"{dtype}, {how}"].append(took_us)
    return told


def _timed(how: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.heap", "--timed", how],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


def norm_us(is_kept: bool) -> str:
    import torch

    from cortex.engine.heap import keep_freed_memory
    from cortex.engine.layers.norms import RMSNorm

    if is_kept:
        keep_freed_memory()
    told: dict[str, float] = {}
    with torch.inference_mode():
        for dtype in (torch.bfloat16, torch.float32):
            norm = RMSNorm(_HIDDEN, 1e-6)
            x = torch.randn(_ROWS, _HIDDEN).to(dtype)
            took_s: list[float] = []
            for _ in range(_REPEATS):
                began_s = time.perf_counter()
                norm(x)
                took_s.append(time.perf_counter() - began_s)
            told[str(dtype).removeprefix("torch.")] = round(statistics.median(took_s) * 1e6, 1)
    return json.dumps(told)


if __name__ == "__main__":
    main()
