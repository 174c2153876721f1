"""How busy, how warm and how hungry the GPUs are, as the driver's tool says.

It is asked when somebody wants to know, and no oftener than once a second; where it is not there,
or does not know, nothing is said.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..config import Card
from .device_memory import is_gpu
from .gpus import FORMAT, ask, cells

_MIB = 1 << 20
_QUERY = "--query-gpu=index,memory.total,utilization.gpu,temperature.gpu,power.draw"
_NUM_CELLS = 5
# Whoever wants to know waits no longer; a tool that was too slow for that is left alone for long.
_ANSWER_S = 1.5
_REST_S, _ILL_REST_S = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Sensed:
    """`utilisation` is a share of the time, from 0 to 1."""

    memory_bytes: int | None = None
    utilisation: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None


_NOTHING = Sensed()


def of_device(name: str, sensed: Mapping[int, Sensed]) -> Sensed:
    """What is sensed of a device by the peer's name for it: nothing, of one that is no GPU."""
    return sensed.get(int(name.rpartition(":")[2]), _NOTHING) if is_gpu(name) else _NOTHING


def of_our_cards(sensed: Mapping[int, Sensed], cards: Iterable[Card]) -> Mapping[int, Sensed]:
    """Without the memory of cards of which a slice is ours: it is that of the whole card."""
    slices = {card.number for card in cards if card.is_slice}
    return {
        number: replace(one, memory_bytes=None) if number in slices else one
        for number, one in sensed.items()
    }


class GpuSensors:
    """`names` are those of the peer's devices: without a GPU among them nobody is asked."""

    def __init__(
        self,
        names: Sequence[str],
        clock: Callable[[], float],
        ask: Callable[[], Awaitable[Mapping[int, Sensed] | None]] | None = None,
    ) -> None:
        self._has_gpus = any(map(is_gpu, names))
        self._clock = clock
        self._ask = ask or ask_sensors
        self._rests_until_s = float("-inf")
        self._sensed: Mapping[int, Sensed] = {}
        self._lock = asyncio.Lock()

    async def sense(self) -> Mapping[int, Sensed]:
        """By the number of the GPU, in PCI bus order. All who ask meanwhile share one answer."""
        if not self._has_gpus:
            return {}
        async with self._lock:
            if self._clock() >= self._rests_until_s:
                sensed = await self._ask()
                self._sensed = sensed or {}
                rest_s = _ILL_REST_S if sensed is None else _REST_S
                self._rests_until_s = self._clock() + rest_s
            return self._sensed


async def ask_sensors() -> Mapping[int, Sensed] | None:
    """None where the tool is not there, or does not answer."""
    lines = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ANSWER_S):
            lines = await ask(_QUERY, FORMAT)
    return None if lines is None else read_sensors(lines)


def read_sensors(lines: Iterable[str]) -> Mapping[int, Sensed]:
    rows = (cells(line) for line in lines)
    return {
        int(row[0]): _sensed(row) for row in rows if len(row) == _NUM_CELLS and row[0].isdecimal()
    }


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
