"""How busy, how warm and how hungry the GPUs are, as the driver's tool says.

It is asked only while somebody wants to know, and no oftener than once a second; where it is not
there, or does not know, nothing is said.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_MIB = 1 << 20
_QUERY = (
    "nvidia-smi",
    "--query-gpu=index,memory.total,utilization.gpu,temperature.gpu,power.draw",
    "--format=csv,noheader,nounits",
)
_QUERY_S = 2.0
_REST_S = 1.0
_NUM_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Sensed:
    """`utilisation` is a share of the time, from 0 to 1."""

    memory_bytes: int | None = None
    utilisation: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None


class GpuSensors:
    """`names` are those of the peer's devices: without a GPU among them nobody is asked. `read`
    asks, and takes its time.
    """

    def __init__(
        self,
        names: Sequence[str],
        clock: Callable[[], float],
        read: Callable[[], Mapping[str, Sensed]] | None = None,
    ) -> None:
        self._has_gpus = any(name.startswith("cuda") for name in names)
        self._clock = clock
        self._read = read or read_sensors
        self._read_s: float | None = None
        self._sensed: Mapping[str, Sensed] = {}
        self._lock = asyncio.Lock()

    async def sense(self) -> Mapping[str, Sensed]:
        """By the number of the GPU, in PCI bus order. All who ask meanwhile share one answer."""
        if not self._has_gpus:
            return {}
        async with self._lock:
            if self._read_s is None or self._clock() - self._read_s >= _REST_S:
                self._sensed = await asyncio.to_thread(self._read)
                self._read_s = self._clock()
            return self._sensed


def read_sensors() -> Mapping[str, Sensed]:
    """Waits for the tool: not for the event loop."""
    try:
        said = subprocess.run(
            _QUERY, capture_output=True, text=True, timeout=_QUERY_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return {}
    rows = ([each.strip() for each in line.split(",")] for line in said.splitlines())
    return {row[0]: _sensed(row) for row in rows if len(row) == _NUM_FIELDS}


def _sensed(row: Sequence[str]) -> Sensed:
    memory_mib, percent, temperature_c, power_w = map(_number, row[1:])
    return Sensed(
        None if memory_mib is None else int(memory_mib * _MIB),
        None if percent is None else min(percent / 100, 1.0),
        temperature_c,
        power_w,
    )


def _number(word: str) -> float | None:
    """What a GPU does not tell is called [N/A] there, or the like."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
