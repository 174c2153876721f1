"""The fleet as a program sees it that looks on from outside: values read from a peer's JSON.

Fields that the reader does not know are passed over. None stands for what nobody has told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from .reading import complete, dict_of, list_of, number, optional, text, whole

PeerWord = Literal["up", "loading", "draining", "suspect", "dead", "left"]
_PEER_WORDS: tuple[str, ...] = get_args(PeerWord)


@dataclass(frozen=True, slots=True)
class DevicePicture:
    name: str
    memory_bytes: int
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class ModelPicture:
    """A model in an engine, or on its way there: `state` is ready, loading or unloading."""

    id: str
    state: str
    percent: int | None
    computes_in: str
    size_bytes: int
    running: int | None
    waiting: int | None
    is_pinned: bool = False


@dataclass(frozen=True, slots=True)
class LoadPicture:
    running: int
    waiting: int
    decode_tokens_per_s: int
    first_token_ms: int
    age_s: float

    @property
    def tokens_per_s_now(self) -> int:
        """What a peer tells is how fast it is when it answers, for others to plan by: it goes on
        saying so while it rests.
        """
        return self.decode_tokens_per_s if self.running else 0


@dataclass(frozen=True, slots=True)
class PeerPicture:
    """`stored` are the ids of the models on its disk. `silent_s` is when it was last heard of.
    `protocol` is the oldest and the newest minor version that it speaks; `key_used` and `keys_held`
    are names of fleet keys.
    """

    node: str
    name: str
    state: PeerWord
    is_asked: bool
    api: str | None
    address: str | None
    devices: tuple[DevicePicture, ...]
    models: tuple[ModelPicture, ...]
    stored: tuple[str, ...]
    load: LoadPicture | None
    silent_s: float
    build: str
    roles: tuple[str, ...]
    num_cores: int
    protocol: tuple[int, ...] = ()
    key_used: str = ""
    keys_held: tuple[str, ...] = ()

    @property
    def is_gone(self) -> bool:
        return self.state in ("dead", "left")


@dataclass(frozen=True, slots=True)
class FleetPicture:
    """`fleet` is the name of the fleet's key; empty for a peer on its own."""

    fleet: str
    peers: tuple[PeerPicture, ...]
    notices: tuple[str, ...]

    @property
    def asked(self) -> PeerPicture | None:
        """The peer whose view this is."""
        return next((peer for peer in self.peers if peer.is_asked), None)


def read_picture(told: Mapping[str, Any]) -> FleetPicture:
    """Raises ValueError where no peer can have said that."""
    return PictureReader().read(told)


class PictureReader:
    """Reads one picture after the other, and of each only the peers that are told anew: those that
    are the very same object as in the last one are as they were.
    """

    def __init__(self) -> None:
        self._asked = ""
        # By the object's identity; it is kept, so that no other takes its place.
        self._known: dict[int, tuple[dict[str, Any], PeerPicture]] = {}

    @complete
    def read(self, told: Mapping[str, Any]) -> FleetPicture:
        """Raises ValueError where no peer can have said that."""
        asked = text(told["self"])
        known = self._known if asked == self._asked else {}
        peers = [dict_of(peer) for peer in list_of(told["peers"])]
        read = {id(peer): known.get(id(peer)) or (peer, _peer(peer, asked)) for peer in peers}
        self._asked, self._known = asked, read
        return FleetPicture(
            text(told["fleet"]),
            tuple(read[id(peer)][1] for peer in peers),
            tuple(text(notice) for notice in list_of(told.get("notices", []))),
        )


def _peer(told: dict[str, Any], asked: str) -> PeerPicture:
    node, state, load = text(told["node"]), text(told["state"]), told.get("load")
    keys = dict_of(told.get("keys", {}))
    return PeerPicture(
        node,
        text(told["name"]),
        # A newer peer may know more words; that it is neither gone nor silent we would hear.
        cast(PeerWord, state) if state in _PEER_WORDS else "up",
        node == asked,
        optional(told.get("api"), text),
        optional(told.get("address"), text),
        tuple(_device(dict_of(device)) for device in list_of(told.get("devices", []))),
        tuple(_model(dict_of(model)) for model in list_of(told.get("models", []))),
        tuple(text(dict_of(model)["id"]) for model in list_of(told.get("stored", []))),
        None if load is None else _load(dict_of(load)),
        number(told.get("silent_s", 0.0)),
        text(told.get("build", "")),
        tuple(text(role) for role in list_of(told.get("roles", []))),
        whole(told.get("cores", 0)),
        tuple(whole(version) for version in list_of(told.get("protocol", []))),
        text(keys.get("used", "")),
        tuple(text(key) for key in list_of(keys.get("held", []))),
    )


def _device(told: dict[str, Any]) -> DevicePicture:
    free_bytes = optional(told.get("free_bytes"), whole)
    return DevicePicture(text(told["name"]), whole(told["memory_bytes"]), free_bytes)


def _model(told: dict[str, Any]) -> ModelPicture:
    return ModelPicture(
        text(told["id"]),
        text(told["state"]),
        optional(told.get("percent"), whole),
        text(told.get("computes_in", "")),
        whole(told.get("size_bytes", 0)),
        optional(told.get("running"), whole),
        optional(told.get("waiting"), whole),
        told.get("pinned") is True,
    )


def _load(told: dict[str, Any]) -> LoadPicture:
    return LoadPicture(
        whole(told["inflight"]),
        whole(told["queued"]),
        whole(told["decode_tokens_per_s"]),
        whole(told.get("first_token_ms", 0)),
        number(told["age_s"]),
    )
