"""What commands cost: a cold start, TAB, help, and `cortex status` beside a running peer.

    python -m bench.cli --runs 15 --out bench/results/cli.json

Each run is a whole process. Processor time is the process's own and its children's, to its end.
Wall time is to its end too, but of a cold start to the first byte of the answer: a new Python, a
private node, its processes, the load of the model, the prompt. A run before those that count has
put the files into the system's cache, and compiled the kernels. Exits 1 where a budget is not kept:
the fastest run counts, for others' work only ever adds.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .live.process import PeerProcess, environment
from .machine import load_average
from .report import arguments, written

TAB_MS = 150.0
STATUS_MS = 400.0
LIMIT_S = 300.0
PEER = ("--engine", "fake", "--no-mdns", "--fleet-host", "127.0.0.1", "--fleet-port", "0")


@dataclass(frozen=True, slots=True)
class Case:
    """`variables` are added to the environment. Of the two budgets one may be None.

    Of one that `is_cold` wall time ends at the first byte of its output, and no peer runs.
    """

    name: str
    words: Sequence[str] = ()
    typed: str | None = None
    is_cold: bool = False
    cpu_budget_ms: float | None = None
    wall_budget_ms: float | None = None

    def variables(self) -> Mapping[str, str]:
        if self.typed is None:
            return {}
        last = str(len(self.typed.split(" ")) - 1)
        return {"_CORTEX_COMPLETE": "complete_bash", "COMP_WORDS": self.typed, "COMP_CWORD": last}


def cases(state_dir: Path) -> list[Case]:
    asked = ("--state-dir", str(state_dir))
    # What comes after the first token is not measured: a few are enough, and the first of them
    # may be half a character, which is no text yet.
    few = ("--raw", "--max-tokens", "8", "--seed", "0", "--engine", "torch")
    return [
        Case("cortex chat", ("chat", *few, "Who are you?"), is_cold=True),
        Case("cortex --help", ("--help",)),
        Case("cortex chat --help", ("chat", "--help")),
        Case("cortex status", ("status", *asked), wall_budget_ms=STATUS_MS),
        Case("cortex status --json", ("status", "--json", *asked), wall_budget_ms=STATUS_MS),
        Case("cortex ps", ("ps", *asked)),
        # TAB knows names from the commands before it.
        Case("TAB of a command", typed="cortex lo", cpu_budget_ms=TAB_MS),
        Case("TAB of all commands", typed="cortex ", cpu_budget_ms=TAB_MS),
        Case("TAB of an option", typed="cortex chat --im", cpu_budget_ms=TAB_MS),
        Case("TAB of a model", typed="cortex load f", cpu_budget_ms=TAB_MS),
    ]


def measured(
    case: Case, folder: Path, num_runs: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Raises RuntimeError where the command fails or says nothing."""
    command = [sys.executable, "-m", "cortex.cli", *case.words]
    environ = {**environment(folder), **case.variables()}
    environ["XDG_CACHE_HOME"] = str(folder / "cache")
    if case.is_cold:
        # As many threads as a command takes that is told nothing.
        del environ["OMP_NUM_THREADS"]
    runs = [run(command, environ, clock, is_cold=case.is_cold) for _ in range(num_runs + 1)][1:]
    walls, cpus = [wall for wall, _ in runs], [cpu for _, cpu in runs]
    return {
        "what": case.name,
        "cpu_ms": _spread(cpus),
        "wall_ms": _spread(walls),
        "cpu_budget_ms": case.cpu_budget_ms,
        "wall_budget_ms": case.wall_budget_ms,
        "is_kept": min(cpus) <= (case.cpu_budget_ms or min(cpus))
        and min(walls) <= (case.wall_budget_ms or min(walls)),
    }


def run(
    command: Sequence[str],
    environ: Mapping[str, str],
    clock: Callable[[], float] = time.perf_counter,
    *,
    is_cold: bool = False,
    limit_s: float = LIMIT_S,
) -> tuple[float, float]:
    """Wall time and processor time in milliseconds. Raises RuntimeError as `measured` does."""
    with tempfile.TemporaryFile() as errors:
        began_s = clock()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environ,
            bufsize=0,  # so that the first byte is seen when it comes
            start_new_session=True,  # so that it can be killed with all that hold its output
        ) as process:
            assert process.stdout is not None
            with _killed_after(limit_s, process):
                said = process.stdout.read(1)
                first_s = clock()
                process.stdout.read()
                _, status, used = os.wait4(process.pid, 0)
                ended_s = clock()
                process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        told = errors.read()
    # That there is nothing to list is told as an error would be; an answer never is.
    if process.returncode or not (said if is_cold else said + told):
        ended = f"{' '.join(command)} ended with {process.returncode}"
        after = f"after {ended_s - began_s:.1f} s (limit: {limit_s:g} s)"
        raise RuntimeError(f"{ended} {after}: {told.decode()}")
    wall_s = (first_s if is_cold else ended_s) - began_s
    return wall_s * 1000, (used.ru_utime + used.ru_stime) * 1000


@contextmanager
def _killed_after(limit_s: float, process: subprocess.Popen[bytes]) -> Generator[None]:
    """A process that leads its session, with whatever is in its group: killed at the limit, and
    where the caller does not wait for its end. Not by `Popen.kill`, which may reap it.
    """
    watch = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGKILL))
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)


def _spread(values: Sequence[float]) -> dict[str, float]:
    figures = min(values), statistics.median(values), max(values)
    return dict(zip(("least", "median", "most"), (round(one, 1) for one in figures), strict=True))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    if args.runs < 1:
        parser.error("--runs: at least 1")
    loads = [load_average()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = PeerProcess("ada", folder, (*PEER, "--port", "0"))
        listed = cases(peer.state_dir)
        results = [measured(case, folder, args.runs) for case in listed if case.is_cold]
        loads.append(load_average())
        peer.start()
        try:
            peer.wait()
            results += [measured(case, folder, args.runs) for case in listed if not case.is_cold]
        finally:
            peer.leave()
    report = written(
        args.out,
        "milliseconds of commands, each a process of its own; wall time of `cortex chat`, which"
        " starts with no peer, to the first byte of its answer",
        command=f"python -m bench.cli --runs {args.runs}",
        # Before the cold starts, between them and the short commands, after these.
        load_average=[round(load, 2) for load in (*loads, load_average())],
        results=results,
    )
    print(report)
    sys.exit(0 if all(one["is_kept"] for one in results) else 1)


if __name__ == "__main__":
    main()
