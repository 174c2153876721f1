"""The bodies of the routes that steer models."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from ..dialects.decoding import ModelName

PeerName = Annotated[str, Meta(min_length=1, max_length=256)]
_Count = Annotated[int, Meta(ge=1, le=0xFFFF_FFFF)]


class LoadBody(msgspec.Struct, kw_only=True):
    """Without a `peer` this one loads, or where it has no copy, the one that is best for it.
    `context` in tokens and `slots` are chosen from what is free where they are not given. With
    `wait` false the answer is the job. With `force` it is loaded though its plan says that it has
    no place, if the engine takes it.
    """

    model: ModelName
    peer: PeerName | None = None
    context: _Count | None = None
    slots: _Count | None = None
    force: bool | None = None
    wait: bool | None = None


class PlanBody(msgspec.Struct, kw_only=True):
    """What a load of the same words would do. Without a `peer` it is planned for the best one."""

    model: ModelName
    peer: PeerName | None = None
    context: _Count | None = None
    slots: _Count | None = None


class UnloadBody(msgspec.Struct, kw_only=True):
    """`force` ends what the model is answering, and unloads one that is pinned."""

    model: ModelName
    peer: PeerName | None = None
    force: bool | None = None
    wait: bool | None = None


class PullBody(msgspec.Struct, kw_only=True):
    """`model` is a repository of the hub, such as Qwen/Qwen3.5-4B, and `revision` a branch, tag or
    commit of it. Without a `peer` this one gets it.
    """

    model: ModelName
    revision: ModelName | None = None
    peer: PeerName | None = None
    wait: bool | None = None


class PinBody(msgspec.Struct, kw_only=True):
    model: ModelName
    peer: PeerName | None = None


class DrainBody(msgspec.Struct, kw_only=True):
    """Without a `peer` it is this one."""

    peer: PeerName | None = None
