"""How fast a model loads, beside how fast its file can be read at all, and what it costs in memory.

Cold: the file is dropped from the system's cache before it is read, and again before it is loaded.
Warm: the same with the file in the cache. Every load is a new process that has imported everything
before the clock starts, and it ends when every page of the weights has been touched, so that a
loader that only maps the file gains nothing by it.

    python -m bench.load ~/.cache/cortex-bench/models/qwen3-0_6b-bfloat16 --dtype bfloat16
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from .machine import load_average
from .report import arguments, written

State = Literal["cold", "warm"]

_STATES: tuple[State, ...] = ("cold", "warm")
_BUFFER_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Load:
    """One load, and the read that it is compared with. Bytes are of the weights in memory.

    `extra_bytes` is the most memory of its own that the process ever held, beyond the weights.
    """

    state: State
    read_s: float
    load_s: float
    file_bytes: int
    weight_bytes: int
    extra_bytes: int
    load_average: float

    @property
    def share(self) -> float:
        """The load's speed as a share of the read's: 1 is as fast."""
        return self.read_s / self.load_s

    @property
    def extra_share(self) -> float:
        return self.extra_bytes / self.weight_bytes


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    files = sorted(args.model_dir.glob("*.safetensors"))
    if not files:
        parser.error(f"{args.model_dir} holds no .safetensors file")
    loads = [
        measure(args.model_dir, files, args.dtype, state)
        for _ in range(args.rounds)
        for state in _STATES
    ]
    for state in _STATES:
        print(describe(state, [load for load in loads if load.state == state]))
    written(
        args.out,
        "load speed as a share of read speed, and memory beyond the weights",
        model=args.model_dir.name,
        dtype=args.dtype,
        loads=[asdict(load) | {"share": load.share} for load in loads],
    )


def measure(model_dir: Path, files: list[Path], dtype: str, state: State) -> Load:
    if state == "cold":
        drop(files)
    read_s = read_seconds(files)
    if state == "cold":
        drop(files)
    command = [sys.executable, "-m", "bench.load_once", str(model_dir), "--dtype", dtype]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    return Load(
        state=state,
        read_s=read_s,
        load_s=told["load_s"],
        file_bytes=sum(file.stat().st_size for file in files),
        weight_bytes=told["weight_bytes"],
        extra_bytes=max(0, told["peak_own_bytes"] - told["weight_bytes"]),
        load_average=load_average(),
    )


def describe(state: State, loads: list[Load]) -> str:
    speed = median(load.file_bytes / load.load_s for load in loads) / 1e9
    share, extra = median(load.share for load in loads), max(load.extra_share for load in loads)
    return (
        f"{state}: {speed:.2f} GB/s, {share:.0%} of reading (bar: 80 %), "
        f"{extra:.1%} of the weights in extra memory (bar: 10 %)"
    )


def read_seconds(files: list[Path]) -> float:
    """Every byte once, into one buffer, by plain reads."""
    buffer = bytearray(_BUFFER_BYTES)
    began_s = time.perf_counter()
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - began_s


def drop(files: list[Path]) -> None:
    """Out of the system's cache; what is not on the disk yet is written first."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


if __name__ == "__main__":
    main()
