"""What a load does to the answers beside it, and what cancelling one leaves behind.

One engine process has cortex-nano and streams an answer of it without end; then it is told to load
a random checkpoint of more than a gigabyte, with its files in the page cache and without. The gaps
between the answer's tokens are told for the time before the load and for the time it took; beside
them, what the same load takes where nobody is answered.

    python -m bench.beside_load --out bench/results/beside-load.json --work /tmp
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortex.engine.frames import pack_value
from cortex.engine.messages import Cancel, Estimate, Estimated, Generate, Load, Loaded, Step
from cortex.engine.types import Prompt, Sampling
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.models.catalogue import embedded_dir

from .engine_process import Engine, engine_process
from .estimated_shapes import GIGABYTE
from .machine import describe_machine

_ALONE_S = 4.0
_CONTEXT_TOKENS = 4096
_SHARE_BYTES = 4 << 30
# Any will do.
_TOKEN_IDS = tuple(range(100, 132))


async def answer_for(engine: Engine, seconds: float) -> list[float]:
    """When tokens came, for so long."""
    end_s, times_s = time.monotonic() + seconds, list[float]()
    while time.monotonic() < end_s:
        if isinstance(await engine.hear(), Step):
            times_s.append(time.monotonic())
    return times_s


async def load_beside(engine: Engine, load: Load) -> tuple[Loaded, float, list[float]]:
    """The load, how long it took, and when tokens came meanwhile."""
    engine.say(load)
    began_s, times_s = time.monotonic(), list[float]()
    times_s.append(began_s)
    while not isinstance(heard := await engine.hear(), Loaded):
        if isinstance(heard, Step):
            times_s.append(time.monotonic())
    return heard, time.monotonic() - began_s, [*times_s, time.monotonic()]


def gaps_of(times_s: Sequence[float]) -> dict[str, Any]:
    gaps_ms = sorted(1000 * (b - a) for a, b in itertools.pairwise(times_s))
    most = len(gaps_ms) - 1

    def at(share: float) -> float:
        return round(gaps_ms[int(share * most)], 1)

    return {"tokens": len(gaps_ms), "p50_ms": at(0.5), "p99_ms": at(0.99), "worst_ms": at(1.0)}


def forget_pages(folder: Path) -> None:
    """Let the system read the files from the disk again."""
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def run(folder: Path, *, is_cold: bool, is_answering: bool) -> dict[str, Any]:
    nano = embedded_dir(PeerConfig(Locations(folder, folder), engine="torch"))
    load = Load("l", "large", str(folder), _SHARE_BYTES, _CONTEXT_TOKENS, 4)
    async with engine_process() as engine:
        # Once asked, the process holds what every load needs.
        await engine.ask(Estimate("e", str(folder)), Estimated)
        await engine.ask(Load("n", "m", str(nano), 2 << 30, 1 << 15, 4), Loaded)
        told: dict[str, Any] = {"files": "on disk" if is_cold else "in memory"}
        if is_cold:
            forget_pages(folder)
        if not is_answering:
            loaded = await engine.ask(load, Loaded)
            return told | {"load_s": round(loaded.seconds, 2), "computes_in": loaded.computes_in}
        prompt = Prompt(_TOKEN_IDS, (), (), Sampling(seed=0), 1 << 20, (), ())
        engine.say(Generate("r", 1, "m", pack_value(prompt)))
        alone_s = await answer_for(engine, _ALONE_S)
        loaded, took_s, beside_s = await load_beside(engine, load)
        engine.say(Cancel("r", 1))
        return told | {
            "load_s": round(took_s, 2),
            "computes_in": loaded.computes_in,
            "before": gaps_of(alone_s[1:]),
            "beside": gaps_of(beside_s),
        }


async def report(work: Path, num_rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=work) as made:
        folder = Path(made) / "large"
        GIGABYTE.make(folder)
        rows: list[dict[str, Any]] = []
        for _ in range(num_rounds):
            for is_cold, is_answering in itertools.product((False, True), repeat=2):
                rows.append(await run(folder, is_cold=is_cold, is_answering=is_answering))
                print(json.dumps(rows[-1]), flush=True)
        size_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {
        "what": "gaps between tokens of an answer while another model loads in the same process",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "load_average": os.getloadavg(),
        "file_bytes": size_bytes,
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="write the figures here as well")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    told = asyncio.run(report(args.work, args.rounds))
    if args.out is not None:
        args.out.write_text(f"{json.dumps(told, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
