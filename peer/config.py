"""How a peer is set up. Defaults are written once, here; where values come from is not known here.

Directories arrive as fields: the command line reads `os.environ`, and nothing else does. The hub
finds its proxies, and whoever looks for a program or a home folder finds that, through the standard
library.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from cortex.engine.wishes import (
    USUAL_PIXELS,
    DtypeWish,
    EngineChoice,
    ModelWishes,
    PixelWishes,
    Wishes,
)

from .bounds.limits import ConnectionLimits, Limits
from .locations import HubConfig, Locations
from .models.names import ModelNames

if TYPE_CHECKING:
    from .keys.access import ApiKey

# "none" is a peer that makes no tokens of its own: a gateway; that is no engine to choose.
EngineKind = EngineChoice | Literal["none"]
# Under "lru" the longest idle goes first; under "priority" only models of the same class or a lower
# one go at all.
Strategy = Literal["lru", "priority"]
LogLevel = Literal["warning", "info", "debug"]
LogFormat = Literal["text", "json"]

T = TypeVar("T")

DEFAULT_PORT = 13131
# The logger of requests, which `cortex peer` shows whatever else it shows.
REQUEST_LOG = "cortex.peer.api.request_log"
# That of settings that have changed, which is shown as well.
RELOAD_LOG = "cortex.peer.serving.reloading"
# That of all that happens.
CHRONICLE_LOG = "cortex.peer.observing.chronicle"
# A busy default port gives way to one of the next so many: odd ones for the API, even ones for the
# fleet, so that neither takes the other's.
NUM_DEFAULT_PORTS = 32
# Where peers talk to each other.
FLEET_PORT = 13132
# Those of a gateway: its API, and the numbers that are told without a key.
GATEWAY_PORT = 31313
METRICS_PORT = 31314


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """How this peer meets others.

    `port` None means the default one or the next free, for UDP and TCP alike. `join` are HOST:PORT
    of peers to try for ever; `advertise` is HOST:PORT that others are told to use. `name` is what
    people call this peer. `mdns_interfaces` None means those that look usable.
    """

    name: str
    key_file: Path
    host: str = "0.0.0.0"
    port: int | None = None
    join: tuple[str, ...] = ()
    has_mdns: bool = True
    mdns_interfaces: tuple[str, ...] | None = None
    advertise: str | None = None


@dataclass(frozen=True, slots=True)
class EvictionConfig:
    """When a model goes. `idle_ttl_s` None keeps idle models until their place is wanted. One that
    was loaded stays for `min_residency_s`, unless it has been idle for as long as loading it took.
    After `defrag_after_cycles` loads and unloads of a device its engine process is started anew.
    """

    strategy: Strategy = "lru"
    idle_ttl_s: float | None = 600.0
    min_residency_s: float = 30.0
    defrag_after_cycles: int = 50


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the operator says of one model; what is None or empty is left to the peer.

    `pinned` and `home` are True, or names of the peers where they hold. `source` is a folder.
    `idle_ttl_s` is infinite for one that stays.
    """

    id: str
    source: Path | None = None
    aliases: tuple[str, ...] = ()
    priority: int = 0
    pinned: bool | tuple[str, ...] = False
    home: bool | tuple[str, ...] = False
    devices: tuple[int, ...] = ()
    dtype: DtypeWish | None = None
    context_tokens: int | None = None
    max_slots: int | None = None
    idle_ttl_s: float | None = None
    is_preloaded: bool = False
    min_pixels: int | None = None
    max_pixels: int | None = None

    def is_pinned_on(self, peer_name: str) -> bool:
        return _holds(self.pinned, peer_name)

    def is_at_home_on(self, peer_name: str) -> bool:
        return _holds(self.home, peer_name)


def _holds(where: bool | tuple[str, ...], peer_name: str) -> bool:
    return where if isinstance(where, bool) else peer_name in where


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """The budget of pixels of a picture, which is scaled to fit; larger ones than
    `max_image_pixels` are refused.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    max_image_pixels: int = USUAL_PIXELS.max_image_pixels


@dataclass(frozen=True, slots=True)
class Card:
    """One that engines may use. `number` is that of the driver's tool, and `id` what
    CUDA_VISIBLE_DEVICES calls it, or the slice of it that is ours. `capability` is what it can
    compute, such as 8.6; empty where nobody tells.
    """

    number: int
    id: str
    name: str
    capability: str = ""

    @property
    def device(self) -> str:
        return f"cuda:{self.number}"

    @property
    def is_slice(self) -> bool:
        return self.id.startswith("MIG-")


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """Everything one peer is told when it starts.

    `models_dirs` are searched first, in order. `port` None means `default_port` or the next free.
    With a `metrics_host` numbers and health are told on a port of their own too, without keys;
    `metrics_port` None means the default one or the next free.
    `embedded_dir` replaces the model that ships inside the package. `preload` names models to load
    at the start. `python` runs the children, of which one computes on each of the `devices`, as
    cpu or cuda:N, where N is the number of one of the `cards`. `cpu_threads` None is one a core,
    and `memory_bytes`, of each device, None most of a GPU's, and on a CPU a share of what is free
    at the start. `wishes` say how models are computed.
    Without `keys` everybody may ask; `admin_keys` open the routes that steer the peer.
    Without a `fleet` it cannot be served. `cold_wait_s` is how long a request that does not stream
    waits for a model that is being loaded.
    `max_concurrent`, `requests_per_minute` and `tokens_per_minute` bound each key that has no
    bounds of its own; `lets_anonymous_in` is whether others than those with keys may ask too.
    """

    locations: Locations
    hub: HubConfig = field(default_factory=HubConfig)
    models_dirs: tuple[Path, ...] = ()
    embedded_dir: Path | None = None
    preload: tuple[str, ...] = ()
    engine: EngineKind = "torch"
    fake_script: Path | None = None
    fake_token_interval_ms: int = 0
    python: str = sys.executable
    devices: tuple[str, ...] = ("cpu",)
    cards: tuple[Card, ...] = ()
    cpu_threads: int | None = None
    memory_bytes: int | None = None
    wishes: Wishes = field(default_factory=Wishes)
    host: str = "127.0.0.1"
    port: int | None = None
    default_port: int = DEFAULT_PORT
    metrics_host: str | None = None
    metrics_port: int | None = None
    # None is the model's own.
    context_limit_tokens: int | None = None
    # What an engine computes at one time is bounded by its memory: the others wait in its queue.
    max_live_requests: int = 256
    # Questions for the length of a prompt: short work, of which one client asks much at once.
    max_live_counts: int = 256
    # So many texts of one call for vectors are under way at a time, each as a request.
    vector_lanes: int = 8
    max_body_bytes: int = 64 * 1024 * 1024
    # All bodies being read or answered at one time: one slow client must not cost gigabytes.
    max_intake_bytes: int = 512 * 1024 * 1024
    # All prompts, pictures as pixels, from the text process's word to the answer's end, and all
    # vectors that wait for the others of their call. None is a share of the memory that is free.
    max_prepared_bytes: int | None = None
    drain_s: float = 30.0
    child_start_s: float = 120.0
    child_silence_s: float = 3.0
    # A device that has work and finishes no step, nor a piece of a load, in this time is wedged.
    # The slowest step that is served: 512 tokens of a prompt through 9 billion parameters in
    # float32 take 47 s on two cores at 200 GFLOP/s (measured with a 0.6 billion parameter shape:
    # 164 tokens/s). The first step on a GPU compiles for tens of seconds.
    step_deadline_s: float = 120.0
    # How often a request is sent again to a new engine after the one that had it died.
    max_replays: int = 2
    # An engine that keeps dying is started again at ever longer intervals, up to this. Pictures
    # that break the text process come from strangers: they may not hold up others for long.
    longest_engine_rest_s: float = 10.0
    longest_text_rest_s: float = 1.0
    # A client that sends nothing for so long in the middle of a body has gone.
    body_stall_s: float = 30.0
    names: ModelNames = field(default_factory=ModelNames)
    keys: tuple[ApiKey, ...] = ()
    admin_keys: tuple[ApiKey, ...] = ()
    lets_anonymous_in: bool = False
    max_concurrent: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    limits: Limits = field(default_factory=Limits)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    cors_origins: tuple[str, ...] = ()
    fleet: FleetConfig | None = None
    eviction: EvictionConfig = field(default_factory=EvictionConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    models: tuple[ModelConfig, ...] = ()
    cold_wait_s: float = 120.0
    log_level: LogLevel = "warning"
    log_format: LogFormat = "text"

    def model(self, model_id: str) -> ModelConfig:
        """What holds of a model, with what the operator says of all where nothing is said of it."""
        said = next((one for one in self.models if one.id == model_id), ModelConfig(model_id))
        return replace(
            said,
            context_tokens=_first(said.context_tokens, self.context_limit_tokens),
            idle_ttl_s=_first(said.idle_ttl_s, self.eviction.idle_ttl_s),
            min_pixels=_first(said.min_pixels, self.vision.min_pixels),
            max_pixels=_first(said.max_pixels, self.vision.max_pixels),
        )

    def wishes_for(self, model_id: str) -> ModelWishes:
        """How this model is computed, where not as all are, and how large its pictures are made."""
        model = self.model(model_id)
        pixels = PixelWishes(model.min_pixels, model.max_pixels, self.vision.max_image_pixels)
        return ModelWishes(model.dtype, pixels)

    @property
    def is_gateway(self) -> bool:
        """Whether it only passes requests on: it has no engine, no models and no children."""
        return self.engine == "none"

    @property
    def engine_devices(self) -> tuple[str, ...]:
        """Those that an engine computes on, each with a process of its own."""
        return () if self.is_gateway else self.devices

    def card_of(self, device: str) -> Card | None:
        return next((card for card in self.cards if card.device == device), None)


def _first(one: T | None, other: T | None) -> T | None:
    return other if one is None else one
