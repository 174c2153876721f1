"""The requests under way as a program sees them from outside: `GET /requests`, read into values.

Nothing in them tells what anybody asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from .reading import Told, dict_of, read, text


@dataclass(frozen=True, slots=True)
class RequestPicture:
    """It came to `peer`, and `host` answers it. `done` of `total` is how far its stage is; `total`
    0 is an amount that nobody knows. `first_token_s` is None before the first token, `start` warm
    or cold once its model begins, and `queue_s` how long it waited to be read. `num_failovers` is
    how often another host took it up, or this one again; None where an older peer does not say. Of
    the prompt `cached_tokens` were remembered.
    """

    id: str
    peer: str
    host: str
    model: Annotated[str, Told(or_else="")]
    dialect: Annotated[str, Told(or_else="")]
    stage: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    done: int = 0
    total: int = 0
    unit: str = ""
    first_token_s: float | None = None
    start: str = ""
    queue_s: float | None = None
    evicted: tuple[str, ...] = ()
    num_failovers: Annotated[int | None, Told("failovers")] = None
    cached_tokens: int = 0

    @property
    def tokens_per_s(self) -> float | None:
        """Since the first token."""
        if self.first_token_s is None or self.completion_tokens < 2:
            return None
        decoded_s = self.seconds - self.first_token_s
        return (self.completion_tokens - 1) / decoded_s if decoded_s > 0 else None


def _message(error: Any) -> str:
    return text(dict_of(error).get("message"))


@dataclass(frozen=True, slots=True)
class Missing:
    """A peer that did not say, and why."""

    peer: str
    message: Annotated[str, Told("error", _message)]


@dataclass(frozen=True, slots=True)
class RequestsPicture:
    requests: tuple[RequestPicture, ...]
    missing: tuple[Missing, ...] = ()


def read_requests(told: Mapping[str, Any]) -> RequestsPicture:
    """Raises ValueError where no peer can have said that."""
    return read(RequestsPicture, told)
