"""The ingress beside others, in front of one and the same backend: `python -m bench.ingress`.

Every round starts each contender afresh and puts the same loads on it: requests one after the
other on 32 connections; 100 requests a second, for what is added to the backend's own time; 128
streams of 50 events a second, their turns spread over the interval; and one picture of 10 MB. Load,
backend and ingress are a process each. LiteLLM is installed below ~/.cache/cortex-bench the first
time.

    python -m bench.ingress --out bench/results/ingress.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..peers.base import CannotRun
from ..peers.process import exit_when_terminated
from ..report import arguments, written
from .contenders import Backend, Contender, Ingress, backend, contenders
from .figures import Figures, Measured
from .load import Job
from .telling import HEAD, bars, rows

_CACHE = Path.home() / ".cache" / "cortex-bench"
# In how many groups the streams are dealt out.
_SPREAD = 8
_LOADS = ("closed", "open", "streams", "picture")
_CONNECTIONS, _STREAMS = 32, 128
_LOAD_LIMIT_S = 120.0


def main() -> None:
    args = _arguments()
    exit_when_terminated()
    chosen = [c for c in contenders(_CACHE) if not args.only or c.name in args.only]
    measured: list[Measured] = []
    failed: dict[str, str] = {}
    with backend(_CACHE / "logs" / "ingress", (_SPREAD,)) as behind:
        for number in range(args.rounds):
            for contender in chosen:
                try:
                    measured += measure(contender, behind, number, args)
                except CannotRun as error:
                    failed[contender.name] = str(error)
                    print(f"{contender.name}: {error}", file=sys.stderr)
    for line in align(HEAD, rows(measured)):
        print(line)
    for bar in bars(measured):
        print(bar)
    written(
        args.out,
        "the ingress beside others, in front of one backend",
        rounds=args.rounds,
        seconds=args.seconds,
        contenders={c.name: c.settings for c in chosen},
        could_not_run=failed,
        table={"head": HEAD, "rows": rows(measured)},
        bars=[
            {"what": bar.what, "value": bar.value, "limit": bar.limit, "met": bar.is_met}
            for bar in bars(measured)
        ],
        measured=msgspec.to_builtins(measured),
    )


def measure(
    contender: Contender, behind: Backend, number: int, args: argparse.Namespace
) -> list[Measured]:
    """All loads that this contender takes, one after the other. Raises CannotRun."""
    taken: list[Measured] = []
    with contender.running(behind) as ingress:
        for load in _LOADS:
            if load not in contender.loads or load not in args.loads:
                continue
            job = _job(contender, load, ingress, behind, args)
            taken.append(Measured(contender.name, load, number, run_load(job)))
            print(f"{number + 1} {contender.name}: {load} {taken[-1].figures}", file=sys.stderr)
    return taken


def _job(
    contender: Contender, load: str, ingress: Ingress, behind: Backend, args: argparse.Namespace
) -> Job:
    return Job(
        "frames" if contender.is_frames else load,
        ingress.port,
        ingress.pid,
        ingress.path,
        connections=_STREAMS if load == "streams" else _CONNECTIONS,
        seconds=args.seconds,
        groups=_SPREAD,
        text_socket=str(behind.text_socket),
        engine_socket=str(behind.engine_socket),
    )


def run_load(job: Job) -> Figures:
    """Raises CannotRun with what the load said."""
    command = [sys.executable, "-m", "bench.ingress.load", msgspec.json.encode(job).decode()]
    done = subprocess.run(command, capture_output=True, timeout=_LOAD_LIMIT_S)
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CannotRun(f"{job.kind}: {words[-1][:400] if words else 'no word'}")
    return msgspec.json.decode(done.stdout, type=Figures)


def align(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    marks = ("---", *("---:" for _ in head[1:]))
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *lines)]


def _arguments() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--only", nargs="+", help="contenders, by name")
    parser.add_argument("--loads", nargs="+", choices=_LOADS, default=_LOADS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
