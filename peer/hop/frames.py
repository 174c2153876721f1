"""The hop's messages as bytes, and back. It knows no sockets."""

from __future__ import annotations

from typing import get_args

import msgspec

from cortex.engine.frames import FrameError

from ..gossip.ids import Word
from .messages import Message, Part, Parts, Unread

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_KNOWN = frozenset(kind.__name__ for kind in get_args(Message))


_PART = msgspec.msgpack.Decoder(Part)


class _OfRequest(msgspec.Struct):
    request_id: Word


class _Newer(msgspec.Struct):
    """What is read of a message that is not understood."""

    type: str
    request_id: Word | None = None
    parts: tuple[msgspec.Raw, ...] = ()


_NEWER = msgspec.msgpack.Decoder(_Newer)
_OF_REQUEST = msgspec.msgpack.Decoder(_OfRequest)
_NOT_OURS = (msgspec.MsgspecError, ValueError, RecursionError)


def pack(message: Message) -> bytes:
    return _ENCODER.encode(message)


def unpack(data: bytes | bytearray) -> Message | None:
    """The message, or None for one of a kind that only newer peers know. One of a known kind that
    says more than is known here is read as parts that are Unread, each of its request.

    Raises FrameError for bytes that hold none.
    """
    try:
        return _DECODER.decode(data)
    except _NOT_OURS as error:
        try:
            return _read_newer(_NEWER.decode(data))
        except _NOT_OURS:
            raise FrameError(f"no message: {error}") from error


def _read_newer(told: _Newer) -> Message | None:
    if told.type not in _KNOWN:
        return None
    if told.request_id is not None:
        return Parts((Part(told.request_id, Unread()),))
    if not told.parts:
        raise ValueError("it is of no request")
    return Parts(tuple(map(_read_part, told.parts)))


def _read_part(data: msgspec.Raw) -> Part:
    try:
        return _PART.decode(data)
    except msgspec.ValidationError:
        of = _OF_REQUEST.decode(data)
        return Part(of.request_id, Unread())
