"""What an engine process keeps of models that have come and gone, and what a new one takes.

cortex-nano stays and answers; random checkpoints of three sizes are loaded beside it and unloaded,
in turn, and every second one is given up while it loads. The process's memory is told when it is
new, after every few cycles with nothing but cortex-nano in it, and for the process that then takes
its place, as a peer does after `defrag_after_cycles`. On a CPU: a GPU's memory is another matter.

    python -m bench.wear --cycles 50 --out bench/results/wear.json --work /tmp
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortex.engine.messages import (
    CancelLoad,
    Load,
    Loaded,
    Progress,
    Unload,
    Unloaded,
)
from cortex.engine.types import Prompt, Sampling
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.models.catalogue import embedded_dir

from .engine_process import Engine, engine_process
from .estimated_shapes import LARGE, SMALL
from .machine import describe_machine

_CONTEXT_TOKENS = 2048
_SHARE_BYTES = 3 << 30
_NANO_BYTES = 1 << 29
_TOLD_EVERY = 4
_ANSWER_TOKENS = 16
# A small one, and two of half a gigabyte.
_MADE = (SMALL[0], LARGE[5], LARGE[7])


async def begin(engine: Engine, nano: Path) -> None:
    await engine.ask(Load("n", "m", str(nano), _NANO_BYTES, _CONTEXT_TOKENS, 4), Loaded)


async def answer(engine: Engine, number: int) -> None:
    """Another prompt each time: some of it is remembered."""
    token_ids = tuple(100 + (number * 7 + n) % 150 for n in range(300))
    await engine.answer(Prompt(token_ids, (), (), Sampling(seed=0), _ANSWER_TOKENS, (), ()))


async def cycle(engine: Engine, folder: Path, number: int) -> None:
    job_id = f"job-{number}"
    load = Load(job_id, "guest", str(folder), _SHARE_BYTES, _CONTEXT_TOKENS, 2)
    if number % 2:
        await engine.ask(load, Progress)
        await engine.cancel_load(CancelLoad(job_id))
    else:
        await engine.ask(load, Loaded)
    await answer(engine, number)
    await engine.ask(Unload(f"{job_id}-end", "guest"), Unloaded)


def told(engine: Engine, when: str, num_cycles: int) -> dict[str, Any]:
    row = {
        "when": when,
        "cycles": num_cycles,
        "private_bytes": engine.private_bytes,
        "resident_bytes": engine.resident_bytes,
    }
    print(json.dumps(row), flush=True)
    return row


async def measure(folders: list[Path], nano: Path, num_cycles: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with engine_process(threads=1) as engine:
        await begin(engine, nano)
        await answer(engine, 0)
        rows.append(told(engine, "new", 0))
        for number, folder in enumerate(itertools.islice(itertools.cycle(folders), num_cycles), 1):
            await cycle(engine, folder, number)
            if number % _TOLD_EVERY == 0 or number == 1:
                rows.append(told(engine, "worn", number))
    async with engine_process(threads=1) as engine:
        await begin(engine, nano)
        await answer(engine, 0)
        rows.append(told(engine, "started anew", 0))
    return rows


async def report(work: Path, num_cycles: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=work) as made:
        folders = [Path(made) / str(number) for number in range(len(_MADE))]
        for each, folder in zip(_MADE, folders, strict=True):
            each.make(folder)
        nano = embedded_dir(PeerConfig(Locations(work, work), engine="torch"))
        rows = await measure(folders, nano, num_cycles)
    return {
        "what": "memory of an engine's process after models came and went, and of a new one",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "load_average": os.getloadavg(),
        "checkpoints": [each.name for each in _MADE],
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="write the figures here as well")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--cycles", type=int, default=50)
    args = parser.parse_args()
    figures = asyncio.run(report(args.work, args.cycles))
    if args.out is not None:
        args.out.write_text(f"{json.dumps(figures, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
