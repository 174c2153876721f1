"""The fleet as a program sees it that looks on from outside: values read from a peer's JSON.

The reader believes nothing: what does not fit is a ValueError, and no text can move a terminal's
cursor. Fields that it does not know are passed over. None stands for what nobody has told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args

PeerWord = Literal["up", "loading", "draining", "suspect", "dead", "left"]
_PEER_WORDS: tuple[str, ...] = get_args(PeerWord)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_TEXT_CHARS = 512

T = TypeVar("T")


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
    try:
        asked = _text(told["self"])
        return FleetPicture(
            _text(told["fleet"]),
            tuple(_peer(_dict(peer), asked) for peer in _list(told["peers"])),
            tuple(_text(notice) for notice in _list(told.get("notices", []))),
        )
    except KeyError as error:
        raise ValueError(f"it has no {error}") from None


def _peer(told: dict[str, Any], asked: str) -> PeerPicture:
    node, state, load = _text(told["node"]), _text(told["state"]), told.get("load")
    keys = _dict(told.get("keys", {}))
    return PeerPicture(
        node,
        _text(told["name"]),
        # A newer peer may know more words; that it is neither gone nor silent we would hear.
        cast(PeerWord, state) if state in _PEER_WORDS else "up",
        node == asked,
        _optional(told.get("api"), _text),
        _optional(told.get("address"), _text),
        tuple(_device(_dict(device)) for device in _list(told.get("devices", []))),
        tuple(_model(_dict(model)) for model in _list(told.get("models", []))),
        tuple(_text(_dict(model)["id"]) for model in _list(told.get("stored", []))),
        None if load is None else _load(_dict(load)),
        _number(told.get("silent_s", 0.0)),
        _text(told.get("build", "")),
        tuple(_text(role) for role in _list(told.get("roles", []))),
        _whole(told.get("cores", 0)),
        tuple(_whole(version) for version in _list(told.get("protocol", []))),
        _text(keys.get("used", "")),
        tuple(_text(key) for key in _list(keys.get("held", []))),
    )


def _device(told: dict[str, Any]) -> DevicePicture:
    free_bytes = _optional(told.get("free_bytes"), _whole)
    return DevicePicture(_text(told["name"]), _whole(told["memory_bytes"]), free_bytes)


def _model(told: dict[str, Any]) -> ModelPicture:
    return ModelPicture(
        _text(told["id"]),
        _text(told["state"]),
        _optional(told.get("percent"), _whole),
        _text(told.get("computes_in", "")),
        _whole(told.get("size_bytes", 0)),
        _optional(told.get("running"), _whole),
        _optional(told.get("waiting"), _whole),
        told.get("pinned") is True,
    )


def _load(told: dict[str, Any]) -> LoadPicture:
    return LoadPicture(
        _whole(told["inflight"]),
        _whole(told["queued"]),
        _whole(told["decode_tokens_per_s"]),
        _whole(told.get("first_token_ms", 0)),
        _number(told["age_s"]),
    )


def _optional(value: Any, read: Any) -> Any:
    return None if value is None else read(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} where a text should be")
    return _CONTROLS.sub("", value[:_MAX_TEXT_CHARS])


def _whole(value: Any) -> int:
    return int(_number(value))


def _number(value: Any) -> float:
    # Infinities are numbers to Python's reader of JSON, and to nobody else.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise ValueError(f"{type(value).__name__} where a number should be")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} where a list should be")
    return cast(list[Any], value)


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} where an object should be")
    return cast(dict[str, Any], value)
