"""The canned answers as frames: a text process and an engine that are one and do nothing.

The text process writes what the request wants into the prompt, where the engine finds it again: a
peer passes prompts on unopened. An engine's groups each make a step of their own, as one engine
does for all that it has in work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from cortex.engine.child import ALIVE_INTERVAL_S
from cortex.engine.costs import ModelCosts
from cortex.engine.frames import pack_message
from cortex.engine.messages import (
    Alive,
    Cancel,
    Estimate,
    Estimated,
    Generate,
    Load,
    Loaded,
    Message,
    Prepare,
    Prepared,
    Step,
    StepPart,
    Unload,
    Unloaded,
    Waiting,
    Wanted,
)
from cortex.engine.stream import Stage, TextDelta, Usage
from cortex.engine.types import ChatRequest, ImagePart, ImageTokens
from cortex.peer.children.link import FrameLink

from . import canned
from .canned import Wish
from .ticking import Ticker

_PROMPT_TOKENS = 40
# What a large picture comes to: 1,024 tokens of 32 by 32 pixels, three bytes each.
_PICTURE = ImageTokens(1024, 1024, 1024)
_PIXEL_BYTES = _PICTURE.width * _PICTURE.height * 3
_WORD_TOKENS = tuple(range(canned.NUM_WORD_TOKENS))
# Next to nothing: everything has room.
_COSTS = ModelCosts(weights_bytes=1, workspace_bytes=1, kv_bytes_per_token=1, context_tokens=4096)
_MAX_SEQUENCES = 1024
_USAGE = Usage(_PROMPT_TOKENS, canned.NUM_WORD_TOKENS)


Send = Callable[[Message], None]


class Service(Protocol):
    def hear(self, message: Message) -> None: ...

    def alive(self) -> Alive: ...


class CannedText:
    """The text process: a prompt that says what its request wants."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def hear(self, message: Message) -> None:
        if isinstance(message, Prepare):
            self._send(prepared(message.request_id, message.request))

    def alive(self) -> Alive:
        return Alive(0, 0, 0)


class CannedEngine:
    """The engine: loads at once, and gives each request its events in its groups' turns."""

    def __init__(self, send: Send, groups: Sequence[int]) -> None:
        self._send = send
        self.tickers = {number: Ticker(number, self._give) for number in groups}
        self._running: dict[str, tuple[int, Wanted]] = {}
        self._num_steps = 0

    def hear(self, message: Message) -> None:
        match message:
            case Estimate():
                self._send(Estimated(message.job_id, _COSTS, max_sequences=_MAX_SEQUENCES))
            case Load():
                self._send(Loaded(message.job_id, message.model_id, weight_bytes=0, seconds=0.0))
            case Unload():
                self._send(Unloaded(message.job_id, message.model_id))
            case Generate():
                wish = wish_of(message.prompt)
                for wanted in message.wanted:
                    self._begin(wanted, wish)
            case Cancel():
                self._running.pop(message.request_id, None)
            case _:
                raise ValueError(f"no engine hears a {type(message).__name__}")

    def alive(self) -> Alive:
        return Alive(self._num_steps, len(self._running), 0)

    def _begin(self, wanted: Wanted, wish: Wish) -> None:
        key = (wanted.request_id, wanted.epoch)
        stage = Stage("prefill", _PROMPT_TOKENS, _PROMPT_TOKENS, "tokens")
        self._send(Waiting(*key, stage))
        if wish.is_at_once:
            part = StepPart(*key, _WORD_TOKENS, (TextDelta(canned.WORDS),), "stop", _USAGE)
            self._send(Step((part,)))
        else:
            self._running[wanted.request_id] = (wish.num_events, wanted)
            self.tickers[wish.num_groups].add(wanted.request_id)

    def _give(self, request_ids: Sequence[str], now_s: float) -> list[str]:
        """One step for those of a group that are still wanted; returns those that go on."""
        delta = (TextDelta(canned.event_text(now_s)),)
        wanted = [request_id for request_id in request_ids if request_id in self._running]
        if wanted:
            self._num_steps += 1
            self._send(Step(tuple(self._part(request_id, delta) for request_id in wanted)))
        return [request_id for request_id in wanted if request_id in self._running]

    def _part(self, request_id: str, delta: tuple[TextDelta, ...]) -> StepPart:
        num_left, wanted = self._running[request_id]
        key = (request_id, wanted.epoch)
        if num_left > 1:
            self._running[request_id] = (num_left - 1, wanted)
            return StepPart(*key, (num_left,), delta)
        del self._running[request_id]
        return StepPart(*key, (num_left,), delta, "length", _USAGE)


class ServiceLink(FrameLink):
    """A service at the other end of a peer's socket. Our own child processes do it in streams,
    which costs more; here it would be told as the ingress's.
    """

    def __init__(self, make_service: Callable[[Send], Service]) -> None:
        super().__init__()
        self._service = make_service(lambda message: self.send(pack_message(message)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.listen(self._service.hear)
        self._say_alive()

    def _say_alive(self) -> None:
        if not self.ended.done():
            self.send(pack_message(self._service.alive()))
            self.loop.call_later(ALIVE_INTERVAL_S, self._say_alive)


def prepared(request_id: str, request: ChatRequest) -> Prepared:
    parts = (part for message in request.messages for part in message.content)
    has_picture = any(isinstance(part, ImagePart) for part in parts)
    num_events = request.max_tokens or canned.NUM_WORD_TOKENS
    pixels = bytes(_PIXEL_BYTES) if has_picture else b""
    return Prepared(
        request_id,
        _PROMPT_TOKENS,
        (_PICTURE,) if has_picture else (),
        num_events,
        prompt_hash=b"canned",
        prompt=msgspec.Raw(msgspec.msgpack.encode((num_events, request.seed, pixels))),
    )


def wish_of(prompt: msgspec.Raw) -> Wish:
    num_events, num_groups, _ = msgspec.msgpack.decode(prompt, type=tuple[int, int, memoryview])
    return Wish(num_events, num_groups)
