"""What happens at all peers of the fleet, and what had happened there of late, gathered for as long
as somebody wants to know.

Each peer tells what happens at itself; who comes and goes is told as this peer sees it. Nothing is
asked of anybody while nobody listens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from cortex.engine.errors import CortexError

from ..fleet.view import PeerView
from ..gossip.ids import NodeId
from ..member import say_why
from ..observing.chronicle import Happening
from .control import Control

# Who cannot be asked now, or is too old to tell, is asked again so much later.
_RETRY_S = 10.0
_LOOK_S = 1.0
_MAX_PENDING = 256
# In a large fleet not all are called at the same moment.
_MOST_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Told:
    """`peer` is the name of the one that it happened to."""

    peer: str
    happening: Happening


class Listener:
    """Someone's place among those who listen: `before` and what has come since it took the last."""

    def __init__(self, on_news: Callable[[], None], before: Iterable[Told] = ()) -> None:
        self._on_news = on_news
        self._pending = deque(before, _MAX_PENDING)

    def hear(self, told: Told) -> None:
        self._pending.append(told)
        self._on_news()

    def take(self) -> list[Told]:
        taken = [*self._pending]
        self._pending.clear()
        return taken


class Gathering:
    """Made with the app, on whose loop all of it happens; `close` it at its end."""

    def __init__(self, control: Control, retry_s: float = _RETRY_S) -> None:
        self._control = control
        self._retry_s = retry_s
        self._listeners: list[Listener] = []
        self._gathering: asyncio.Task[None] | None = None
        # By peer, its generation and the number of the last that is known of it.
        self._last: dict[NodeId, tuple[int, int]] = {}
        self._lately: deque[Told] = deque(maxlen=_MAX_PENDING)

    @contextmanager
    def listening(self, on_news: Callable[[], None]) -> Generator[Listener]:
        if self._gathering is None:
            self._last.clear()
            self._lately.clear()
            self._gathering = asyncio.create_task(self._gather(), name="gather happenings")
            self._gathering.add_done_callback(say_why)
        listener = Listener(on_news, self._lately)
        self._listeners.append(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)
            if not self._listeners:
                self._stop()

    async def close(self) -> None:
        task = self._stop()
        if task is not None:
            await asyncio.wait({task})

    def _stop(self) -> asyncio.Task[None] | None:
        task, self._gathering = self._gathering, None
        if task is not None:
            task.cancel()
        return task

    async def _gather(self) -> None:
        """Listen to each peer that is there, until cancelled."""
        heard: dict[NodeId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                peers = self._control.view.peers
                there = [one.node for one in peers if not one.is_gone]
                unheard = [node for node in there if node not in heard]
                for node in unheard[:_MOST_AT_ONCE]:
                    heard[node] = tasks.create_task(self._hear(node))
                for node in heard.keys() - set(there):
                    heard.pop(node).cancel()
                await asyncio.sleep(_LOOK_S)

    async def _hear(self, node: NodeId) -> None:
        while True:
            peer = self._control.view.peer(node)
            if peer is not None:
                with contextlib.suppress(CortexError):
                    await self._hear_once(peer)
            await asyncio.sleep(self._retry_s)

    async def _hear_once(self, peer: PeerView) -> None:
        async with aclosing(self._control.happenings(peer)) as reports:
            async for report in reports:
                self._take(peer, report.happenings)

    def _take(self, peer: PeerView, happenings: tuple[Happening, ...]) -> None:
        gen, last = self._last.get(peer.node, (peer.gen, -1))
        newest = max((one.number for one in happenings), default=last)
        if peer.gen > gen or newest < last:  # another life, whose clock may have been set back
            last = -1
        self._last[peer.node] = (peer.gen, max(newest, last))
        for one in happenings:
            if one.number > last:
                told = Told(one.about or peer.name, one)
                self._lately.append(told)
                for listener in self._listeners:
                    listener.hear(told)
