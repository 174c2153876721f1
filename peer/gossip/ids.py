"""The small values that every word on the fleet's wire is made of, and the bounds they keep.

A bound here is checked where bytes become Structs; a Struct made by hand is believed.
"""

from __future__ import annotations

from typing import Annotated, NewType

from msgspec import Meta

ID_BYTES = 8
MAX_ITEMS = 512

NodeId = NewType("NodeId", bytes)
BootId = NewType("BootId", bytes)
ModelId = NewType("ModelId", bytes)

_EIGHT_BYTES = Meta(min_length=ID_BYTES, max_length=ID_BYTES)
Node = Annotated[NodeId, _EIGHT_BYTES]
Model = Annotated[ModelId, _EIGHT_BYTES]
Challenge = Annotated[bytes, _EIGHT_BYTES]

U8 = Annotated[int, Meta(ge=0, le=0xFF)]
U32 = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
# As far as msgspec's bounds reach.
U63 = Annotated[int, Meta(ge=0, le=0x7FFF_FFFF_FFFF_FFFF)]
Port = Annotated[int, Meta(ge=1, le=0xFFFF)]
Word = Annotated[str, Meta(max_length=64)]

# Numbers only: a name from the wire would be asked of a resolver, and block whoever sends to it.
_IPV4 = r"\d{1,3}(?:\.\d{1,3}){3}"
_IPV6 = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z_.-]{1,15})?"
Ip = Annotated[str, Meta(max_length=64, pattern=rf"\A(?:{_IPV4}|{_IPV6})\Z")]
