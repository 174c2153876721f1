"""What a peer tells of itself to whoever looks closely: how its devices are filled, how fast it
is, what has happened. The JSON of the API has the names that stand here.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ..gossip.ids import U63
from ..observing.chronicle import Happening

_Word = Annotated[str, Meta(max_length=16)]


class Describe(Struct, frozen=True, tag="describe"):
    """How are you, closely?"""


class ReadLog(Struct, frozen=True, tag="log"):
    """The lines of the log behind that number, no older than `age_s`, of that level at least; as
    many of them as go into one page. Older peers know only `since_s`, a Unix time.
    """

    after: U63 = 0
    since_s: float = 0.0
    level: _Word = "info"
    age_s: float | None = None


class WatchHappenings(Struct, frozen=True, tag="happenings"):
    """What happens there: a report at once, and at each change one with the last that happened.

    With `is_whole` also what that peer saw of others.
    """

    is_whole: bool = False


class Part(Struct, frozen=True, rename={"num_bytes": "bytes"}):
    """`what` is weights, cache, states, image, work or other."""

    what: str
    num_bytes: int


class PlacedFacts(Struct, frozen=True):
    id: str
    state: str
    parts: tuple[Part, ...]


class DeviceFacts(Struct, frozen=True):
    """`foreign_bytes` are other programs', or kept back for the driver: with what the models have
    and what is free they are all of `memory_bytes`. Where the operator gives less than the GPU has,
    that is what is given, and the GPU itself has `whole_bytes`.
    """

    name: str
    kind: str
    memory_bytes: int
    free_bytes: int
    foreign_bytes: int
    models: tuple[PlacedFacts, ...]
    utilisation: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    whole_bytes: int | None = None


class RatesFacts(Struct, frozen=True):
    """Speeds are those of all requests together, in the last seconds; the rest is of the last five
    minutes.
    """

    decode_tokens_per_s: float
    prompt_tokens_per_s: float
    running: int
    waiting: int
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    cached_ratio: float | None
    requests_5m: int
    errors_5m: int
    failovers_5m: int
    evictions_5m: int


class RoundTripFacts(Struct, frozen=True):
    peer: str
    ms: float


class EventFacts(Struct, frozen=True, rename={"time_s": "time"}):
    """`time_s` is of Unix."""

    time_s: float
    text: str


class PeerFacts(Struct, frozen=True, tag="facts"):
    """`name` is what the peer itself is called by itself."""

    node: str
    name: str
    version: str
    uptime_s: float
    api: str | None
    key_id: str
    devices: tuple[DeviceFacts, ...]
    rates: RatesFacts
    round_trips: tuple[RoundTripFacts, ...]
    events: tuple[EventFacts, ...]


class HappeningList(Struct, frozen=True, tag="happenings"):
    """The newest last."""

    happenings: Annotated[tuple[Happening, ...], Meta(max_length=64)]
