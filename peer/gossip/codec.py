"""A message to the bytes inside a datagram, and back.

A field that has its default is left out; a key that is not known is passed over. Decoding has
limits and raises nothing but MessageError, whatever the bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Raw

from cortex.engine.errors import CortexError

from .ids import MAX_ITEMS
from .messages import KEYS, TYPE_KEY, TYPES, Message
from .records import RUMOUR_KINDS, Rumour

MAX_MAP_ITEMS = 32

_Body: TypeAlias = Annotated[dict[int, Raw], Meta(max_length=MAX_MAP_ITEMS)]
_BODY: msgspec.msgpack.Decoder[dict[int, Raw]] = msgspec.msgpack.Decoder(_Body)
_Raws: TypeAlias = Annotated[tuple[Raw, ...], Meta(max_length=MAX_ITEMS)]
_ENCODER = msgspec.msgpack.Encoder()


class MessageError(CortexError):
    """Bytes that are not one of our messages."""


class UnknownType(MessageError):
    """A message of a type that this version does not know: a newer peer's, most likely."""


class _Field(NamedTuple):
    name: str
    key: int
    is_required: bool
    default: Any
    decoder: msgspec.msgpack.Decoder[Any]


def pack(message: Message) -> bytes:
    """The message as it travels, before it is sealed."""
    number = _numbers()[type(message)]
    body: dict[int, Any] = {TYPE_KEY: number}
    for field in _fields(number):
        value = getattr(message, field.name)
        if field.is_required or value != field.default:
            body[field.key] = value
    return _ENCODER.encode(body)


def packed_bytes(value: Any) -> int:
    """How many bytes a record adds to its array."""
    return len(_ENCODER.encode(value))


def unpack(data: bytes) -> Message:
    """The message again.

    Raises MessageError, and UnknownType where only the type is foreign.
    """
    try:
        body = _BODY.decode(data)
        number = msgspec.msgpack.decode(body[TYPE_KEY], type=int)
        if number not in TYPES:
            raise UnknownType(f"there is no message type {number}")
        values = {
            field.name: _decoded(field, body[field.key])
            for field in _fields(number)
            if field.is_required or field.key in body
        }
    except (msgspec.MsgspecError, KeyError, ValueError, RecursionError) as error:
        raise MessageError(f"not a message: {error}") from error
    return TYPES[number](**values)


def _decoded(field: _Field, data: Raw) -> Any:
    try:
        return field.decoder.decode(data)
    except msgspec.ValidationError:
        if field.name != "rumours":
            raise
        return _known_rumours(data)


def _known_rumours(data: Raw) -> tuple[Rumour, ...]:
    """Those that this version has a kind for.

    Raises msgspec.ValidationError where one is of a known kind and does not fit it.
    """
    kinds, rumours, raws = _rumour_decoders()
    items = raws.decode(data)
    return tuple(rumours.decode(item) for item in items if kinds.decode(item).kind in RUMOUR_KINDS)


class _Kind(msgspec.Struct, frozen=True, array_like=True):
    kind: int


@functools.cache
def _rumour_decoders() -> tuple[
    msgspec.msgpack.Decoder[_Kind],
    msgspec.msgpack.Decoder[Rumour],
    msgspec.msgpack.Decoder[tuple[Raw, ...]],
]:
    return (
        msgspec.msgpack.Decoder(_Kind),
        msgspec.msgpack.Decoder(Rumour),
        msgspec.msgpack.Decoder(_Raws),
    )


@functools.cache
def _numbers() -> Mapping[type[Message], int]:
    return {cls: number for number, cls in TYPES.items()}


@functools.cache
def _fields(number: int) -> tuple[_Field, ...]:
    return tuple(
        _Field(
            field.name,
            KEYS[field.name],
            field.default is msgspec.NODEFAULT,
            field.default,
            msgspec.msgpack.Decoder(field.type),
        )
        for field in msgspec.structs.fields(TYPES[number])
    )
