"""What the dashboard costs: the first paint, a key, a second of watching, at 16 and at 200 peers.

    python -m bench.tui --seconds 20 --out bench/results/tui.json

A made peer tells of a fleet in which every peer changes every second. The dashboard is a process of
its own on a pseudo-terminal of 120 by 40, whose bytes are counted. Exits 1 where a budget is not
kept: others' work on the machine only ever adds.
"""

from __future__ import annotations

import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .live.process import environment
from .machine import load_average
from .report import arguments, written
from .told_fleet import ToldFleet

FIRST_PAINT_MS = 1000.0
KEY_MS = 50.0
CPU_SHARE = 0.05
BYTES_PER_S = 30 * 1024
NUM_WATCHED = 16
NUM_MANY = 200
NUM_KEYS = 20
_QUIET_S = 0.3


@dataclass
class Terminal:
    """The other end of the dashboard's terminal."""

    process: subprocess.Popen[bytes]
    end: int
    num_bytes: int = 0

    def read(self, timeout_s: float) -> bytes:
        """What comes first, or nothing within that time."""
        ready, _, _ = select.select([self.end], [], [], timeout_s)
        found = os.read(self.end, 65536) if ready else b""
        self.num_bytes += len(found)
        return found

    def until(self, words: bytes, timeout_s: float = 60.0) -> None:
        seen, end_s = b"", time.perf_counter() + timeout_s
        while words not in seen:
            if time.perf_counter() > end_s:
                raise RuntimeError(f"the dashboard shows no {words!r}: {seen[-400:]!r}")
            seen = seen[-4096:] + self.read(1.0)

    def watch(self, seconds: float) -> tuple[float, float]:
        """Processor seconds and bytes of a second."""
        cpu_s, num_bytes, began_s = self.cpu_s(), self.num_bytes, time.perf_counter()
        while (left_s := began_s + seconds - time.perf_counter()) > 0:
            self.read(left_s)
        took_s = time.perf_counter() - began_s
        return (self.cpu_s() - cpu_s) / took_s, (self.num_bytes - num_bytes) / took_s

    def press(self, key: bytes) -> float:
        """Milliseconds to the first bytes of an answer, asked for between two beats."""
        while self.read(_QUIET_S):
            pass
        began_s = time.perf_counter()
        os.write(self.end, key)
        if not self.read(5.0):
            raise RuntimeError(f"nothing is painted for {key!r}")
        return (time.perf_counter() - began_s) * 1000

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def dashboard(address: str, folder: Path) -> Generator[Terminal]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    command = [sys.executable, "-m", "cortex.cli", "tui", "--peer", address]
    environ = {**environment(folder), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def first_paint_ms(address: str, folder: Path) -> tuple[float, float]:
    """From the start of the process to the first peer's name, by the clock and of the processor."""
    began_s = time.perf_counter()
    with dashboard(address, folder) as terminal:
        terminal.until(b"peer-000")
        return (time.perf_counter() - began_s) * 1000, terminal.cpu_s() * 1000


def watched(num_peers: int, num_paints: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, ToldFleet(num_peers) as told:
        folder = Path(name)
        paints = [first_paint_ms(told.address, folder) for _ in range(num_paints + 1)][1:]
        with dashboard(told.address, folder) as terminal:
            terminal.until(b"peer-000")
            terminal.watch(3.0)
            cpu_share, bytes_per_s = terminal.watch(seconds)
            keys = [terminal.press(b"j" if n % 2 == 0 else b"k") for n in range(NUM_KEYS)]
    return {
        "num_peers": num_peers,
        "first_paint_ms": _spread([wall_ms for wall_ms, _ in paints]),
        "first_paint_cpu_ms": _spread([cpu_ms for _, cpu_ms in paints]),
        "key_to_paint_ms": _spread(keys),
        "cpu_share": round(cpu_share, 4),
        "bytes_per_s": round(bytes_per_s),
    }


def kept(few: dict[str, Any], many: dict[str, Any]) -> dict[str, bool]:
    """Many peers are to be usable: a key is painted as soon, and most of a core stays free."""
    return {
        "first_paint": few["first_paint_ms"]["least"] <= FIRST_PAINT_MS,
        "key_to_paint": few["key_to_paint_ms"]["median"] <= KEY_MS,
        "cpu": few["cpu_share"] <= CPU_SHARE,
        "bytes": few["bytes_per_s"] <= BYTES_PER_S,
        "many": many["key_to_paint_ms"]["median"] <= KEY_MS and many["cpu_share"] <= 0.5,
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    figures = min(values), statistics.median(values), max(values)
    return dict(zip(("least", "median", "most"), (round(one, 1) for one in figures), strict=True))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--paints", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    began = load_average()
    few, many = (watched(number, args.paints, args.seconds) for number in (NUM_WATCHED, NUM_MANY))
    is_kept = kept(few, many)
    report = written(
        args.out,
        "the dashboard on a terminal of 120 by 40, every peer changing every second",
        command=f"python -m bench.tui --paints {args.paints} --seconds {args.seconds:g}",
        load_average=[round(began, 2), round(load_average(), 2)],
        results=[few, many],
        is_kept=is_kept,
    )
    print(report)
    sys.exit(0 if all(is_kept.values()) else 1)


if __name__ == "__main__":
    main()
