"""The requests under way: what each is doing, what it has cost, how it ended, and how to end one.

No prompt, no answer and no name that a client chose is kept. A request lives from the coming of its
headers to the last byte of its reply. Everything happens on one event loop; the clock comes in.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

from cortex.engine.stream import (
    Accepted,
    Began,
    Event,
    Finished,
    Piece,
    Stage,
    Vector,
    is_computing,
)

from ..errors import RequestCancelled

_LEFT = "left"
_WAITS_FOR_A_LOAD = ("starting", "loading")


class LiveRequest:
    """One of them. `model_id` is the catalogue's, None until the model has been found.

    `ending` is empty while it lasts: then the reason that its first answer ended with, or the code
    of the error that it ended with, or "left". `error_status` is what HTTP calls that error, None
    where it ended with none.

    `host` is the peer that answers, where a fleet does, and `start` whether the model was there.
    `evicted` models had to go for it. `is_streamed` is a client that sees what it waits for.
    `queue_s` is how long the prompt waited until an engine read it, and `num_failovers` how often a
    host was lost or had no place for it, and another took it up.
    """

    def __init__(self, request_id: str, dialect: str, key_name: str, now_s: float) -> None:
        self.id = request_id
        self.dialect = dialect
        self.key_name = key_name
        self.began_s = now_s
        self.model_id: str | None = None
        self.stage: Stage | None = None
        self.first_token_s: float | None = None
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.completion_tokens = 0
        self.ending = ""
        self.error_status: int | None = None
        self.host = ""
        self.start: Literal["", "warm", "cold"] = ""
        self.evicted: tuple[str, ...] = ()
        self.is_streamed = False
        self.queue_s: float | None = None
        self.num_failovers = 0
        self._accepted_s: float | None = None
        self._has_begun = False
        # Of the prompt that is being read; it counts until the engine has said what it came to.
        self._reading_cached_tokens = 0
        # Blocks in each other, the innermost last; None for one that nothing ends.
        self._scopes: list[asyncio.Timeout | None] = []
        self._is_cancelled = False

    @property
    def spent_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def known_cached_tokens(self) -> int:
        """How much of the prompt was remembered, as far as that is known while it lasts."""
        return self.cached_tokens or self._reading_cached_tokens

    @property
    def is_answered(self) -> bool:
        return self.ending not in ("", _LEFT) and self.error_status is None

    def failed(self, code: str, status: int) -> None:
        """Its client is told this error, in a reply of its own or in one that has begun."""
        self.ending, self.error_status = code, status

    def left(self) -> None:
        """Its client has gone before the end, and is told nothing any more."""
        self.ending, self.error_status = _LEFT, None

    def note(self, event: Event | Vector, clock: Callable[[], float]) -> None:
        """One more event of one of its prompts has come."""
        if self.queue_s is None and self._accepted_s is not None and is_computing(event):
            self.queue_s = clock() - self._accepted_s
        match event:
            case Piece():
                if self.first_token_s is None:
                    self.first_token_s = clock() - self.began_s
                self.stage = None
                self.completion_tokens += len(event.token_ids)
            case Stage():
                self.stage = event
                if event.name == "prefill" and self.first_token_s is None:
                    self._reading_cached_tokens = event.cached_tokens
                if event.name in _WAITS_FOR_A_LOAD and not self._has_begun:
                    self.start = "cold"
            case Began():
                self.stage = None
                self._begun(event)
            case Accepted():
                self.prompt_tokens += event.prompt_tokens
                self._accepted_s = clock()
            case Finished():
                self.ending = self.ending or event.reason
                if event.choice == 0:  # the others may find what the first has just read
                    self.cached_tokens += event.usage.cached_tokens
            case Vector():
                self.ending = "stop"

    def _begun(self, began: Began) -> None:
        """How it starts is known now. Another engine that goes on with it adds to what went,
        and changes nothing of how it started.
        """
        self.evicted += tuple(each for each in began.evicted if each not in self.evicted)
        if not self._has_begun:
            self._has_begun = True
            self.start = "cold" if began.is_cold else "warm"

    def cancel(self) -> None:
        """End it: whoever works on it inside `cancellable` is told so."""
        self._is_cancelled = True
        if self._scopes and (scope := self._scopes[-1]) is not None:
            scope.reschedule(0.0)

    @asynccontextmanager
    async def cancellable(self) -> AsyncGenerator[None]:
        """A block that `cancel` ends; of blocks in each other, the innermost.

        Raises RequestCancelled then.
        """
        scope = asyncio.timeout(0.0 if self._is_cancelled else None)
        try:
            async with scope:
                self._scopes.append(scope)
                try:
                    yield
                finally:
                    self._scopes.pop()
        except TimeoutError:
            if not scope.expired():
                raise
            raise RequestCancelled(
                "this request was ended by whoever runs this peer", "ask them why"
            ) from None

    @contextmanager
    def shielded(self) -> Generator[None]:
        """A block that `cancel` does not end: a reply has begun, and no other can be begun.

        A cancellable block inside it is ended as ever.
        """
        self._scopes.append(None)
        try:
            yield
        finally:
            self._scopes.pop()


class LiveRequests:
    """All of them, the oldest first."""

    def __init__(self) -> None:
        self._by_id: dict[str, LiveRequest] = {}
        self._watchers: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[LiveRequest]:
        return iter(self._by_id.values())

    def get(self, request_id: str) -> LiveRequest | None:
        return self._by_id.get(request_id)

    @contextmanager
    def entered(self, request: LiveRequest) -> Generator[None]:
        self._by_id[request.id] = request
        try:
            yield
        finally:
            del self._by_id[request.id]
            for on_end in tuple(self._watchers):
                on_end()

    def watch(self, on_end: Callable[[], None]) -> Callable[[], None]:
        """Call this whenever one has ended; what is returned ends that."""
        self._watchers.append(on_end)
        return functools.partial(self._watchers.remove, on_end)
