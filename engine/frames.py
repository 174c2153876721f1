"""Messages on a socket: a four-byte big-endian length, then one msgpack map.

A dataclass becomes a map of its fields plus, for a message, its class name under "type". Unpacking
follows the class's own annotations; unknown fields are ignored (a newer sender), missing ones fall
back to their defaults, and anything else that does not fit raises FrameError.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar, cast, get_args

import msgpack

from . import messages
from .errors import CortexError
from .types import Delta, ImagePart, RawText, RawTokens, TextPart

T = TypeVar("T")
_HEADER_BYTES = 4
# One frame holds at most one prompt: 64 MiB of pictures decoded, with room for the ids.
MAX_FRAME_BYTES = 512 * 1024 * 1024

_MESSAGES: dict[str, type[Any]] = {cls.__name__: cls for cls in get_args(messages.Message)}


class FrameError(CortexError):
    """Bytes on a process socket that are not one of our messages."""


def pack_value(value: Any) -> bytes:
    """One dataclass, without its name: the reader must know what it is."""
    return _packb(_to_plain(value))


def unpack_value(cls: type[T], data: bytes) -> T:
    """The dataclass again.

    Raises FrameError where the bytes do not hold one.
    """
    return cast(T, _reader(cls)(_unpackb(data)))


def pack_message(message: messages.Message) -> bytes:
    """One framed message, ready to be written."""
    body = _packb({"type": type(message).__name__, **_to_plain(message)})
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


def unpack_message(body: bytes) -> messages.Message:
    """The message in a frame's body.

    Raises FrameError for an unknown type or a body that does not fit it.
    """
    plain = _unpackb(body)
    if not isinstance(plain, dict):
        raise FrameError("a frame holds no map")
    name = cast(dict[str, Any], plain).get("type")
    if not isinstance(name, str) or name not in _MESSAGES:
        raise FrameError(f"a frame of unknown type {name!r}")
    return cast(messages.Message, _reader(_MESSAGES[name])(plain))


async def read_message(reader: asyncio.StreamReader) -> messages.Message | None:
    """The next message, or None where the other side has closed.

    Raises FrameError for a frame over the size limit or one that is not ours.
    """
    try:
        header = await reader.readexactly(_HEADER_BYTES)
        size_bytes = int.from_bytes(header, "big")
        if size_bytes > MAX_FRAME_BYTES:
            raise FrameError(f"a frame of {size_bytes} bytes is over {MAX_FRAME_BYTES}")
        return unpack_message(await reader.readexactly(size_bytes))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _packb(plain: Any) -> bytes:
    return cast(bytes, msgpack.packb(plain, use_bin_type=True))


def _unpackb(data: bytes) -> Any:
    try:
        return cast(Any, msgpack.unpackb(data, raw=False, strict_map_key=False))
    except (ValueError, TypeError) as error:  # TypeError: a map with a list for a key
        raise FrameError("a frame that is not msgpack") from error


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {f.name: _to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if type(value).__name__ in _TAGGED:
            plain["kind"] = type(value).__name__
        return plain
    if isinstance(value, tuple):
        items = cast(tuple[Any, ...], value)
        if not items or isinstance(items[0], (int, str, bytes, float)):
            return cast(Any, items)
        return [_to_plain(item) for item in items]
    return value


# Members of unions of dataclasses carry their class name as "kind".
_TAGGED = {
    cls.__name__
    for cls in (*get_args(TextPart | ImagePart), *get_args(RawText | RawTokens), *get_args(Delta))
}


@functools.cache
def _reader(hint: Any) -> Callable[[Any], Any]:
    """A function that turns plain msgpack data into a value of the annotated type."""
    if dataclasses.is_dataclass(hint):
        return _dataclass_reader(cast(type[Any], hint))
    origin = typing.get_origin(hint)
    if origin is tuple:
        args = typing.get_args(hint)
        if len(args) == 2 and args[1] is Ellipsis:
            return _sequence_reader(_reader(args[0]), plain=args[0] in (int, str, bytes, float))
        readers = tuple(_reader(a) for a in args)
        return functools.partial(_read_fixed_tuple, readers)
    if origin is typing.Literal:
        return functools.partial(_read_literal, frozenset(typing.get_args(hint)))
    if origin in (typing.Union, types.UnionType):
        return _union_reader(typing.get_args(hint))
    if isinstance(hint, type):
        return functools.partial(_read_scalar, hint)
    raise TypeError(f"frames cannot carry {hint!r}")


def _dataclass_reader(cls: type[Any]) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(cls)
    readers = {f.name: _reader(hints[f.name]) for f in dataclasses.fields(cls)}

    def read(plain: Any) -> Any:
        if not isinstance(plain, dict):
            raise FrameError(f"{cls.__name__}: expected a map")
        fields = cast(dict[str, Any], plain)
        try:
            return cls(**{n: r(fields[n]) for n, r in readers.items() if n in fields})
        except TypeError as error:
            raise FrameError(f"{cls.__name__}: a field is missing") from error

    return read


def _sequence_reader(item: Callable[[Any], Any], *, plain: bool) -> Callable[[Any], Any]:
    def read(values: Any) -> Any:
        if not isinstance(values, list):
            raise FrameError("expected a list")
        elements = cast(list[Any], values)
        return tuple(elements) if plain else tuple(item(v) for v in elements)

    return read


def _read_fixed_tuple(readers: tuple[Callable[[Any], Any], ...], values: Any) -> Any:
    if not isinstance(values, list) or len(cast(list[Any], values)) != len(readers):
        raise FrameError(f"expected a list of {len(readers)}")
    return tuple(r(v) for r, v in zip(readers, cast(list[Any], values), strict=True))


def _read_literal(allowed: frozenset[Any], value: Any) -> Any:
    if value not in allowed:
        raise FrameError(f"{value!r} is none of {sorted(allowed)}")
    return value


def _union_reader(args: tuple[Any, ...]) -> Callable[[Any], Any]:
    if type(None) in args:
        rest = tuple(a for a in args if a is not type(None))
        inner = _reader(rest[0]) if len(rest) == 1 else _union_reader(rest)
        return lambda value: None if value is None else inner(value)
    readers = {a.__name__: _reader(a) for a in args}

    def read(plain: Any) -> Any:
        kind = cast(dict[str, Any], plain).get("kind") if isinstance(plain, dict) else None
        if kind not in readers:
            raise FrameError(f"a part of unknown kind {kind!r}")
        return readers[cast(str, kind)](plain)

    return read


def _read_scalar(cls: type[Any], value: Any) -> Any:
    if cls is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, cls) or (cls is int and isinstance(value, bool)):
        raise FrameError(f"expected {cls.__name__}")
    return value
