"""When the driver's tool is asked for a peer's GPUs: each question is a process of its own, and
wakes a GPU that sleeps. Often while somebody needs the numbers, seldom else, not again while all
GPUs sleep, and at once before anything is decided by numbers that are old.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager

from ..lasting_clock import lasting_s
from .device import Devices
from .gpu_sleep import are_asleep
from .gpus import Gpu, ask_for_gpus, ask_for_holders

logger = logging.getLogger(__name__)

# While models have GPUs, or somebody looks on.
_GPU_LOOK_S = 2.0
# While they are nobody's.
_SELDOM_LOOK_S = 30.0
# A tool that hangs is not asked as often as one that answers.
_ILL_LOOK_S = 30.0
# Nothing is decided by what was seen longer ago.
_FRESH_S = 5.0
# Who only shows the numbers waits no longer for newer ones.
_SHOWN_S = 1.0


def is_due(age_s: float, *, is_well: bool, is_in_use: bool) -> bool:
    """Whether to ask again after so long, while the tool is well, and the GPUs are used."""
    if not is_well:
        return age_s >= _ILL_LOOK_S
    return is_in_use or age_s >= _SELDOM_LOOK_S


class GpuLooks:
    """`run` it for as long as the peer runs. `reserved_bytes` is by device; `on_change` is called
    when anything is new, and when what was too old to decide by is old no longer.
    """

    def __init__(
        self,
        devices: Devices,
        reserved_bytes: Callable[[], Sequence[int]],
        is_in_use: Callable[[], bool],
        on_change: Callable[[], None],
        clock: Callable[[], float] = lasting_s,
        are_asleep: Callable[[], bool] = are_asleep,
    ) -> None:
        self._devices = devices
        self._reserved_bytes = reserved_bytes
        self._is_in_use = is_in_use
        self._on_change = on_change
        self._clock = clock
        self._are_asleep = are_asleep
        # Whether they were when they were asked last: then that was seen since somebody used them.
        self._were_asleep = False
        self._seen_s = clock()
        self._is_well = True
        self._num_onlookers = 0
        self._wanted, self._seen = asyncio.Event(), asyncio.Event()
        # What processes have, and what else was true when that was asked.
        self._held: Mapping[int, int] = {}
        self._held_beside: Hashable = None

    def must_look(self) -> bool:
        """Whether what was seen last is too old to decide by: then it looks at once. What nobody
        tells holds, however old it is.
        """
        if not self._is_well or self._clock() - self._seen_s <= _FRESH_S:
            return False
        self._seen.clear()
        self._wanted.set()
        return True

    async def freshen(self) -> None:
        """Look, where what was seen last is old; return soon in any case."""
        if self.must_look():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHOWN_S):
                    await self._seen.wait()

    @contextmanager
    def watched(self) -> Generator[None]:
        """Somebody looks on."""
        self._num_onlookers += 1
        try:
            yield
        finally:
            self._num_onlookers -= 1

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GPU_LOOK_S):
                    await self._wanted.wait()
            is_in_use = self._num_onlookers > 0 or self._is_in_use()
            age_s = self._clock() - self._seen_s
            is_due_now = is_due(age_s, is_well=self._is_well, is_in_use=is_in_use)
            if self._wanted.is_set() or (is_due_now and not self._sleep_on(is_in_use)):
                self._were_asleep = self._are_asleep()
                is_news = await self._look()
                self._seen_s = self._clock()
                is_wanted = self._wanted.is_set()  # or has come to be, meanwhile
                self._wanted.clear()
                self._seen.set()
                if is_news or is_wanted:
                    self._on_change()

    def _sleep_on(self, is_in_use: bool) -> bool:
        """Whether nobody needs the GPUs, and nobody can have since they were asked."""
        return self._is_well and not is_in_use and self._were_asleep and self._are_asleep()

    async def _look(self) -> bool:
        """What was seen last of the memory holds while the driver's tool does not answer."""
        gpus = await ask_for_gpus()
        if self._is_well != (gpus is not None):
            self._is_well = not self._is_well
            how = "answer again" if self._is_well else "unknown: nvidia-smi is ill"
            logger.warning("gpus %s", how)
        # In this order: what our engines take between the two questions is ours.
        held = await self._holders(gpus) if gpus else dict[int, int]()
        return self._devices.look_at_gpus(gpus or (), held, self._reserved_bytes())

    async def _holders(self, gpus: Sequence[Gpu]) -> Mapping[int, int]:
        """Not asked while as much is free as when they were, and the engines are the same: then
        nobody has taken anything.
        """
        pids = tuple(engine.slot.pid for engine in self._devices.engines)
        beside = pids, tuple((gpu.index, gpu.free_bytes) for gpu in gpus)
        if beside != self._held_beside:
            held = await ask_for_holders() if any(pids) else dict[int, int]()
            self._held, self._held_beside = held or {}, None if held is None else beside
        return self._held
