"""What other programs take of this machine's memory, and what engines tell of their GPUs: seen as
long as a peer runs. When the driver is asked for GPUs is `gpu_looks.py`'s.

What goes for it is decided in `placement/leaving.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence

from cortex.engine.machine_memory import available_memory_bytes

from ..config import PeerConfig
from .device import Devices

_LOOK_S = 1.0


def yielders(
    config: PeerConfig,
    devices: Devices,
    reserved_bytes: Callable[[], Sequence[int]],
    on_change: Callable[[], None],
) -> Iterator[Coroutine[None, None, None]]:
    """Each looks until it is cancelled, where others can take anything, or anything is told of a
    GPU. `reserved_bytes` is by device.
    """
    names = config.engine_devices
    if config.engine == "torch":
        yield _look_at_memory(devices, reserved_bytes, on_change)
    if any(name.startswith("cuda") for name in names):
        yield _look_at_engines(devices, on_change)


async def _look_at_memory(
    devices: Devices, reserved_bytes: Callable[[], Sequence[int]], on_change: Callable[[], None]
) -> None:
    """A GPU may have the machine's memory for its own: its engine tells that later."""
    while True:
        await asyncio.sleep(_LOOK_S)
        if not devices.share_memory:
            continue
        try:
            available_bytes = available_memory_bytes()
        except OSError:
            continue  # as where no file can be opened: what was seen last holds
        if devices.look_at_memory(available_bytes, reserved_bytes()):
            on_change()


async def _look_at_engines(devices: Devices, on_change: Callable[[], None]) -> None:
    """What one tells of its GPU that has started later than the peer."""
    while True:
        await asyncio.sleep(_LOOK_S)
        if devices.look_at_engines():
            on_change()
