"""What one peer may have another do beside answering requests, and what it reports of that.

An order and its reports are the same whether they cross the hop or not. Who may give one is decided
before: at the API by the admin key, at the hop by the fleet key.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from cortex.engine.errors import ErrorInfo

from ..gossip.ids import U32, Model, Node
from ..observing.log_ring import LogPage
from .facts import Describe, HappeningList, PeerFacts, ReadLog, WatchHappenings

JobKind = Literal["load", "unload", "drain", "pull"]
# What a job says of itself: a newer peer may know more kinds, and more states.
_Word = Annotated[str, Meta(max_length=64)]
_Id: TypeAlias = Annotated[str, Meta(max_length=256)]


class LoadOrder(Struct, frozen=True, tag="load"):
    """What is None is chosen from what is free. One that `is_forced` is begun whatever the plan
    says: the engine alone may refuse it.
    """

    model: Model
    context_tokens: U32 | None = None
    num_slots: U32 | None = None
    is_forced: bool = False


class UnloadOrder(Struct, frozen=True, tag="unload"):
    """`model_id` is what the peer itself calls it, here and below."""

    model_id: _Id
    is_forced: bool = False


class PullOrder(Struct, frozen=True, tag="pull"):
    """Fetch a repository of the hub into the peer's models."""

    repository: _Id
    revision: _Id | None = None


class PlanOrder(Struct, frozen=True, tag="plan"):
    """What would a load of the same words do there?"""

    model: Model
    context_tokens: U32 | None = None
    num_slots: U32 | None = None


class PinOrder(Struct, frozen=True, tag="pin"):
    model_id: _Id
    is_pinned: bool = True


class DrainOrder(Struct, frozen=True, tag="drain"):
    """Take nothing new; what is under way goes on."""


class UndrainOrder(Struct, frozen=True, tag="undrain"):
    """Take requests again."""


class ListRequests(Struct, frozen=True, tag="requests"):
    """Which requests are under way?"""


class CancelRequest(Struct, frozen=True, tag="cancel"):
    request_id: _Id


class ListJobs(Struct, frozen=True, tag="jobs"):
    """Those under way, and those that have ended of late."""


class WatchJob(Struct, frozen=True, tag="job"):
    """`is_followed` is to its end; otherwise how it is now."""

    job_id: _Id
    is_followed: bool = False


class CancelJob(Struct, frozen=True, tag="cancel job"):
    job_id: _Id


# Those that are answered once, and at once.
Brief: TypeAlias = (
    PinOrder
    | UndrainOrder
    | ListRequests
    | CancelRequest
    | ListJobs
    | WatchJob
    | CancelJob
    | Describe
    | ReadLog
)
Order: TypeAlias = (
    LoadOrder | UnloadOrder | PullOrder | PlanOrder | DrainOrder | WatchHappenings | Brief
)


class Placed(Struct, frozen=True):
    """How a load was carried out. `victims` are the models that went for it; `was_there` is one
    that needed no load.
    """

    device: int
    context_tokens: int
    num_slots: int
    num_bytes: int
    victims: tuple[str, ...] = ()
    was_there: bool = False


class Job(Struct, frozen=True, tag="job"):
    """One order that takes a while: queued, running, and then done, failed or cancelled. `total` 0
    is an amount that nobody knows.

    `seconds` is how long it has been going, or went. `error` says why it failed. `host` is the peer
    where it is done, if that is another one than the job's own.
    """

    id: str
    node: Node
    kind: _Word
    state: _Word
    model: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    rate_per_s: float | None = None
    eta_s: float | None = None
    seconds: float = 0.0
    error: ErrorInfo | None = None
    placed: Placed | None = None
    host: Node | None = None

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class JobList(Struct, frozen=True, tag="jobs"):
    jobs: tuple[Job, ...]


class RequestReport(Struct, frozen=True):
    """A request under way. `host` is the peer that answers it, where the fleet was asked.

    `first_token_s` is None before that, and `queue_s` before an engine reads its prompt.
    `num_failovers` is how often a host was lost or refused it, and another took it up. Of the
    prompt `cached_tokens` were remembered.
    """

    id: str
    model: str | None
    dialect: str
    key: str
    host: str
    stage: str
    done: int
    total: int
    unit: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_s: float | None = None
    start: str = ""
    queue_s: float | None = None
    evicted: tuple[str, ...] = ()
    num_failovers: int = 0
    cached_tokens: int = 0


class RequestList(Struct, frozen=True, tag="requests"):
    requests: tuple[RequestReport, ...]


class Done(Struct, frozen=True, tag="done"):
    """It has been done, or was so before."""


class PlanReport(Struct, frozen=True, tag="plan"):
    """`planned` is packed by itself: whoever cannot read it goes by what it believes."""

    planned: bytes


Report: TypeAlias = (
    Job | JobList | RequestList | PlanReport | Done | PeerFacts | LogPage | HappeningList
)

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)


def pack_order(order: Order) -> bytes:
    return _ENCODER.encode(order)


def unpack_order(data: bytes) -> Order | None:
    """None for what is none, or one that only newer peers know."""
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
