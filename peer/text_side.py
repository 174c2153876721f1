"""The peer's side of the text process: prompts asked for, prompts come back.

It keeps one future per prompt in the making and knows nothing of engines or clients.
"""

from __future__ import annotations

import asyncio
import functools

from cortex.engine.errors import CortexError
from cortex.engine.frames import pack_message
from cortex.engine.messages import CancelPrepare, Message, Prepare, Prepared, PrepareFailed
from cortex.engine.types import ChatRequest, ImagePart, RawText, RawTokens

from .children import ChildSlot, ChildSpec
from .errors import from_info
from .heavy import off_loop
from .types import ModelInfo


class TextSide:
    def __init__(self, spec: ChildSpec, tasks: asyncio.TaskGroup) -> None:
        self.slot = ChildSlot(spec, tasks, self._hear, self._fail_all)
        self._asked: dict[str, asyncio.Future[Prepared | CortexError]] = {}

    async def prepare(self, request_id: str, model: ModelInfo, request: ChatRequest) -> Prepared:
        """The request as a prompt. Leaving the wait cancels the work.

        Raises what the text process refuses it with, or EngineFailed where that process dies.
        """
        message = Prepare(request_id, str(model.dir), request, model.context_length)
        frame = await off_loop(size_bytes(request), functools.partial(pack_message, message))
        await self.slot.ready()
        future: asyncio.Future[Prepared | CortexError]
        future = asyncio.get_running_loop().create_future()
        self._asked[request_id] = future
        self.slot.post_packed(frame)
        del frame  # the pictures once more: the prompt may be long in coming
        try:
            outcome = await future
        finally:
            del self._asked[request_id]
            if future.cancelled():
                self.slot.post(CancelPrepare(request_id))
        if isinstance(outcome, CortexError):
            raise outcome
        return outcome

    def _hear(self, message: Message) -> None:
        if isinstance(message, Prepared):
            self._settle(message.request_id, message)
        elif isinstance(message, PrepareFailed):
            self._settle(message.request_id, from_info(message.error))

    def _settle(self, request_id: str, outcome: Prepared | CortexError) -> None:
        future = self._asked.get(request_id)
        if future is not None and not future.done():
            future.set_result(outcome)

    def _fail_all(self, error: CortexError) -> None:
        for request_id in self._asked:
            self._settle(request_id, error)


def size_bytes(request: ChatRequest) -> int:
    """What a request weighs, roughly: its pictures, its text and its token ids."""
    match request.raw:
        case RawText():
            return len(request.raw.text)
        case RawTokens():
            return 8 * len(request.raw.token_ids)
        case None:
            pass
    parts = (part for message in request.messages for part in message.content)
    return sum(len(part.data if isinstance(part, ImagePart) else part.text) for part in parts)
