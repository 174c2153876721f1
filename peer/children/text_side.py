"""The peer's side of the text process: prompts asked for, prompts come back.

It keeps one future per prompt in the making and knows nothing of engines or clients. Hostile bytes
may end that process: whatever it had in work then is made once more, each by itself, so that only
the request fails that brings it down.
"""

from __future__ import annotations

import asyncio
import functools
import logging

from cortex.engine.errors import CortexError
from cortex.engine.frames import pack_message
from cortex.engine.messages import (
    CancelPrepare,
    Count,
    Counted,
    Message,
    Prepare,
    Prepared,
    PrepareFailed,
)
from cortex.engine.types import ChatRequest

from ..bounds.request_bytes import request_bytes
from ..errors import AttemptsExhausted, from_info
from ..heavy import off_loop
from ..types import ModelInfo
from .process import Spawn
from .shared_lock import SharedLock
from .slot import ChildEnd, ChildSlot, ChildSpec

logger = logging.getLogger(__name__)

_Told = Prepared | Counted
_Outcome = _Told | CortexError | ChildEnd


class TextSide:
    def __init__(self, spec: ChildSpec, tasks: asyncio.TaskGroup, spawn: Spawn) -> None:
        self.slot = ChildSlot(spec, tasks, self._hear, self._lose_all, spawn)
        self._lock = SharedLock()
        self._asked: dict[str, asyncio.Future[_Outcome]] = {}

    async def prepare(self, request_id: str, model: ModelInfo, request: ChatRequest) -> Prepared:
        """The request as a prompt. Leaving the wait cancels the work.

        Raises what the text process refuses it with, EngineFailed where that process cannot start,
        or AttemptsExhausted where it dies of the request.
        """
        pixels = model.wishes.pixels
        message = Prepare(request_id, str(model.dir), request, model.context_length, pixels)
        prepared = await self._answer(message)
        assert isinstance(prepared, Prepared)
        return prepared

    async def count(self, request_id: str, model: ModelInfo, request: ChatRequest) -> int:
        """How many tokens the request's prompt has. Leaving the wait cancels the work.

        Raises as `prepare` does, but for what only the model's context or open pictures show.
        """
        message = Count(request_id, str(model.dir), request, model.wishes.pixels)
        counted = await self._answer(message)
        assert isinstance(counted, Counted)
        return counted.prompt_tokens

    async def _answer(self, message: Prepare | Count) -> _Told:
        request_id, size_bytes = message.request_id, request_bytes(message.request)
        frame = await off_loop(size_bytes, functools.partial(pack_message, message))
        outcome = await self._try(request_id, frame, alone=False)
        if isinstance(outcome, ChildEnd) and outcome.may_return:
            logger.warning("prompt is made again request=%s", request_id)
            outcome = await self._try(request_id, frame, alone=True)
            if isinstance(outcome, ChildEnd) and outcome.may_return:
                raise AttemptsExhausted(
                    f"{outcome.error.message}; it does so whenever it opens this request",
                    "try without its pictures, or save them in another format",
                )
        if isinstance(outcome, ChildEnd):
            raise outcome.error
        if isinstance(outcome, CortexError):
            raise outcome
        return outcome

    async def _try(self, request_id: str, frame: bytearray, *, alone: bool) -> _Outcome:
        with self._lock.held(alone=alone) as admitted:
            await admitted
            await self.slot.ready()
            return await self._ask(request_id, frame)

    async def _ask(self, request_id: str, frame: bytearray) -> _Outcome:
        future: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        self._asked[request_id] = future
        self.slot.post_packed(frame)
        try:
            return await future
        finally:
            del self._asked[request_id]
            if future.cancelled():
                self.slot.post(CancelPrepare(request_id))

    def _hear(self, message: Message) -> None:
        if isinstance(message, Prepared | Counted):
            self._settle(message.request_id, message)
        elif isinstance(message, PrepareFailed):
            self._settle(message.request_id, from_info(message.error))

    def _settle(self, request_id: str, outcome: _Outcome) -> None:
        future = self._asked.get(request_id)
        if future is not None and not future.done():
            future.set_result(outcome)

    def _lose_all(self, end: ChildEnd) -> None:
        for request_id in self._asked:
            self._settle(request_id, end)
