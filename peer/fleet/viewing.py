"""From what the core believes to the view that everybody else reads. Pure but for a memory.

A peer of which nothing has changed is the same object in the next view, and a view in which
nothing has changed is the same view: who compares by identity does nothing for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ..addresses import host_of, is_loopback
from ..gossip.core import Core
from ..gossip.facts import Facts
from ..gossip.ids import ModelId, NodeId
from ..gossip.members import Standing, State
from ..gossip.records import Address, LoadRecord
from ..gossip.sections import (
    LOADING,
    READY,
    Catalog,
    Claims,
    Content,
    Hardware,
    Ident,
    Keys,
    LoadedModel,
    Models,
    Policy,
)
from .notices import printable
from .reading import our_addresses, read, tcp_addresses
from .view import DeviceView, FleetView, PeerState, PeerView, PlacedModel, StoredModel

MIB = 1024 * 1024
# Who has left is shown for so long, and so is a dead peer where another one goes by its name, or
# went by it later; other dead ones are missed for as long as they are known.
_SHOWN_S = 600.0
# What a view may say too much of a peer's silence before it is put right.
_WRONG_S = 3.0
_MAX_NAME_CHARS = 64
_MAX_ID_CHARS = 256
_READ: tuple[type[Content], ...] = (Ident, Hardware, Models, Catalog, Policy, Claims, Keys)

# The models that a digest names, where they are known.
StoredOf: TypeAlias = Callable[[bytes], tuple[StoredModel, ...] | None]


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that the view of one peer is made of. `is_here` says that it is on this machine, and
    `is_long_dead` that it is shown only where it is missed.
    """

    node: NodeId
    standing: Standing
    is_self: bool
    is_here: bool
    facts: Facts
    addresses: tuple[Address, ...]
    load: LoadRecord | None
    silent_s: float
    since_s: float
    is_long_dead: bool = False


@dataclass(slots=True)
class _Shown:
    """A peer as it was shown last, what it was made of, and what it calls itself."""

    made_of: tuple[Any, ...]
    view: PeerView
    own_name: str


class Viewer:
    def __init__(self, fleet: str, own_node: NodeId) -> None:
        self._fleet = fleet
        self._newest = FleetView(fleet, own_node)
        self._shown: dict[NodeId, _Shown] = {}

    def rename(self, fleet: str) -> None:
        """The fleet is called this from now on."""
        self._fleet = fleet

    def name_of(self, node: NodeId) -> str:
        """What it was called in the newest view."""
        shown = self._shown.get(node)
        return shown.view.name if shown else node.hex()[:8]

    def view(
        self, now_s: float, core: Core, stored_of: StoredOf, notices: tuple[str, ...]
    ) -> FleetView:
        """The newest view: the last one, where nothing has changed since."""
        before = self._newest
        seen = list(_seen(now_s, core))
        self._shown = {each.node: self._show(now_s, each, stored_of) for each in seen}
        missed = self._missed(seen)
        shown = [
            self._shown[each.node] for each in seen if not each.is_long_dead or each.node in missed
        ]
        _name_apart(shown)
        peers = tuple(sorted((each.view for each in shown), key=_order))
        after = FleetView(self._fleet, core.own.node, before.version, peers, notices)
        if not _is_same(before, after):
            self._newest = replace(after, version=before.version + 1)
        return self._newest

    def _missed(self, seen: Sequence[_Seen]) -> set[NodeId]:
        """Of each name the last that has gone, where nobody here goes by it: a machine that was set
        up anew is one machine.
        """
        names = {each.node: self._shown[each.node].own_name for each in seen}
        gone = [each for each in seen if not each.standing.is_reachable]
        last = {names[each.node]: each.node for each in sorted(gone, key=lambda one: one.since_s)}
        here = {names[each.node] for each in seen if each.standing.is_reachable}
        return {node for name, node in last.items() if name not in here}

    def _show(self, now_s: float, seen: _Seen, stored_of: StoredOf) -> _Shown:
        digest = read(Catalog, seen.facts) if seen.facts.version_of(Catalog.SECTION) else None
        before = self._shown.get(seen.node)
        stored = stored_of(digest.digest) if digest else ()
        if stored is None:  # until the new list has come, the old one says more than none
            stored = () if before is None else before.view.stored
        made_of = (
            seen.standing,
            seen.is_self,
            seen.is_here,
            tuple(seen.facts.version_of(kind.SECTION) for kind in _READ),
            seen.addresses,
            None if seen.load is None else seen.load.lv,
            stored,
        )
        if before is None or before.made_of != made_of:
            view = _peer(now_s, seen, stored)
            return _Shown(made_of, view, view.name)
        if not seen.is_self and _is_wrong(now_s, before.view, seen.silent_s):
            aged = replace(before.view, load=seen.load, silent_s=seen.silent_s, made_s=now_s)
            return _Shown(made_of, aged, before.own_name)
        return before


def _is_same(before: FleetView, after: FleetView) -> bool:
    return (
        (before.fleet, before.self_node) == (after.fleet, after.self_node)
        and before.notices == after.notices
        and len(before.peers) == len(after.peers)
        and all(a is b for a, b in zip(before.peers, after.peers, strict=True))
    )


def _seen(now_s: float, core: Core) -> Iterable[_Seen]:
    own = core.own
    load = core.load_of(now_s, own.node)
    ours = our_addresses(own)
    own_ips = {address.ip for address in ours}
    yield _Seen(own.node, own.standing, True, True, own.facts, ours, load, 0.0, 0.0)
    for member in core.members:
        state, is_long = member.standing.state, now_s - member.since_s >= _SHOWN_S
        if not (state is State.LEFT and is_long):
            addresses = tcp_addresses(member, ours)
            reach_ip = addresses[0].ip if addresses else ""
            yield _Seen(
                member.node,
                member.standing,
                False,
                reach_ip in own_ips or is_loopback(reach_ip),
                member.facts,
                addresses,
                core.load_of(now_s, member.node),
                now_s - max(member.heard_s, member.gen_since_s),
                member.since_s,
                is_long_dead=state is State.DEAD and is_long,
            )


def _is_wrong(now_s: float, view: PeerView, silent_s: float) -> bool:
    """Whether a peer has spoken, as the view does not know that says how long it is silent."""
    assert view.made_s is not None
    return view.silent_s + now_s - view.made_s - silent_s >= _WRONG_S


def _peer(now_s: float, seen: _Seen, stored: tuple[StoredModel, ...]) -> PeerView:
    ident, policy = read(Ident, seen.facts), read(Policy, seen.facts)
    hardware, keys = read(Hardware, seen.facts), read(Keys, seen.facts)
    return PeerView(
        node=seen.node,
        gen=seen.standing.gen,
        name=_name(ident, seen.node),
        state=_state(seen, policy),
        is_self=seen.is_self,
        addresses=seen.addresses,
        api=_api(ident, seen) if ident else None,
        build=printable(ident.build, _MAX_NAME_CHARS) if ident else "",
        system=printable(ident.system, _MAX_NAME_CHARS) if ident else "",
        versions=ident.versions if ident else (1, 1),
        key_used=keys.in_use.hex() if keys else "",
        keys_held=tuple(key.hex() for key in keys.held) if keys else (),
        roles=tuple(printable(role, _MAX_NAME_CHARS) for role in policy.roles) if policy else (),
        devices=_devices(hardware, seen.load),
        num_cores=hardware.num_cores if hardware else 0,
        memory_bytes=hardware.memory_bytes if hardware else 0,
        stored=stored,
        placed=_placed(seen.facts, stored),
        load=seen.load,
        silent_s=seen.silent_s,
        made_s=now_s,
    )


def _name(ident: Ident | None, node: NodeId) -> str:
    return (printable(ident.name, _MAX_NAME_CHARS) if ident else "") or node.hex()[:8]


def _api(ident: Ident, seen: _Seen) -> str | None:
    """Where its public API is, unless only its own machine reaches it, and we are on another."""
    api = printable(ident.api, _MAX_ID_CHARS)
    return api if api and (seen.is_here or not is_loopback(host_of(api))) else None


def _state(seen: _Seen, policy: Policy | None) -> PeerState:
    match seen.standing.state:
        case State.SUSPECT:
            return "suspect"
        case State.DEAD:
            return "dead"
        case State.LEFT:
            return "left"
        case State.ALIVE:
            says_so = policy is not None and policy.is_draining
            load_says_so = seen.load is not None and seen.load.is_draining
            return "draining" if says_so or load_says_so else "up"


def _devices(hardware: Hardware | None, load: LoadRecord | None) -> tuple[DeviceView, ...]:
    if hardware is None:
        return ()
    num = len(hardware.devices)
    free = [*((mib * MIB for mib in load.free_mib) if load else ()), *[None] * num]
    busy = [*(load.busy_percents if load else ()), *[None] * num]
    return tuple(
        DeviceView(
            printable(device.name, _MAX_NAME_CHARS),
            device.memory_bytes,
            free_bytes,
            None if percent is None else min(percent / 100, 1.0),
        )
        for device, free_bytes, percent in zip(hardware.devices, free, busy, strict=False)
    )


def _placed(facts: Facts, stored: tuple[StoredModel, ...]) -> tuple[PlacedModel, ...]:
    """What its engine has, and after that what it has said that it will load."""
    models, claims = read(Models, facts), read(Claims, facts)
    percents = {claim.model: min(claim.percent, 100) for claim in (claims.claims if claims else ())}
    engine = tuple(
        _placed_model(model, percents.get(model.model))
        for model in (models.models if models else ())
    )
    told = {model.model for model in engine}
    known = {model.model: model for model in stored}
    claimed = (
        _claimed(model, percent, known.get(model))
        for model, percent in percents.items()
        if model not in told
    )
    return (*engine, *claimed)


def _placed_model(model: LoadedModel, percent: int | None) -> PlacedModel:
    is_loading = model.state == LOADING
    return PlacedModel(
        model=model.model,
        id=printable(model.name, _MAX_ID_CHARS),
        state="loading" if is_loading else "ready" if model.state == READY else "unloading",
        size_bytes=model.size_mib * MIB,
        context_tokens=model.context_tokens,
        computes_in=model.computes_in,
        percent=percent if is_loading else None,
        device=model.device,
        reserved_bytes=model.reserved_mib * MIB,
        num_slots=model.num_slots,
        is_pinned=model.is_pinned,
        priority=model.priority,
    )


def _claimed(model: ModelId, percent: int, stored: StoredModel | None) -> PlacedModel:
    return PlacedModel(
        model=model,
        id=stored.id if stored else model.hex(),
        state="loading",
        size_bytes=stored.size_bytes if stored else 0,
        context_tokens=stored.context_tokens if stored else 0,
        percent=percent,
    )


def _name_apart(shown: Sequence[_Shown]) -> None:
    """Give every peer a name of its own; those that have gone make way for those that are here."""
    here = Counter(each.own_name for each in shown if not each.view.is_gone)
    every = Counter(each.own_name for each in shown)
    for each in shown:
        is_shared = (every if each.view.is_gone else here)[each.own_name] > 1
        name = f"{each.own_name}-{each.view.node.hex()[:4]}" if is_shared else each.own_name
        if each.view.name != name:
            each.view = replace(each.view, name=name)


def _order(view: PeerView) -> tuple[bool, str, NodeId]:
    return not view.is_self, view.name, view.node
