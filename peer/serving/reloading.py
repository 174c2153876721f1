"""A running peer follows its files of settings: what has changed is taken up, or said why not.

What files are, and what stands in them, is known to the one who reads them. A file that cannot be
taken changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ..config import RELOAD_LOG, PeerConfig
from ..fleet.notices import Notes

logger = logging.getLogger(RELOAD_LOG)

_LOOK_EVERY_S = 2.0
# A person is reminded for as long as it is so.
_TELL_EVERY_S = 600.0
_TOPIC = "settings"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files say now. `config` is None where `problem` says what is wrong with them;
    `needs_restart` are settings that have changed and that a running peer cannot take up.
    """

    config: PeerConfig | None
    problem: str = ""
    needs_restart: tuple[str, ...] = ()


class SettingsFiles(Protocol):
    """Called in threads, never twice at a time."""

    def look(self, *, is_forced: bool) -> Reading | None:
        """What they say, where they have changed since the last look, or it is forced."""
        ...


class Follower:
    """`take` makes a config the one that holds. `hung_up` is set to have it look at once, whatever
    the files' times say: what SIGHUP asks of a server.
    """

    def __init__(
        self,
        files: SettingsFiles,
        take: Callable[[PeerConfig], Awaitable[None]],
        notes: Notes,
        hung_up: asyncio.Event,
        every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._files = files
        self._take = take
        self._notes = notes
        self._every_s = every_s
        self._hung_up = hung_up
        self._problem = ""
        self._told_at_s = 0.0
        self._waiting: tuple[str, ...] = ()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._hung_up.wait()
            is_forced = self._hung_up.is_set()
            self._hung_up.clear()
            await self.look(is_forced=is_forced)

    async def look(self, *, is_forced: bool) -> None:
        reading = await asyncio.to_thread(self._files.look, is_forced=is_forced)
        if reading is None:
            self._remind()
        elif reading.config is None:
            logger.warning("settings not taken, the old ones hold: %s", reading.problem)
            self._tell(reading.problem)
        else:
            await self._take(reading.config)
            logger.info("settings taken up")
            self._settle(reading)

    def _settle(self, reading: Reading) -> None:
        """Said once of each: it is so until the restart."""
        for name in reading.needs_restart:
            if name not in self._waiting:
                logger.warning("needs a restart: %s", name)
        self._waiting = reading.needs_restart
        self._tell("")

    def _tell(self, problem: str) -> None:
        """A new problem takes the old one's place; none clears it away."""
        self._problem = problem
        self._notes.forget(_TOPIC)
        self._told_at_s = 0.0
        self._remind()

    def _remind(self) -> None:
        now_s = asyncio.get_running_loop().time()
        is_due = not self._told_at_s or now_s - self._told_at_s >= _TELL_EVERY_S
        if self._problem and is_due:
            self._notes.note(f"settings not taken: {self._problem}", _TOPIC)
            self._told_at_s = now_s
