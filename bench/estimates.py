"""What models were estimated to take, and what the engine's process then took.

Each checkpoint is made on the spot, estimated and loaded by an engine process of its own, twice:
the second estimate knows what the first load came to. The process's private bytes after the load,
less those before it, are compared with the estimate of what is there as soon as a model is loaded:
weights and tokenizer. Pages that no request has written to are not there yet. So one request then
fills a whole context, and the bytes are compared with the whole sum, less what it leaves unused,
and with what was remembered of the prompt, which is beside it.

    python -m bench.estimates --out bench/results/estimates.json --work /tmp
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cortex.engine.costs import ModelCosts
from cortex.engine.memory import needed_bytes
from cortex.engine.messages import Estimate, Estimated, Load, Loaded
from cortex.engine.types import Prompt, Sampling
from cortex.peer.placement.books import Size
from cortex.peer.placement.costs_book import CostsBook
from cortex.peer.placement.sizes import parts
from cortex.peer.types import ModelInfo

from .engine_process import engine_process
from .estimated_shapes import LARGE, SMALL, Made
from .report import arguments, written

_CONTEXT_TOKENS = 2048
_ANSWER_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one load, and of one request that filled its context."""

    costs: ModelCosts
    loaded: Loaded
    loaded_bytes: int
    size_bytes: int
    unused_bytes: int
    filled_bytes: int
    remembered_bytes: int


async def measure(folder: Path, work: Path, model: ModelInfo) -> Measured:
    """A load in a fresh process, planned with what a peer's book knows, which learns of it."""
    async with engine_process() as engine:

        async def ask(_: ModelInfo) -> ModelCosts:
            return (await engine.ask(Estimate("e", str(folder)), Estimated)).costs

        # Once asked, the process holds what every load needs: the kernels, and code of torch's.
        await ask(model)
        book = CostsBook(work / "costs.json", work / "learned.json", "bench", "cpu", ask)
        book.read()
        costs = await book.find(model)
        given = replace(costs, context_tokens=_CONTEXT_TOKENS)
        size = Size(_CONTEXT_TOKENS, 1, needed_bytes(given, _CONTEXT_TOKENS, 1))
        unused = [part for part in parts(costs, size) if part.name == "unused"]
        before_bytes = engine.private_bytes
        learned = (costs.learned_bytes, costs.num_learned)
        load = Load("l", "m", str(folder), size.num_bytes, _CONTEXT_TOKENS, 1, learned)
        loaded = await engine.ask(load, Loaded)
        loaded_bytes = engine.private_bytes - before_bytes
        book.learn(model, loaded)
        await book.save()
        token_ids = tuple(256 + n % 100 for n in range(_CONTEXT_TOKENS - _ANSWER_TOKENS))
        sampling = Sampling(seed=0, temperature=1.0)
        await engine.answer(Prompt(token_ids, (), (), sampling, _ANSWER_TOKENS, (), ()))
        remembered_bytes = await engine.remembered_bytes()
        filled_bytes = engine.private_bytes - before_bytes
    return Measured(
        costs, loaded, loaded_bytes, size.num_bytes, sum(part.num_bytes for part in unused),
        filled_bytes, remembered_bytes,
    )  # fmt: skip


async def row_of(made: Made, work: Path) -> dict[str, Any]:
    """Make a checkpoint, load it twice, and say how far the estimates were off."""
    folder = work / made.name.replace(", ", "-")
    made.make(folder)
    model = ModelInfo(made.name, folder, (), _CONTEXT_TOKENS, 0, made.name.encode()[:8])
    loads = [await measure(folder, work, model) for _ in range(2)]
    size_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {
        "checkpoint": made.name,
        "stored": f"{made.dtype}, {made.num_shards} file{'s' * (made.num_shards > 1)}",
        "file_bytes": size_bytes,
        "computes_in": loads[0].loaded.computes_in,
        **{which: _told(each) for which, each in zip(("first", "second"), loads, strict=True)},
    }


def _told(measured: Measured) -> dict[str, Any]:
    estimated = measured.costs.loaded_bytes
    whole = measured.size_bytes - measured.unused_bytes + measured.remembered_bytes
    return {
        "estimated_bytes": estimated,
        "measured_bytes": measured.loaded_bytes,
        "error_percent": _percent(estimated, measured.loaded_bytes),
        "whole_estimated_bytes": whole,
        "whole_measured_bytes": measured.filled_bytes,
        "whole_error_percent": _percent(whole, measured.filled_bytes),
        "said_by_engine_bytes": measured.loaded.measured_bytes,
        "load_s": round(measured.loaded.seconds, 1),
    }


def _percent(estimated: int, measured: int) -> float:
    """By how much of what was measured the estimate was off; more than that is positive."""
    return round(100 * (estimated - measured) / measured, 2)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For people, in Markdown."""
    lines = [
        "| checkpoint | stored | computed in | estimated | measured | first load | second load |"
        " with a full context |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        first, second = row["first"], row["second"]
        lines.append(
            f"| {row['checkpoint']} | {row['stored']} | {row['computes_in'].split(', ')[1]}"
            f" | {first['estimated_bytes'] / 1e6:,.0f} MB | {first['measured_bytes'] / 1e6:,.0f} MB"
            f" | {first['error_percent']:+.2f} % | {second['error_percent']:+.2f} %"
            f" | {second['whole_error_percent']:+.1f} % |"
        )
    return "\n".join(lines)


async def rows_of(all_made: Sequence[Made], work: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for made in all_made:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            rows.append(await row_of(made, Path(folder)))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--small", action="store_true", help="the twins that are soon done")
    parser.add_argument("--only", help="checkpoints with this in their name")
    args = parser.parse_args()
    chosen = [made for made in (SMALL if args.small else LARGE) if (args.only or "") in made.name]
    rows = asyncio.run(rows_of(chosen, args.work))
    print(table(rows))
    written(
        args.out,
        "estimates of what models take, against the private bytes of the engine's process",
        context_tokens=_CONTEXT_TOKENS,
        rows=rows,
    )


if __name__ == "__main__":
    main()
