"""What stands in the sections of a row. A section travels as bytes, and is read where it is used.

A peer that does not know a section passes it on; one that knows an older form of it reads what it
knows. A section whose bytes do not fit is as good as absent: only its owner is hurt by that.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from .codec import MessageError
from .ids import U8, U32, U63, Ip, Model, Port, Word

# As long as any list in a section may be.
MAX_FEW = 64
_FEW = Meta(max_length=MAX_FEW)
_Name: TypeAlias = Annotated[str, Meta(max_length=256)]


class Reachable(Struct, frozen=True, array_like=True):
    """An address to try; the lowest preference first."""

    ip: Ip
    port: Port
    preference: U8


class Ident(Struct, frozen=True, array_like=True):
    SECTION: ClassVar[int] = 1

    name: Word
    addresses: Annotated[tuple[Reachable, ...], _FEW]
    versions: tuple[U32, U32]
    build: Word
    system: Word
    api: _Name = ""  # HOST:PORT of the public API, "" where it is not told


class Device(Struct, frozen=True, array_like=True):
    name: Word
    memory_bytes: U63


class Hardware(Struct, frozen=True, array_like=True):
    SECTION: ClassVar[int] = 2

    devices: Annotated[tuple[Device, ...], _FEW]
    num_cores: U32
    memory_bytes: U63


# The states of a model in LoadedModel.state.
LOADING, READY, UNLOADING = range(3)


class LoadedModel(Struct, frozen=True, array_like=True):
    """`device` counts the peer's hardware; `reserved_mib` is all that the model may fill there."""

    model: Model
    name: _Name
    state: U8
    size_mib: U32
    context_tokens: U32
    num_slots: U32
    computes_in: _Name = ""
    device: U8 = 0
    reserved_mib: U32 = 0
    is_pinned: bool = False
    priority: int = 0


class Models(Struct, frozen=True, array_like=True):
    SECTION: ClassVar[int] = 3

    models: Annotated[tuple[LoadedModel, ...], _FEW] = ()


class Catalog(Struct, frozen=True, array_like=True):
    """How many models are on disk; the digest names the list of them, which is fetched."""

    SECTION: ClassVar[int] = 4

    num_models: U32
    digest: Annotated[bytes, Meta(max_length=32)] = b""


class Policy(Struct, frozen=True, array_like=True):
    SECTION: ClassVar[int] = 5

    is_draining: bool
    roles: Annotated[tuple[Word, ...], _FEW] = ()


class Claim(Struct, frozen=True, array_like=True):
    """This peer loads that model, or has requests that wait for it to."""

    model: Model
    percent: U8


class Claims(Struct, frozen=True, array_like=True):
    SECTION: ClassVar[int] = 6

    claims: Annotated[tuple[Claim, ...], _FEW] = ()


_KeyId: TypeAlias = Annotated[bytes, Meta(min_length=4, max_length=4)]


class Keys(Struct, frozen=True, array_like=True):
    """The names of the fleet keys that the peer uses and holds."""

    SECTION: ClassVar[int] = 8

    in_use: _KeyId
    held: Annotated[tuple[_KeyId, ...], _FEW]


Content: TypeAlias = Ident | Hardware | Models | Catalog | Policy | Claims | Keys
C = TypeVar("C", bound=Content)

_ENCODER = msgspec.msgpack.Encoder()


def pack_content(content: Content) -> bytes:
    return _ENCODER.encode(content)


def unpack_content(cls: type[C], data: bytes) -> C:
    """Raises MessageError where the bytes do not hold one."""
    try:
        return cast(C, _decoder(cls).decode(data))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MessageError(f"not the section {cls.__name__}: {error}") from error


@functools.cache
def _decoder(cls: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cls)
