"""Messages on a socket: a four-byte big-endian length, then one msgpack map.

A Struct becomes a map of its fields; a message also carries its class name under "type". Unknown
fields are ignored (a newer sender) but for those of a ChatRequest, missing ones fall back to their
defaults, and anything else that does not fit raises FrameError.
"""

from __future__ import annotations

import asyncio
import functools
import mmap
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from . import messages
from .errors import CortexError, ErrorInfo

T = TypeVar("T")
_HEADER_BYTES = 4
# One frame holds at most one prompt: its pictures decoded, with room for the ids.
MAX_FRAME_BYTES = 512 * 1024 * 1024
# A frame over this holds pictures: what it says is not copied, nor is it read in one go.
LARGE_BYTES = 1024 * 1024
# So much of a large frame is taken over at a time.
_PIECE_BYTES = 256 * 1024

Buffer = bytes | bytearray | memoryview

_ENCODER = msgspec.msgpack.Encoder()
_MESSAGES: msgspec.msgpack.Decoder[messages.Message] = msgspec.msgpack.Decoder(messages.Message)


class FrameError(CortexError):
    """Bytes on a process socket that are not one of our messages."""


def pack_value(value: msgspec.Struct | ErrorInfo) -> bytes:
    """One Struct or error, without its name: the reader must know what it is."""
    return _ENCODER.encode(value)


def unpack_value(cls: type[T], data: bytes | msgspec.Raw) -> T:
    """The Struct again. Its views are of the data.

    Raises FrameError where the bytes do not hold one.
    """
    return cast(T, _unpacked(_decoder(cls), data, cls.__name__))


def pack_message(message: messages.Message) -> bytearray:
    """One framed message, ready to be written."""
    frame = bytearray(_HEADER_BYTES)
    _ENCODER.encode_into(message, frame, _HEADER_BYTES)
    frame[:_HEADER_BYTES] = (len(frame) - _HEADER_BYTES).to_bytes(_HEADER_BYTES, "big")
    return frame


def pack_parts(message: messages.Message) -> tuple[Buffer, ...]:
    """As `pack_message`, in parts to be written one after the other: a large prompt is one of them,
    where it lies.

    It is the last of its message's fields, and nothing is packed in the place of an empty one.
    """
    if not isinstance(message, messages.Prepared | messages.Generate):
        return (pack_message(message),)
    prompt = memoryview(message.prompt)
    if len(prompt) <= LARGE_BYTES:
        return (pack_message(message),)
    head = pack_message(replace(message, prompt=msgspec.Raw()))
    size_bytes = len(head) - _HEADER_BYTES + len(prompt)
    head[:_HEADER_BYTES] = size_bytes.to_bytes(_HEADER_BYTES, "big")
    return head, prompt


def unpack_message(body: Buffer) -> messages.Message:
    """The message in a frame's body; a prompt in it is a view of that.

    Raises FrameError for an unknown type or a body that does not fit it.
    """
    return cast(messages.Message, _unpacked(_MESSAGES, body, "a frame"))


async def read_message(reader: asyncio.StreamReader) -> messages.Message | None:
    """The next message, or None where the other side has closed.

    Raises FrameError for a frame over the size limit or one that is not ours.
    """
    try:
        size_bytes = _body_bytes(await reader.readexactly(_HEADER_BYTES))
        if size_bytes <= LARGE_BYTES:
            return unpack_message(await reader.readexactly(size_bytes))
        body = _LargeBody(size_bytes)
        while body.num_missing:
            piece = await reader.readexactly(min(body.num_missing, _PIECE_BYTES))
            body.take(piece)
        return unpack_message(body.view)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


class FrameSplitter:
    """Bytes as they come, and the messages in them as soon as they are whole."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._large: _LargeBody | None = None

    def split(self, data: bytes) -> Iterator[messages.Message]:
        """The messages that these bytes complete.

        Raises FrameError for a frame over the size limit or one that is not ours.
        """
        self._held += data
        while (body := self._take_frame()) is not None:
            yield unpack_message(body)

    def _take_frame(self) -> Buffer | None:
        """The next whole frame's body, or None where it has not come yet."""
        if self._large is not None:
            return self._take_large(self._large)
        if len(self._held) < _HEADER_BYTES:
            return None
        size_bytes = _body_bytes(self._held[:_HEADER_BYTES])
        end = _HEADER_BYTES + size_bytes
        if size_bytes > LARGE_BYTES:
            del self._held[:_HEADER_BYTES]
            self._large = _LargeBody(size_bytes)
            return self._take_large(self._large)
        if len(self._held) < end:
            return None
        body = self._held[_HEADER_BYTES:end]
        del self._held[:end]
        return body

    def _take_large(self, large: _LargeBody) -> memoryview | None:
        piece = self._held[: large.num_missing]
        large.take(piece)
        del self._held[: len(piece)]
        if large.num_missing:
            return None
        self._large = None
        return large.view


class _LargeBody:
    """Where a large frame's body comes together piece by piece, and stays: what is unpacked of it
    are views.

    Its memory is the system's own: only what was filled takes any, and where many bytes would be
    cleared, moved or cut in one go, all others of the event loop would wait.
    """

    def __init__(self, size_bytes: int) -> None:
        self.num_missing = size_bytes
        self._room = memoryview(
            mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        )

    @property
    def view(self) -> memoryview:
        return self._room.toreadonly()

    def take(self, piece: bytes | bytearray) -> None:
        start = len(self._room) - self.num_missing
        self._room[start : start + len(piece)] = piece
        self.num_missing -= len(piece)


def _body_bytes(header: bytes | bytearray) -> int:
    size_bytes = int.from_bytes(header, "big")
    if size_bytes > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {size_bytes} bytes is over {MAX_FRAME_BYTES}")
    return size_bytes


def _unpacked(decoder: msgspec.msgpack.Decoder[Any], data: Buffer | msgspec.Raw, name: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"{name}: {error}") from error


@functools.cache
def _decoder(cls: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cls)
