"""The hop's messages as bytes, and back. It knows no sockets."""

from __future__ import annotations

from typing import get_args

import msgspec

from cortex.engine.frames import FrameError

from .messages import Message

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_KNOWN = frozenset(kind.__name__ for kind in get_args(Message))


class _Kind(msgspec.Struct):
    type: str


_KIND = msgspec.msgpack.Decoder(_Kind)
_NOT_OURS = (msgspec.MsgspecError, ValueError, RecursionError)


def pack(message: Message) -> bytes:
    return _ENCODER.encode(message)


def unpack(data: bytes | bytearray) -> Message | None:
    """The message, or None for one of a kind that only newer peers know.

    Raises FrameError for bytes that hold none.
    """
    try:
        return _DECODER.decode(data)
    except _NOT_OURS as error:
        if _is_of_unknown_kind(data):
            return None
        raise FrameError(f"no message: {error}") from error


def _is_of_unknown_kind(data: bytes | bytearray) -> bool:
    try:
        return _KIND.decode(data).type not in _KNOWN
    except _NOT_OURS:
        return False
