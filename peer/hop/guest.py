"""One asker's connection at the host: each of its requests is a task of its own here.

What a request costs is bounded by whoever it is given to; the tasks end with the connection.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from cortex.engine.errors import CortexError, InvalidRequest, ModelNotFound
from cortex.engine.errors import to_info as to_any_info

from ..bounds.admission import Admission
from ..errors import HostOutdated, to_info
from ..gossip.ids import ModelId
from ..node import Node
from ..observing.live import LiveRequest
from ..orders.values import Order, Report, unpack_order
from ..release import own_release
from .link import HopLink, Socket
from .messages import (
    Ask,
    Cancel,
    CountAsk,
    Counted,
    Failed,
    Goodbye,
    LeaseAsk,
    Leased,
    Message,
    OrderAsk,
    Part,
    Parts,
    Reported,
    Slice,
)
from .slices import Assembler

logger = logging.getLogger(__name__)

# No vocabulary is nearly as large.
_MOST_TOKENS = 2**31

Grant = Callable[[LeaseAsk], Awaitable[Leased]]
CarryOut = Callable[[Order], AsyncGenerator[Report]]


class Guest:
    """`intake` bounds the requests of all guests together, and `max_bytes` each of them. `name` is
    what this peer is called.
    """

    def __init__(
        self,
        name: str,
        node: Node,
        grant: Grant,
        carry_out: CarryOut,
        intake: Admission,
        max_bytes: int,
        socket: Socket,
        tick_s: float,
    ) -> None:
        self._name = name
        self._node = node
        self._grant = grant
        self._carry_out = carry_out
        self._intake = intake
        self.link = HopLink(socket, self, Assembler(max_bytes, intake.holding), tick_s)
        self._works: dict[str, asyncio.Task[None]] = {}
        self.gone = asyncio.Event()

    async def run(self) -> None:
        """Serve it until it ends; nothing of its work is left then."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self.link.run()
        finally:
            self.gone.set()

    def leave(self) -> None:
        """This peer ends: the asker is to go on elsewhere, now, from what it has been sent."""
        self._cancel_all()
        self.link.post(Goodbye())
        self.link.finish()

    def hear(self, message: Message, size_bytes: int) -> None:
        match message:
            case Ask():
                work = functools.partial(self._answer, message)
                self._begin(message.request_id, size_bytes, work)
            case CountAsk():
                work = functools.partial(self._count, message)
                self._begin(message.request_id, size_bytes, work)
            case LeaseAsk():
                work = functools.partial(self._lease, message)
                self._begin(message.request_id, size_bytes, work)
            case OrderAsk():
                work = functools.partial(self._obey, message)
                self._begin(message.request_id, size_bytes, work)
            case Parts():  # an ask that was not understood
                refused = to_info(self._outdated())
                for part in message.parts:
                    self.link.post(Failed(part.request_id, refused))
            case Cancel():
                known = self._works.get(message.request_id)
                if known is not None:
                    known.cancel()
            case Goodbye():
                self.link.close("said goodbye")
            case _:
                pass  # what only hosts say

    def refuse(self, piece: Slice, error: CortexError) -> None:
        self.link.post(Failed(piece.request_id, to_info(error)))

    def tick(self) -> None:
        pass

    def end(self, why: str) -> None:
        logger.debug("hop guest gone how=%s", why)
        self._cancel_all()

    def _cancel_all(self) -> None:
        for work in self._works.values():
            work.cancel()

    def _outdated(self) -> HostOutdated:
        return HostOutdated(
            f"peer '{self._name}' runs cortex {own_release()}, which does not know all that is"
            " asked of it",
            "update that peer",
        )

    def _begin(self, request_id: str, size_bytes: int, work: Callable[[], Awaitable[None]]) -> None:
        if request_id in self._works:
            return  # no asker of ours gives two requests one id
        task = self._tasks.create_task(self._run(request_id, size_bytes, work))
        self._works[request_id] = task
        task.add_done_callback(lambda _: self._works.pop(request_id))

    async def _run(
        self, request_id: str, size_bytes: int, work: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            with self._intake.admitted(1), self._intake.holding(size_bytes):
                await work()
        except CortexError as error:
            self.link.post(Failed(request_id, to_info(error)))
        except Exception as error:
            # A bug of ours, over one request. The error's text may hold client data.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("hop request failed error=%s\n%s", type(error).__name__, where)
            self.link.post(Failed(request_id, to_any_info(error)))

    async def _answer(self, ask: Ask) -> None:
        await self._check_model(ask.request.model, ask.model)
        _check_resume(ask)
        now_s = asyncio.get_running_loop().time()
        live = LiveRequest(f"hop_{secrets.token_hex(12)}", "hop", "fleet", now_s)
        events = self._node.serve(ask.request, live, ask.resume, ask.num_losses)
        with self._node.live.entered(live):
            async with live.cancellable(), aclosing(events):
                async for event in events:
                    await self.link.put_part(Part(ask.request_id, event))

    async def _count(self, ask: CountAsk) -> None:
        await self._check_model(ask.request.model, ask.model)
        prompt_tokens = await self._node.count(ask.request)
        self.link.post(Counted(ask.request_id, prompt_tokens))

    async def _lease(self, wish: LeaseAsk) -> None:
        self.link.post(await self._grant(wish))

    async def _obey(self, asked: OrderAsk) -> None:
        """What was ordered goes on when whoever ordered it has left."""
        order = unpack_order(asked.order)
        if order is None:
            raise self._outdated()
        async with aclosing(self._carry_out(order)) as reports:
            async for report in reports:
                self.link.post(Reported(asked.request_id, report))
        self.link.post(Reported(asked.request_id, None))

    async def _check_model(self, model_id: str, weights: ModelId) -> None:
        """Raises ModelNotFound where that name means other weights here."""
        model = await self._node.shelf.find(model_id)
        if model.weights != weights:
            raise ModelNotFound(
                f"'{model.id}' has other weights on this peer than were asked for",
                "ask for the models again",
                param="model",
            )


def _check_resume(ask: Ask) -> None:
    """Raises InvalidRequest for what no ingress of ours sends."""
    num_choices = ask.request.num_choices
    if num_choices < 1:
        raise InvalidRequest(f"num_choices is {num_choices}", "ask for one at least")
    if ask.resume is None:
        return
    given = ask.resume.token_ids
    if len(given) != num_choices or not any(ids is not None for ids in given):
        raise InvalidRequest(
            f"the tokens of {len(given)} choices do not go with a request for {num_choices}",
            "send the request again",
        )
    if any(not 0 <= token_id < _MOST_TOKENS for ids in given for token_id in ids or ()):
        raise InvalidRequest("some of the tokens so far are none", "send the request again")
