"""The asker's side of the hop: one connection to each host, opened when needed and kept.

What is asked where is decided elsewhere, and so is what to do where a host is lost.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import traceback
from collections.abc import AsyncGenerator, Callable
from typing import Self

from msgspec.structs import replace

from cortex.engine.stream import Event, Resume, Vector
from cortex.engine.types import ChatRequest

from ..answering import num_missing
from ..bounds.request_bytes import request_bytes
from ..errors import HostRefused
from ..gossip.ids import ModelId, NodeId
from ..heavy import off_loop
from ..orders.values import Order, Report, pack_order
from .calls import AnswerCall, OrderCall, Question
from .dialling import Dialler
from .frames import pack
from .line import Line
from .link import TICK_S, NodeOf
from .messages import Ask, CountAsk, Counted, LeaseAsk, Leased, OrderAsk

logger = logging.getLogger(__name__)

# Five minutes unused: then a connection is closed.
_IDLE_TICKS = 600


class HopPool:
    """Use as `async with HopPool(...) as hops`. It implements `Hops` and `OrderHops`.

    `on_lost` is called where a host refuses a connection, or one that was there is lost.
    """

    def __init__(
        self,
        dialler: Dialler,
        on_lost: Callable[[NodeId], None],
        tick_s: float = TICK_S,
        idle_ticks: int = _IDLE_TICKS,
    ) -> None:
        self._dialler = dialler
        self._on_lost = on_lost
        self._tick_s = tick_s
        self._idle_ticks = idle_ticks
        # By host: the line, or why there is none, once that is known.
        self._lines: dict[NodeId, asyncio.Future[Line | str]] = {}
        self._lives: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._dialler.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
        await self._dialler.__aexit__(*raised)

    async def ask(
        self,
        host: NodeId,
        model: ModelId,
        request: ChatRequest,
        resume: Resume | None = None,
        num_losses: int = 0,
    ) -> AsyncGenerator[Event | Vector]:
        """`Hops.ask`. A generator that was begun is to be closed by its reader."""
        ask = Ask(_new_id(), model, request, resume, num_losses)
        call = AnswerCall(num_missing(request, resume))
        frame = await _packed(ask)
        line = await self._line(host)
        with line.calling(ask.request_id, call):
            line.link.post_request(frame, ask.request_id)
            del ask, frame
            while call.num_unfinished:
                yield await call.next()

    async def count(self, host: NodeId, model: ModelId, request: ChatRequest) -> int:
        ask = CountAsk(_new_id(), model, request)
        question = Question(Counted)
        frame = await _packed(ask)
        line = await self._line(host)
        with line.calling(ask.request_id, question):
            line.link.post_request(frame, ask.request_id)
            return (await question.answer()).prompt_tokens

    async def lease(self, arbiter: NodeId, wish: LeaseAsk) -> Leased:
        """The wish's own request_id is made anew."""
        wish = replace(wish, request_id=_new_id())
        question = Question(Leased)
        line = await self._line(arbiter)
        with line.calling(wish.request_id, question):
            line.link.post(wish)
            return await question.answer()

    async def order(self, host: NodeId, order: Order) -> AsyncGenerator[Report]:
        """`OrderHops.order`. A generator that was begun is to be closed by its reader."""
        ask = OrderAsk(_new_id(), pack_order(order))
        call = OrderCall()
        line = await self._line(host)
        with line.calling(ask.request_id, call):
            line.link.post(ask)
            while (report := await call.next()) is not None:
                yield report

    def recheck(self, node_of: NodeOf) -> None:
        """The keys have changed: who is no member any more is asked no longer."""
        for opened in self._lines.values():
            if opened.done() and isinstance(line := opened.result(), Line):
                line.link.recheck(node_of)

    async def _line(self, host: NodeId) -> Line:
        """The connection to a host; one dialling serves all who wait. Raises HostRefused."""
        opened = self._lines.get(host)
        if opened is None:
            opened = self._lines[host] = asyncio.get_running_loop().create_future()
            life = asyncio.create_task(self._live(host, opened), name=f"hop {host.hex()}")
            self._lives.add(life)
            life.add_done_callback(self._lives.discard)
        # Shielded: one waiter's leaving does not end the wait of the others.
        outcome = await asyncio.shield(opened)
        if isinstance(outcome, str):
            raise HostRefused(outcome, "cortex doctor tells what is in the way")
        return outcome

    async def _live(self, host: NodeId, opened: asyncio.Future[Line | str]) -> None:
        """Open a connection, and stay with it until it ends."""
        end = functools.partial(self._end, host, opened)
        try:
            socket = await self._dialler.dial(host)
            line = Line(host, socket, end, self._tick_s, self._idle_ticks)
            opened.set_result(line)
            await line.link.run()
        except HostRefused as error:
            logger.info("hop refused host=%s why=%s", host.hex(), error.message)
            opened.set_result(error.message)
            end(True)
        except Exception as error:  # whatever it was, the next one who asks dials anew
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("hop failed host=%s type=%s\n%s", host.hex(), type(error).__name__, where)
            if not opened.done():  # else the line has told of its end
                opened.set_result(f"the connection failed ({type(error).__name__})")
                end(True)
        finally:
            if not opened.done():
                opened.set_result("this peer is ending")

    def _end(self, host: NodeId, opened: asyncio.Future[Line | str], is_doubtful: bool) -> None:
        """The next one who asks dials anew."""
        if self._lines.get(host) is opened:
            del self._lines[host]
        if is_doubtful:
            self._on_lost(host)


def _new_id() -> str:
    return secrets.token_hex(8)


async def _packed(ask: Ask | CountAsk) -> bytes:
    return await off_loop(request_bytes(ask.request), functools.partial(pack, ask))
