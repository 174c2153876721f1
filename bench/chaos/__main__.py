"""Peers under misfortune: `python -m bench.chaos [--seconds 300] [--engine fake] [--out FILE]`.

Five peers of one fleet on this machine, clients that ask all of them at once, and peers that are
killed, halted, told to leave and started again all the while. Every request must be answered once,
as an undisturbed peer answers it; a client may ask again only where its own ingress was harmed.
Exit status 1 where that was not so.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from cortex.peer.keys.fleet_key import new_fleet_key

from ..live.peers import Peers, free_ports, peers_in, until
from ..report import arguments, written
from .clients import Clients, Wish
from .harm import Misfortune
from .history import Verdict, judged

NUM_PEERS = 5
NUM_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Trial:
    engine: str
    num_streams: int
    wish: Wish
    options: tuple[str, ...]


TRIALS = {
    "fake": Trial("fake", 200, Wish("fake", 40, 48), ("--fake-token-interval-ms", "100")),
    "torch": Trial("torch", 20, Wish("cortex-nano", 10, 64), ("--gpu", "cpu", "--threads", "1")),
}


def made(peers: Peers, trial: Trial, folder: Path) -> None:
    """Five peers that know the first two; two down at once must leave room for all streams."""
    settings = folder / "cortex.toml"
    settings.write_text(f"[engine]\nmax_requests = {2 * trial.num_streams}\n")
    common = ("--engine", trial.engine, "--model", trial.wish.model, *trial.options)
    common += ("--port", "0", "--no-mdns", "--fleet-host", "127.0.0.1", "--config", str(settings))
    ports = free_ports(NUM_PEERS)
    for number, port in enumerate(ports):
        joins = [word for other in ports[:2] for word in ("--join", f"127.0.0.1:{other}")]
        peers.make(f"p{number}", *common, "--fleet-port", str(port), *joins)


async def undergo(trial: Trial, seconds: float | None, seed: int, folder: Path) -> Verdict:
    rng = random.Random(seed)
    with peers_in(folder, new_fleet_key(secrets.token_bytes)) as peers:
        made(peers, trial, folder)
        await asyncio.to_thread(peers.start)
        await asyncio.to_thread(until, peers.all_see_all, 30.0, "all peers see each other")
        zero_s = time.monotonic()
        fate = Misfortune(peers.all, zero_s, random.Random(rng.random()))
        clients = Clients(trial.wish, fate.up, zero_s, random.Random(rng.random()))
        twins = await clients.twins(peers.all[0])
        async with asyncio.TaskGroup() as group:
            group.create_task(clients.run(trial.num_streams, lambda: fate.is_over))
            group.create_task(fate.befall_all(seconds))
        verdict = judged(clients.attempts, fate.harms, twins, trial.wish.num_kinds)
        write_history(folder / "history.jsonl", clients, fate)
        return verdict


def write_history(path: Path, clients: Clients, fate: Misfortune) -> None:
    rows = [*map(asdict, fate.harms), *map(asdict, clients.attempts)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def show(trial: Trial, seconds: float | None, verdict: Verdict) -> None:
    what = "a rolling restart" if seconds is None else f"{seconds:g} s"
    print(f"{trial.engine}: {NUM_PEERS} peers, {trial.num_streams} streams, {what}")
    for name, count in verdict.counts.items():
        print(f"  {count:7}  {name}")
    if verdict.excused:
        print(f"  the first of those lost: {verdict.excused[0].words[:200]}")
    print(f"  longest gap within an answer whose ingress nobody harmed: {dict(verdict.gaps_s)} s")
    for attempt in (*verdict.errors, *verdict.wrong_answers)[:NUM_SHOWN]:
        when = f"{attempt.begun_s:.1f} to {attempt.ended_s:.1f} s"
        print(f"  {attempt.end} at {attempt.ingress}, {when}: {attempt.words}")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rolling", action="store_true", help="each peer leaves once, in turn")
    parser.add_argument("--engine", choices=TRIALS, action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for logs and histories")
    args = parser.parse_args()
    told: dict[str, object] = {}
    seconds = None if args.rolling else args.seconds
    is_clean = True
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.engine or TRIALS:
            folder = (args.keep or Path(temporary)) / name
            folder.mkdir(parents=True)
            verdict = asyncio.run(undergo(TRIALS[name], seconds, args.seed, folder))
            show(TRIALS[name], seconds, verdict)
            is_clean = is_clean and (verdict.is_unbroken if args.rolling else verdict.is_clean)
            told[name] = {"counts": verdict.counts, "gaps_s": verdict.gaps_s}
    what = "what became of requests while peers were killed, halted and restarted"
    written(args.out, what, seconds=seconds, seed=args.seed, trials=told)
    sys.exit(0 if is_clean else 1)


if __name__ == "__main__":
    main()
