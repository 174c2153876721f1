"""The fleet as a program sees it that looks on from outside: values read from a peer's JSON.

Fields that the reader does not know are passed over. None stands for what nobody has told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, cast, get_args

from .reading import Told, dict_of, list_of, read, text

PeerWord = Literal["up", "loading", "draining", "suspect", "dead", "left"]
_PEER_WORDS: tuple[str, ...] = get_args(PeerWord)


@dataclass(frozen=True, slots=True)
class DevicePicture:
    """`utilisation` is a share of the time, from 0 to 1."""

    name: str
    memory_bytes: int
    free_bytes: int | None
    utilisation: float | None = None


@dataclass(frozen=True, slots=True)
class ModelPicture:
    """A model in an engine, or on its way there: `state` is ready, loading or unloading."""

    id: str
    state: str
    percent: int | None
    computes_in: Annotated[str, Told(or_else="")]
    size_bytes: Annotated[int, Told(or_else=0)]
    running: int | None
    waiting: int | None
    is_pinned: Annotated[bool, Told("pinned")] = False


@dataclass(frozen=True, slots=True)
class LoadPicture:
    running: Annotated[int, Told("inflight")]
    waiting: Annotated[int, Told("queued")]
    decode_tokens_per_s: int
    first_token_ms: Annotated[int, Told(or_else=0)]
    age_s: float


def _peer_word(value: Any) -> PeerWord:
    """A newer peer may know more words; that it is neither gone nor silent we would hear."""
    state = text(value)
    return cast(PeerWord, state) if state in _PEER_WORDS else "up"


def _ids(value: Any) -> tuple[str, ...]:
    return tuple(text(dict_of(each).get("id")) for each in list_of(value))


@dataclass(frozen=True, slots=True)
class PeerPicture:
    """`stored` are the ids of the models on its disk. `silent_s` is when it was last heard of.
    `protocol` is the oldest and the newest minor version that it speaks; `key_used` and `keys_held`
    are names of fleet keys.
    """

    node: str
    name: str
    state: Annotated[PeerWord, Told(read=_peer_word)]
    is_asked: bool
    api: str | None
    address: str | None
    devices: Annotated[tuple[DevicePicture, ...], Told(or_else=())]
    models: Annotated[tuple[ModelPicture, ...], Told(or_else=())]
    stored: Annotated[tuple[str, ...], Told(read=_ids, or_else=())]
    load: LoadPicture | None
    silent_s: Annotated[float, Told(or_else=0.0)]
    build: Annotated[str, Told(or_else="")]
    roles: Annotated[tuple[str, ...], Told(or_else=())]
    num_cores: Annotated[int, Told("cores", or_else=0)]
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
    notices: Annotated[tuple[str, ...], Told(or_else=())]

    @property
    def asked(self) -> PeerPicture | None:
        """The peer whose view this is."""
        return next((peer for peer in self.peers if peer.is_asked), None)


def read_picture(told: Mapping[str, Any]) -> FleetPicture:
    """Raises ValueError where no peer can have said that."""
    return PictureReader().read(told)


class PictureReader:
    """Reads one picture after the other, and of each only what is told anew: peers that are the
    very same object as in the last one are as they were, and so are lists of what peers store.
    """

    def __init__(self) -> None:
        self._asked = ""
        # By the object's identity; it is kept, so that no other takes its place.
        self._known: dict[int, tuple[dict[str, Any], PeerPicture]] = {}
        self._stored: dict[int, tuple[str, ...]] = {}

    def read(self, told: Mapping[str, Any]) -> FleetPicture:
        """Raises ValueError where no peer can have said that."""
        asked = text(told.get("self"))
        known = self._known if asked == self._asked else {}
        peers = [dict_of(peer) for peer in list_of(told.get("peers"))]
        seen = {id(peer): known.get(id(peer)) or (peer, self._peer(peer, asked)) for peer in peers}
        self._asked, self._known = asked, seen
        self._stored = {id(told.get("stored")): peer.stored for told, peer in seen.values()}
        picture = read(FleetPicture, {**told, "peers": []})
        return replace(picture, peers=tuple(seen[id(peer)][1] for peer in peers))

    def _peer(self, told: dict[str, Any], asked: str) -> PeerPicture:
        keys = dict_of(told.get("keys", {}))
        more = {"is_asked": told.get("node") == asked}
        more |= {"key_used": keys.get("used"), "keys_held": keys.get("held")}
        stored = self._stored.get(id(told.get("stored")))
        if stored is None:
            return read(PeerPicture, told | more)
        return replace(read(PeerPicture, told | more | {"stored": None}), stored=stored)
