"""What every dialect is to those who serve it: a body in, something asked, an answer told.

A dialect parses a body to requests and tells their events in its own words. It knows nothing of
other dialects, of HTTP, or of who makes the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from cortex.engine.errors import CortexError
from cortex.engine.stream import Accepted, Finished, Piece
from cortex.engine.types import ChatRequest

from ..bounds.limits import Limits
from .errors import ToldError


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the ingress fixes when a body arrives, so that its answer depends on nothing else.

    `now_s` is the Unix time. `random_seed` is taken where the client sent no seed, `id_hex` becomes
    part of the reply's id, and `routing_key` is what the headers say of the conversation.
    `fingerprint` names the program that answers.
    """

    now_s: int
    random_seed: int
    id_hex: str
    routing_key: str = ""
    limits: Limits = field(default_factory=Limits)
    fingerprint: str = ""
    utc_offset_s: int = 0

    @property
    def wall_clock_s(self) -> int:
        """What a ChatRequest calls now."""
        return self.now_s + self.utc_offset_s


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole choice: everything that came, as one piece, and how it ended."""

    whole: Piece
    finished: Finished


class Teller(Protocol):
    """Tells one reply: `whole`, or as the bytes that go out for each thing that happens.

    `open` comes first and once, unless nobody took the request; `close` or `fail` comes last and
    once.
    """

    @property
    def tells_tokens(self) -> bool:
        """Whether pieces that say nothing are told of too."""
        ...

    @property
    def told_in_stream(self) -> tuple[type[CortexError], ...]:
        """What clients know in a stream only: with these it begins, and ends at once."""
        ...

    def open(self, accepted: Accepted) -> bytes: ...

    def tell(self, event: Piece | Finished) -> bytes: ...

    def keep_alive(self) -> bytes:
        """What fills a silence; it is nothing but that."""
        ...

    def close(self) -> bytes:
        """All choices have ended."""
        ...

    def fail(self, error: ToldError) -> bytes:
        """The reply cannot be finished, and must not end like one that is."""
        ...

    def whole(self, answers: Sequence[Answer]) -> bytes:
        """The reply's JSON; an answer for each choice."""
        ...


T = TypeVar("T", bound=Teller, covariant=True)


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """One body, parsed. Choices are numbered request by request, `num_choices` of each."""

    # One at least; all ask the same model, by the name that the reply repeats.
    requests: tuple[ChatRequest, ...]
    teller: T
    is_streamed: bool

    @property
    def request(self) -> ChatRequest:
        """The first: the others differ in their prompts and seeds alone."""
        return self.requests[0]


# Raises CortexErrors only, each naming its field, whatever the bytes.
Dialect = Callable[[bytes, Arrival], Asked[Teller]]
