"""Seconds from the start of `cortex chat` to the first character of its answer, nothing running.

Each run is a whole command: a new Python, a private node, its processes, the load of the model, the
prompt. The runs follow each other, so that all but the first find the files in the system's cache;
their figures are given one by one, in order.

    python -m bench.cold_start --runs 5 --out bench/results/cold-start.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_TIMEOUT_S = 300.0
_PROMPT = "Who are you?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the figures here as well")
    parser.add_argument("--model", help="which model answers; otherwise the first")
    parser.add_argument("--engine", choices=("torch", "fake"), default="torch")
    args = parser.parse_args()
    if args.runs < 1:
        parser.error("--runs: at least 1")
    options = ("--engine", args.engine, *(("--model", args.model) if args.model else ()))
    runs_s = [first_token_s(options, time.monotonic) for _ in range(args.runs)]
    text = json.dumps(report(options, runs_s, datetime.now(UTC)), indent=2)
    print(text)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(f"{text}\n", encoding="utf-8")


def first_token_s(options: Sequence[str], clock: Callable[[], float]) -> float:
    """How long one command takes until the first byte on its standard output.

    Raises RuntimeError where it ends without one, or takes too long for it.
    """
    # What the measuring person has set must not decide who answers.
    environ = {name: text for name, text in os.environ.items() if not name.startswith("CORTEX_")}
    # A state directory of its own: no running peer can be found from there.
    with tempfile.TemporaryDirectory() as state_dir:
        command = [sys.executable, *chat_arguments(options), "--state-dir", state_dir]
        began_s = clock()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        ) as process:
            try:
                assert process.stdout is not None
                if not select.select([process.stdout], [], [], _TIMEOUT_S)[0]:
                    raise RuntimeError(f"no answer within {_TIMEOUT_S:g} s")
                first = os.read(process.stdout.fileno(), 1)
                took_s = clock() - began_s
                _, said = process.communicate(timeout=_TIMEOUT_S)
            finally:
                process.kill()
    if process.returncode != 0 or not first:
        raise RuntimeError(f"no answer, exit code {process.returncode}: {said.decode()}")
    return took_s


def chat_arguments(options: Sequence[str]) -> list[str]:
    # What comes after the first token is not measured: a few are enough, and the first of them
    # may be half a character, which is no text yet.
    few = ("--max-tokens", "8", "--seed", "0")
    return ["-m", "cortex.cli", "chat", "--raw", *few, *options, _PROMPT]


def report(options: Sequence[str], runs_s: Sequence[float], at: datetime) -> dict[str, Any]:
    """The figures, and everything that somebody needs to measure them again."""
    return {
        "what": "seconds from the start of `cortex chat` to the first byte of its answer",
        "command": ["python", *chat_arguments(options)],
        "runs_s": [round(run_s, 3) for run_s in runs_s],
        "median_s": round(statistics.median(runs_s), 3),
        "date": at.isoformat(timespec="seconds"),
        "machine": {
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": _version("torch"),
            "cortex": _version("cortex-fleet"),
        },
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def processor_name(listing: Path = Path("/proc/cpuinfo")) -> str:
    """What the kernel calls the processor, else its family."""
    try:
        lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
