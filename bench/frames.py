"""What a token costs between processes: `python -m bench.frames [--out FILE]`.

A Step with one StepPart of one token, as an engine sends it for each request that it answers: made,
packed to a frame, and unpacked again. Microseconds of a core, the median of rounds. It asks nothing
that only today's messages have, so that an older checkout can be measured by the same file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from bench.machine import describe_machine
from cortex.engine.frames import pack_message, unpack_message
from cortex.engine.messages import Step, StepPart
from cortex.engine.stream import TextDelta

_ROUNDS, _REPEATS = 9, 20_000
_HEADER_BYTES = 4


def make_step() -> Step:
    return Step((StepPart("0123456789abcdef.0", 1, (17,), (TextDelta("hello"),)),))


def cpu_us(act: Callable[[], object]) -> float:
    rounds: list[float] = []
    for _ in range(_ROUNDS):
        begun_s = time.thread_time()
        for _ in range(_REPEATS):
            act()
        rounds.append((time.thread_time() - begun_s) / _REPEATS * 1e6)
    return round(statistics.median(rounds), 3)


def measure() -> dict[str, float]:
    step = make_step()
    body = bytes(pack_message(step)[_HEADER_BYTES:])
    return {
        "make_us": cpu_us(make_step),
        "pack_us": cpu_us(lambda: pack_message(step)),
        "unpack_us": cpu_us(lambda: unpack_message(body)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = {"what": "us of a core", "machine": describe_machine(), **measure()}
    print(json.dumps(result, indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
