"""What other programs take of this machine's memory, and what its GPUs tell of themselves: seen as
long as a peer runs.

What goes for it is decided in `placement/leaving.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence

from cortex.engine.machine_memory import available_memory_bytes

from ..config import PeerConfig
from .device import Devices
from .device_memory import shown_gpu
from .gpus import Gpu, ask_for_gpus, ask_for_holders

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
# The driver's tool is a process of its own each time.
_GPU_LOOK_S = 2.0
# A tool that hangs is not asked as often as one that answers.
_ILL_LOOK_S = 30.0


def yielders(
    config: PeerConfig,
    gpus: Sequence[Gpu],
    devices: Devices,
    reserved_bytes: Callable[[], Sequence[int]],
    on_change: Callable[[], None],
) -> Iterator[Coroutine[None, None, None]]:
    """Each looks until it is cancelled, where others can take anything, or anything is told of a
    GPU. `gpus` are those that are shown at the start, `reserved_bytes` is by device.
    """
    names = config.engine_devices
    if config.engine == "torch":
        yield _look_at_memory(devices, reserved_bytes, on_change)
    if any(name.startswith("cuda") or shown_gpu(config, name, gpus) for name in names):
        yield _look_at_gpus(devices, reserved_bytes, on_change)
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


async def _look_at_gpus(
    devices: Devices, reserved_bytes: Callable[[], Sequence[int]], on_change: Callable[[], None]
) -> None:
    """What was seen last of the memory holds while the driver's tool does not answer."""
    is_well = True
    while True:
        await asyncio.sleep(_GPU_LOOK_S if is_well else _ILL_LOOK_S)
        gpus = await ask_for_gpus()
        if is_well != (gpus is not None):
            is_well = not is_well
            logger.warning("gpus %s", "answer again" if is_well else "unknown: nvidia-smi is ill")
        # In this order: what our engines take between the two questions is ours.
        held = await ask_for_holders() if gpus else dict[int, int]()
        if devices.look_at_gpus(gpus or (), held, reserved_bytes()):
            on_change()


async def _look_at_engines(devices: Devices, on_change: Callable[[], None]) -> None:
    """What one tells of its GPU that has started later than the peer."""
    while True:
        await asyncio.sleep(_LOOK_S)
        if devices.look_at_engines():
            on_change()
