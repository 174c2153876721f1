"""Messages on a socket: a four-byte big-endian length, then one msgpack map.

A Struct becomes a map of its fields; a message also carries its class name under "type". Unknown
fields are ignored (a newer sender) but for those of a ChatRequest, missing ones fall back to their
defaults, and anything else that does not fit raises FrameError.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import msgspec

from . import messages
from .errors import CortexError, ErrorInfo

T = TypeVar("T")
_HEADER_BYTES = 4
# One frame holds at most one prompt: its pictures decoded, with room for the ids.
MAX_FRAME_BYTES = 512 * 1024 * 1024

_ENCODER = msgspec.msgpack.Encoder()
_MESSAGES: msgspec.msgpack.Decoder[messages.Message] = msgspec.msgpack.Decoder(messages.Message)


class FrameError(CortexError):
    """Bytes on a process socket that are not one of our messages."""


def pack_value(value: msgspec.Struct | ErrorInfo) -> bytes:
    """One Struct or error, without its name: the reader must know what it is."""
    return _ENCODER.encode(value)


def unpack_value(cls: type[T], data: bytes) -> T:
    """The Struct again.

    Raises FrameError where the bytes do not hold one.
    """
    return cast(T, _unpacked(_decoder(cls), data, cls.__name__))


def pack_message(message: messages.Message) -> bytearray:
    """One framed message, ready to be written."""
    frame = bytearray(_HEADER_BYTES)
    _ENCODER.encode_into(message, frame, _HEADER_BYTES)
    frame[:_HEADER_BYTES] = (len(frame) - _HEADER_BYTES).to_bytes(_HEADER_BYTES, "big")
    return frame


def unpack_message(body: bytes | bytearray) -> messages.Message:
    """The message in a frame's body.

    Raises FrameError for an unknown type or a body that does not fit it.
    """
    return cast(messages.Message, _unpacked(_MESSAGES, body, "a frame"))


async def read_message(reader: asyncio.StreamReader) -> messages.Message | None:
    """The next message, or None where the other side has closed.

    Raises FrameError for a frame over the size limit or one that is not ours.
    """
    try:
        header = await reader.readexactly(_HEADER_BYTES)
        return unpack_message(await reader.readexactly(_body_bytes(header)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


class FrameSplitter:
    """Bytes as they come, and the messages in them as soon as they are whole."""

    def __init__(self) -> None:
        self._held = bytearray()

    def split(self, data: bytes) -> Iterator[messages.Message]:
        """The messages that these bytes complete.

        Raises FrameError for a frame over the size limit or one that is not ours.
        """
        self._held += data
        while (body := self._take_frame()) is not None:
            yield unpack_message(body)

    def _take_frame(self) -> bytearray | None:
        """The next whole frame's body, or None where it has not come yet."""
        if len(self._held) < _HEADER_BYTES:
            return None
        end = _HEADER_BYTES + _body_bytes(self._held[:_HEADER_BYTES])
        if len(self._held) < end:
            return None
        body = self._held[_HEADER_BYTES:end]
        del self._held[:end]
        return body


def _body_bytes(header: bytes | bytearray) -> int:
    size_bytes = int.from_bytes(header, "big")
    if size_bytes > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {size_bytes} bytes is over {MAX_FRAME_BYTES}")
    return size_bytes


def _unpacked(decoder: msgspec.msgpack.Decoder[Any], data: bytes | bytearray, name: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"{name}: {error}") from error


@functools.cache
def _decoder(cls: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cls)
