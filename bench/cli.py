"""What the short commands cost: TAB, help, and `cortex status` beside a running peer.

    python -m bench.cli --runs 15 --out bench/results/cli.json

Each run is a whole process. Processor time is the process's own and its children's; wall time is
from its start to its end. A run before those that count has put the files into the system's cache.
Exits 1 where a budget is not kept: the fastest run counts, for others' work only ever adds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .live.process import PeerProcess, environment
from .machine import load_average
from .report import arguments, written

TAB_MS = 150.0
STATUS_MS = 400.0
PEER = ("--engine", "fake", "--no-mdns", "--fleet-host", "127.0.0.1", "--fleet-port", "0")


@dataclass(frozen=True, slots=True)
class Case:
    """`variables` are added to the environment. Of the two budgets one may be None."""

    name: str
    words: Sequence[str] = ()
    typed: str | None = None
    cpu_budget_ms: float | None = None
    wall_budget_ms: float | None = None

    def variables(self) -> Mapping[str, str]:
        if self.typed is None:
            return {}
        last = str(len(self.typed.split(" ")) - 1)
        return {"_CORTEX_COMPLETE": "complete_bash", "COMP_WORDS": self.typed, "COMP_CWORD": last}


def cases(state_dir: Path) -> list[Case]:
    asked = ("--state-dir", str(state_dir))
    return [
        Case("TAB of a command", typed="cortex lo", cpu_budget_ms=TAB_MS),
        Case("TAB of all commands", typed="cortex ", cpu_budget_ms=TAB_MS),
        Case("TAB of an option", typed="cortex chat --im", cpu_budget_ms=TAB_MS),
        Case("TAB of a model", typed="cortex load f", cpu_budget_ms=TAB_MS),
        Case("cortex --help", ("--help",)),
        Case("cortex chat --help", ("chat", "--help")),
        Case("cortex status", ("status", *asked), wall_budget_ms=STATUS_MS),
        Case("cortex status --json", ("status", "--json", *asked), wall_budget_ms=STATUS_MS),
        Case("cortex ps", ("ps", *asked)),
    ]


def measured(case: Case, folder: Path, num_runs: int) -> dict[str, Any]:
    """Raises RuntimeError where the command fails or says nothing."""
    command = [sys.executable, "-m", "cortex.cli", *case.words]
    environ = {**environment(folder), **case.variables()}
    environ["XDG_CACHE_HOME"] = str(folder / "cache")
    runs = [_run(command, environ) for _ in range(num_runs + 1)][1:]
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


def _run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[float, float]:
    """Wall time and processor time in milliseconds."""
    with tempfile.TemporaryFile() as said:
        began_s = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environ)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode()
    if process.returncode or not text:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {text}")
    return wall_s * 1000, (used.ru_utime + used.ru_stime) * 1000


def _spread(values: Sequence[float]) -> dict[str, float]:
    figures = min(values), statistics.median(values), max(values)
    return dict(zip(("least", "median", "most"), (round(one, 1) for one in figures), strict=True))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    began = load_average()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = PeerProcess("ada", folder, (*PEER, "--port", "0"))
        peer.start()
        try:
            peer.wait()
            results = [measured(case, folder, args.runs) for case in _warmed(peer.state_dir)]
        finally:
            peer.leave()
    report = written(
        args.out,
        "milliseconds of short commands, each a process of its own",
        command=f"python -m bench.cli --runs {args.runs}",
        load_average=[round(began, 2), round(load_average(), 2)],
        results=results,
    )
    print(report)
    sys.exit(0 if all(one["is_kept"] for one in results) else 1)


def _warmed(state_dir: Path) -> list[Case]:
    """TAB knows names from the commands before it."""
    found = cases(state_dir)
    return sorted(found, key=lambda case: case.typed is not None)


if __name__ == "__main__":
    main()
