"""The requests under way as a program sees them from outside: `GET /requests`, read into values.

Nothing in them tells what anybody asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .reading import complete, dict_of, list_of, number, optional, text, whole


@dataclass(frozen=True, slots=True)
class RequestPicture:
    """It came to `peer`, and `host` answers it. `done` of `total` is how far its stage is; `total`
    0 is an amount that nobody knows. `first_token_s` is None before the first token, `start` warm
    or cold once its model begins, and `queue_s` how long it waited for that. `num_failovers` is how
    often another host was asked, or this one again; None where an older peer does not say.
    """

    id: str
    peer: str
    host: str
    model: str
    dialect: str
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
    num_failovers: int | None = None

    @property
    def tokens_per_s(self) -> float | None:
        """Since the first token."""
        if self.first_token_s is None or self.completion_tokens < 2:
            return None
        decoded_s = self.seconds - self.first_token_s
        return (self.completion_tokens - 1) / decoded_s if decoded_s > 0 else None


@dataclass(frozen=True, slots=True)
class Missing:
    """A peer that did not say, and why."""

    peer: str
    message: str


@dataclass(frozen=True, slots=True)
class RequestsPicture:
    requests: tuple[RequestPicture, ...]
    missing: tuple[Missing, ...] = ()


@complete
def read_requests(told: Mapping[str, Any]) -> RequestsPicture:
    """Raises ValueError where no peer can have said that."""
    requests = tuple(_request(dict_of(one)) for one in list_of(told["requests"]))
    missing = tuple(_missing(dict_of(one)) for one in list_of(told.get("missing", [])))
    return RequestsPicture(requests, missing)


def _request(told: dict[str, Any]) -> RequestPicture:
    return RequestPicture(
        text(told["id"]),
        text(told["peer"]),
        text(told["host"]),
        optional(told.get("model"), text) or "",
        text(told.get("dialect", "")),
        text(told["stage"]),
        whole(told["prompt_tokens"]),
        whole(told["completion_tokens"]),
        number(told["seconds"]),
        whole(told.get("done", 0)),
        whole(told.get("total", 0)),
        text(told.get("unit", "")),
        optional(told.get("first_token_s"), number),
        optional(told.get("start"), text) or "",
        optional(told.get("queue_s"), number),
        tuple(text(id) for id in list_of(told.get("evicted", []))),
        optional(told.get("failovers"), whole),
    )


def _missing(told: dict[str, Any]) -> Missing:
    return Missing(text(told["peer"]), text(dict_of(told["error"])["message"]))
