"""A running peer goes with the keys that commands write into its file; what keeps it from that is
told, and tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from ..fleet.notices import Notes
from .keyring import Keyring
from .keyring_file import keyring_changed

logger = logging.getLogger(__name__)

# A command that changes the keys is followed so soon.
_EVERY_S = 2.0
_TOPIC = "key file"


class KeyFollower:
    """`rekey` makes a ring the one that holds, or raises OSError and has changed nothing."""

    def __init__(
        self,
        path: Path,
        keyring: Keyring,
        rekey: Callable[[Keyring], None],
        notes: Notes,
        every_s: float = _EVERY_S,
    ) -> None:
        self._path = path
        self._keyring = keyring
        self._rekey = rekey
        self._notes = notes
        self._every_s = every_s
        self._problem = ""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()

    async def look(self) -> None:
        try:
            changed = await asyncio.to_thread(keyring_changed, self._path, self._keyring)
        except OSError as error:
            self._tell(f"cannot read the fleet keys, the next start would fail: {error}")
            return
        if changed is not None:
            try:
                self._rekey(changed)
            except OSError as error:
                self._tell(f"fleet keys not taken up, the old ones hold: {error}")
                return
            self._keyring = changed
            logger.info("fleet keys changed using=%s", changed.primary.key_id.hex())
        self._tell("")

    def _tell(self, problem: str) -> None:
        """A new problem takes the old one's place, none clears it away; it is noted for as long as
        it is so, and logged once.
        """
        if problem != self._problem:
            self._problem = problem
            self._notes.forget(_TOPIC)
            if problem:
                logger.warning("%s", problem)
        if problem:
            self._notes.note(problem, _TOPIC)
