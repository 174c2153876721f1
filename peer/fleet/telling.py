"""What a peer tells of itself, as the sections of its row and its answers. Pure.

What is too much for a row is told shortened: the first of a list first. Numbers and words are kept
within what the wire takes, whatever they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ..addresses import WILDCARDS, authority, host_of
from ..gossip.ids import ModelId
from ..gossip.messages import SPOKEN, Verdict, Versions
from ..gossip.records import Address, LoadRecord, ModelLoad
from ..gossip.sections import (
    MAX_FEW,
    Catalog,
    Claims,
    Content,
    Hardware,
    Ident,
    Keys,
    LoadedModel,
    Models,
    Policy,
    Reachable,
    pack_content,
)
from ..keys.keyring import Keyring
from ..observing.stays import wait_s
from .membership import OwnState

_MAX_WORD_CHARS = 64
_MAX_NAME_CHARS = 256
_U32 = 0xFFFF_FFFF
_MAX_WAIT_MS = 600_000
_NO_HARDWARE = Hardware((), 0, 0)
# Together what a row takes. The list that is cut where a section is longer.
_MAX_BYTES: dict[type[Content], int] = {
    Ident: 640,
    Hardware: 768,
    Models: 1792,
    Catalog: 64,
    Policy: 192,
    Claims: 448,
    Keys: 128,
}
_LISTS: dict[type[Content], str] = {
    Ident: "addresses",
    Hardware: "devices",
    Models: "models",
    Policy: "roles",
    Claims: "claims",
    Keys: "held",
}


@dataclass(frozen=True, slots=True)
class About:
    """What is true of this peer for as long as it runs.

    `api` is HOST:PORT that its public API listens on, "" where there is none.
    """

    build: str = ""
    system: str = ""
    api: str = ""
    roles: tuple[str, ...] = ()
    hardware: Hardware = _NO_HARDWARE
    versions: Versions = SPOKEN


def ident(name: str, addresses: Sequence[Address], about: About) -> Ident:
    """`addresses` has the best one first."""
    return Ident(
        name=name[:_MAX_WORD_CHARS],
        addresses=tuple(
            Reachable(address.ip, address.port, number) for number, address in enumerate(addresses)
        ),
        versions=(about.versions.lowest, about.versions.highest),
        build=about.build[:_MAX_WORD_CHARS],
        system=about.system[:_MAX_WORD_CHARS],
        api=_api(about.api, addresses)[:_MAX_NAME_CHARS],
    )


def _api(listens: str, addresses: Sequence[Address]) -> str:
    """What listens on every address is reached where the fleet's port is; what listens on those of
    IPv4 alone, at one of them.
    """
    host = host_of(listens)
    if host not in WILDCARDS:
        return listens
    served = (each.ip for each in addresses if host == "::" or ":" not in each.ip)
    return authority(next(served, addresses[0].ip), int(listens.rpartition(":")[2]))


def keys(keyring: Keyring) -> Keys:
    return Keys(keyring.primary.key_id, tuple(key.key_id for key in keyring.trusted))


def sections_of(state: OwnState, about: About, digest: bytes) -> tuple[Content, ...]:
    """All that changes while a peer runs; `digest` names the list of the stored models."""
    return (
        Models(tuple(_bounded(model) for model in state.placed)),
        Catalog(len(state.stored), digest),
        Policy(state.load.is_draining, tuple(role[:_MAX_WORD_CHARS] for role in about.roles)),
        Claims(state.claims),
    )


def verdict(state: OwnState, model: ModelId) -> tuple[Verdict, int]:
    """What would become of one more request for that model, and for how long it would wait."""
    load = state.load
    if load.is_draining:
        return "busy", 0
    if load.num_inflight + load.num_queued >= state.slots:
        return "busy", _wait_ms(state, load)
    if load.has_waiting(model):
        return "queue", _wait_ms(state, load.of(model) or load)
    return "accept", 0


def _wait_ms(state: OwnState, those: LoadRecord | ModelLoad) -> int:
    """Behind those that wait there. While none has ended with that model, its stays are taken to be
    as those with others.
    """
    num_live = those.num_inflight + those.num_queued
    stay_ms = state.stay_ms
    if isinstance(those, ModelLoad):
        stay_ms = state.stays_ms.get(those.model, stay_ms)
    return min(round(wait_s(stay_ms, num_live, those.num_queued)), _MAX_WAIT_MS)


def fitting(content: Content) -> bytes:
    """The section, shortened until it leaves room for the others."""
    name = _LISTS.get(type(content))
    if name is None:
        return pack_content(content)
    items = getattr(content, name)[:MAX_FEW]
    while True:
        data = pack_content(msgspec.structs.replace(content, **{name: items}))
        if not items or len(data) <= _MAX_BYTES[type(content)]:
            return data
        items = items[:-1]


def _bounded(model: LoadedModel) -> LoadedModel:
    return msgspec.structs.replace(
        model,
        name=model.name[:_MAX_NAME_CHARS],
        computes_in=model.computes_in[:_MAX_NAME_CHARS],
        size_mib=count(model.size_mib),
        context_tokens=count(model.context_tokens),
        num_slots=count(model.num_slots),
    )


def count(number: int) -> int:
    """Within what the wire takes."""
    return max(0, min(number, _U32))
