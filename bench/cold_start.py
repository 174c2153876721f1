"""Seconds from the start of `cortex chat` to the first character of its answer, nothing running.

Each run is a whole command: a new Python, a private node, its processes, the load of the model, the
prompt. The runs follow each other, so that all but the first find the files in the system's cache;
their figures are given one by one, in order.

    python -m bench.cold_start --runs 5 --out bench/results/cold-start.json
"""

from __future__ import annotations

import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from .report import arguments, written

_TIMEOUT_S = 300.0
_PROMPT = "Who are you?"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", help="which model answers; otherwise the first")
    parser.add_argument("--engine", choices=("torch", "fake"), default="torch")
    args = parser.parse_args()
    if args.runs < 1:
        parser.error("--runs: at least 1")
    options = ("--engine", args.engine, *(("--model", args.model) if args.model else ()))
    runs_s = [first_token_s(options, time.monotonic) for _ in range(args.runs)]
    what = "seconds from the start of `cortex chat` to the first byte of its answer"
    print(written(args.out, what, **figures(options, runs_s)))


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


def figures(options: Sequence[str], runs_s: Sequence[float]) -> dict[str, Any]:
    """And what somebody needs to measure them again."""
    return {
        "command": ["python", *chat_arguments(options)],
        "runs_s": [round(run_s, 3) for run_s in runs_s],
        "median_s": round(statistics.median(runs_s), 3),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


if __name__ == "__main__":
    main()
