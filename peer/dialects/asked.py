"""What every dialect is to those who serve it: a body in, something asked, an answer told.

A dialect parses a body to requests and tells their events in its own words. It knows nothing of
other dialects, of HTTP, or of who makes the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cortex.engine.types import Accepted, ChatRequest, Finished, Piece

from ..bounds.limits import Limits
from .errors import ToldError


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the ingress fixes when a body arrives, so that its answer depends on nothing else.

    `random_seed` is taken where the client sent no seed, `id_hex` becomes part of the reply's id,
    and `routing_key` is what the headers say of the conversation. `fingerprint` names the program
    that answers.
    """

    now_s: int
    random_seed: int
    id_hex: str
    routing_key: str = ""
    limits: Limits = field(default_factory=Limits)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole choice: everything that came, as one piece, and how it ended."""

    whole: Piece
    finished: Finished


class Teller(Protocol):
    """Tells one streamed reply, as the bytes that go out for each thing that happens.

    `open` comes first and once; `close` or `fail` comes last and once.
    """

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


class Asked(Protocol):
    """One body, parsed. Choices are numbered request by request, `num_choices` of each."""

    @property
    def requests(self) -> Sequence[ChatRequest]:
        """One at least; all ask the same model, by the name that the reply repeats."""
        ...

    @property
    def is_streamed(self) -> bool: ...

    @property
    def tells_tokens(self) -> bool:
        """Whether pieces that say nothing are told of too."""
        ...

    def teller(self) -> Teller: ...

    def whole(self, answers: Sequence[Answer]) -> bytes:
        """The reply's JSON; an answer for each choice."""
        ...


class Dialect(Protocol):
    def __call__(self, body: bytes, arrival: Arrival) -> Asked:
        """Parse.

        Raises CortexErrors only, each naming its field, whatever the bytes.
        """
        ...
