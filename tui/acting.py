"""What the dashboard asks and orders of a peer: threads do it, and the screens never wait.

Orders go to the peer that is watched, and after its death to the one that is watched then. Whoever
may only look holds a client that gives no order, whatever its keys are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from cortex.engine.errors import CortexError
from cortex.peer.onlooker.asking import Asking, Door
from cortex.peer.onlooker.log_following import follow_log
from cortex.peer.onlooker.log_lines import LogLine, Skipped
from cortex.peer.onlooker.ordering import Ordering

from .from_thread import from_thread
from .talking import open_talk

if TYPE_CHECKING:
    from cortex.peer.client.steadfast import Asked

_SILENCE_S = 15.0
# A log says at least that it lives, every second.
_LOG_SILENCE_S = 10.0


class OnlyLooking(CortexError):
    """An order from a dashboard that was started to look on."""


class Acting:
    """Every method raises what the peer refuses with, or NoPeer. `doors` says whom to ask now."""

    is_read_only = False

    def __init__(self, doors: Callable[[], Sequence[Door]]) -> None:
        self.doors = doors
        self._askings: set[Asking] = set()

    async def ask(self, path: str, **query: str | int) -> dict[str, Any]:
        """`GET` of anything that a peer tells."""
        return await self._call("GET", path + (f"?{urlencode(query)}" if query else ""))

    async def plan(self, model: str, peer: str | None = None) -> dict[str, Any]:
        """What loading would do; nothing is done."""
        return await self._call("POST", "/models/plan", {"model": model, "peer": peer})

    async def load(self, model: str, peer: str | None = None) -> dict[str, Any]:
        """The job that has begun."""
        return await self._order("/models/load", {"model": model, "peer": peer, "wait": False})

    async def unload(
        self, model: str, peer: str | None = None, *, force: bool = False
    ) -> dict[str, Any]:
        """The job that has begun."""
        body = {"model": model, "peer": peer, "force": force, "wait": False}
        return await self._order("/models/unload", body)

    async def pin(self, model: str, peer: str | None = None, *, pinned: bool) -> dict[str, Any]:
        path = "/models/pin" if pinned else "/models/unpin"
        return await self._order(path, {"model": model, "peer": peer})

    async def drain(self, peer: str, *, drained: bool = True) -> dict[str, Any]:
        """Have a peer take nothing new, or requests again."""
        return await self._order("/drain" if drained else "/undrain", {"peer": peer})

    async def job(self, job_id: str) -> dict[str, Any]:
        return await self.ask(f"/jobs/{quote(job_id, safe='')}")

    async def cancel_job(self, job_id: str) -> dict[str, Any]:
        return await self._order(f"/jobs/{quote(job_id, safe='')}", method="DELETE")

    async def cancel_request(self, request_id: str) -> dict[str, Any]:
        return await self._order(f"/requests/{quote(request_id, safe='')}", method="DELETE")

    def talk(self, on_moved: Callable[[str], None]) -> AbstractAsyncContextManager[Asked]:
        """Somebody to talk with; `on_moved` hears when that is another peer than before."""
        return open_talk(self.doors, on_moved)

    @asynccontextmanager
    async def follow_log(
        self, peer: str, since_s: float
    ) -> AsyncGenerator[AsyncGenerator[LogLine | Skipped]]:
        """What any peer logs, all levels, from so many seconds ago on."""
        with self._asking(_LOG_SILENCE_S) as asking:
            yield from_thread(follow_log(Ordering(self.doors(), asking), peer, since_s, "debug"))

    def close(self) -> None:
        """End what is under way, so that no thread outlives the screens."""
        for asking in list(self._askings):
            asking.close()

    async def _order(
        self, path: str, body: dict[str, Any] | None = None, method: str = "POST"
    ) -> dict[str, Any]:
        """The one way by which anything in the fleet changes."""
        return await self._call(method, path, body)

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        with self._asking(_SILENCE_S) as asking:
            ordering = Ordering(self.doors(), asking)
            return await asyncio.to_thread(ordering.call, method, path, body)

    @contextmanager
    def _asking(self, silence_s: float) -> Generator[Asking]:
        """For a thread; it ends with the block at the latest."""
        asking = Asking(silence_s)
        self._askings.add(asking)
        try:
            yield asking
        finally:
            self._askings.discard(asking)
            asking.close()


class ReadOnly(Acting):
    """Asks and plans, and orders nothing."""

    is_read_only = True

    async def _order(
        self, path: str, body: dict[str, Any] | None = None, method: str = "POST"
    ) -> dict[str, Any]:
        raise _only_looking("nothing was ordered")

    def talk(self, on_moved: Callable[[str], None]) -> AbstractAsyncContextManager[Asked]:
        """An answer costs a device its time, and may make it load and let go of models."""
        raise _only_looking("nothing is asked")


def _only_looking(outcome: str) -> OnlyLooking:
    return OnlyLooking(
        f"this dashboard only looks on: {outcome}",
        "start it without --read-only to steer the fleet",
    )
