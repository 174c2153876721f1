"""The membership protocol in virtual time: `python -m bench.fleet [--large] [--out FOLDER]`.

Simulates fleets of 3, 10, 50 and 100 peers, and of 1,000 with `--large`, and writes a file for each
size: every figure with its seeds, its share of lost packets and its bar. Nothing of it depends on
the machine, but for the last file: what a forged datagram costs here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..report import arguments, written
from .figures import Figure, met
from .forging import cost_us
from .large import measured_apart
from .plan import LARGE, SIZES, measures_of

_HERE = Path(__file__).resolve().parent


def measured(size: int) -> list[Figure]:
    if size == LARGE:
        plan = [(measure, loss) for measure, loss, _ in measures_of(size)]
        return measured_apart(size, 1, plan)
    figures: list[Figure] = []
    for measure, loss, seeds in measures_of(size):
        figures += measure(size, loss, seeds, met)
    return figures


def told(figure: Figure) -> str:
    verdict = "" if figure.is_met else "   MISSED"
    return (
        f"{figure.size:5}  {figure.loss:4.0%}  {figure.name:40}"
        f"{figure.value:10.2f}  <= {figure.bar:g} {figure.unit}{verdict}"
    )


def main() -> None:
    parser = arguments(__doc__, "write the figures into this folder")
    parser.set_defaults(out=_HERE)
    parser.add_argument("--large", action="store_true", help="1,000 peers too: many minutes")
    args = parser.parse_args()
    for size in (*SIZES, *((LARGE,) if args.large else ())):
        begun_s = time.monotonic()
        figures = measured(size)
        print(*map(told, figures), sep="\n", flush=True)
        print(f"       ({time.monotonic() - begun_s:.0f} s)", flush=True)
        rows = [{**asdict(figure), "is_met": figure.is_met} for figure in figures]
        write_simulated(args.out / f"sim-{size}.json", rows)
    cost = cost_us()
    print(cost)
    what = "microseconds that a forged datagram costs"
    written(args.out / "forged.json", what, forged_datagram_us=cost, bar_us=5.0)


def write_simulated(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Without a date or a machine: the same figures on every one, to be compared byte by byte."""
    body = {"command": "python -m bench.fleet", "figures": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
