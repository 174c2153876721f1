"""Three models where two have room: `python -m bench.swaps [--seconds 120] [--engine fake]`.

Some clients want one model each, others all three in turn, so that one is always missing; the
answers of one last for half a minute. Every
request must be answered once, as a peer answers it that has room for all; and models may not be
loaded oftener than the rules allow. Exit status 1 where that was not so.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ..chaos.clients import Clients
from ..chaos.history import Attempt, Verdict, judged
from ..live.process import PeerProcess
from ..report import arguments, written
from .figures import Moves, most_loads, read_moves
from .models import MODELS, NUM_PLACES, TRIALS, Trial, make_models, wishes_of

MIN_RESIDENCY_S = 10.0
NUM_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """One verdict for each kind of clients, the attempts of all, and how long the longest answer
    was on its way.
    """

    verdicts: Sequence[Verdict]
    attempts: Sequence[Attempt]
    longest_s: float
    moves: Moves
    seconds: float
    min_residency_s: float

    @property
    def most_loads(self) -> float:
        """Without end where a model may go at once."""
        if not self.min_residency_s:
            return math.inf
        return most_loads(self.seconds, len(MODELS), NUM_PLACES, self.min_residency_s)

    @property
    def is_clean(self) -> bool:
        is_bounded = self.moves.loads.total() <= self.most_loads
        return (
            all(one.is_clean for one in self.verdicts) and not self.moves.num_failed and is_bounded
        )

    def told(self) -> Mapping[str, Any]:
        num_loads, num_requests = self.moves.loads.total(), len(self.attempts)
        waits_s = sorted(a.first_s for a in self.attempts if a.first_s is not None)
        return {
            "min_residency_s": self.min_residency_s,
            "seconds": round(self.seconds, 1),
            "requests": num_requests,
            "answered": sum(one.counts["answered"] for one in self.verdicts),
            "answered twice": sum(one.counts["answered twice"] for one in self.verdicts),
            "errors": sum(len(one.errors) for one in self.verdicts),
            "wrong answers": sum(len(one.wrong_answers) for one in self.verdicts),
            "loads": dict(self.moves.loads),
            "failed loads": self.moves.num_failed,
            "evictions": dict(self.moves.evictions),
            "mean load_s": round(self.moves.load_s / max(num_loads, 1), 2),
            "loads a minute": round(num_loads * 60 / self.seconds, 1),
            "loads a minute at most": _rounded(self.most_loads * 60 / self.seconds),
            "requests a load": round(num_requests / max(num_loads, 1), 1),
            "first token, median_s": round(statistics.median(waits_s), 2),
            "first token, worst_s": round(waits_s[-1], 2),
            "longest answer_s": round(self.longest_s, 1),
        }


def _rounded(number: float) -> float | None:
    return round(number, 1) if math.isfinite(number) else None


def peer_of(
    trial: Trial, name: str, memory: str, min_residency_s: float, root: Path
) -> PeerProcess:
    settings = root / "cortex.toml"
    settings.write_text(f'[eviction]\nmin_residency = "{min_residency_s:g}s"\n')
    options = ("--engine", trial.engine, *trial.options, "--memory", memory, "--no-mdns")
    places = ("--port", "0", "--fleet-host", "127.0.0.1", "--fleet-port", "0")
    models = ("--models", str(root / "models"), "--config", str(settings))
    return PeerProcess(name, root / name, (*options, *places, *models))


@asynccontextmanager
async def running(peer: PeerProcess) -> AsyncGenerator[PeerProcess]:
    """Its words are shown where it fails."""
    try:
        peer.start()
        await asyncio.to_thread(peer.wait)
        yield peer
    except Exception as error:
        error.add_note(peer.tail())
        raise
    finally:
        await asyncio.to_thread(peer.kill)


async def undergo(trial: Trial, seconds: float, min_residency_s: float, root: Path) -> Outcome:
    make_models(trial, root / "models")
    ample = peer_of(trial, "twin", trial.ample_memory, min_residency_s, root)
    tight = peer_of(trial, "swapper", trial.memory, min_residency_s, root)

    wishes = wishes_of(trial)

    def clients_of(peer: PeerProcess) -> list[Clients]:
        zero_s = time.monotonic()
        return [Clients(wish, lambda: [peer], zero_s, random.Random(1)) for wish in wishes]

    async with running(ample):
        twins = [await clients.twins(ample) for clients in clients_of(ample)]
    async with running(tight):
        clients, zero_s = clients_of(tight), time.monotonic()
        async with asyncio.TaskGroup() as group:
            for each, wish in zip(clients, wishes, strict=True):
                group.create_task(
                    each.run(wish.num_streams, lambda: time.monotonic() >= zero_s + seconds)
                )
        took_s = time.monotonic() - zero_s
        moves = read_moves(await asyncio.to_thread(tight.text, "/metrics"))
    verdicts = [
        judged(each.attempts, [], answers, each.wish.num_kinds)
        for each, answers in zip(clients, twins, strict=True)
    ]
    attempts = [attempt for each in clients for attempt in each.attempts]
    longest_s = max(one.ended_s - one.begun_s - one.first_s for one in attempts if one.first_s)
    return Outcome(verdicts, attempts, longest_s, moves, took_s, min_residency_s)


def show(name: str, outcome: Outcome) -> None:
    print(f"{name}: {len(MODELS)} models where {NUM_PLACES} have room")
    for what, told in outcome.told().items():
        print(f"  {what}: {told}")
    wrong = [one for each in outcome.verdicts for one in (*each.errors, *each.wrong_answers)]
    for attempt in wrong[:NUM_SHOWN]:
        print(f"  {attempt.end}, {attempt.begun_s:.1f} to {attempt.ended_s:.1f} s: {attempt.words}")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--engine", choices=TRIALS, action="append")
    parser.add_argument("--min-residency", type=float, action="append", help="in seconds")
    args = parser.parse_args()
    told: dict[str, list[object]] = {}
    is_clean = True
    for name, min_residency_s in product(
        args.engine or TRIALS, args.min_residency or [MIN_RESIDENCY_S]
    ):
        with tempfile.TemporaryDirectory() as folder:
            trial = undergo(TRIALS[name], args.seconds, min_residency_s, Path(folder))
            outcome = asyncio.run(trial)
        show(name, outcome)
        is_clean = is_clean and outcome.is_clean
        told.setdefault(name, []).append(outcome.told())
    written(args.out, "three models that take turns where two have room", trials=told)
    sys.exit(0 if is_clean else 1)


if __name__ == "__main__":
    main()
