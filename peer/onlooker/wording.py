"""What tables say of a peer: one short text a cell, the same at a prompt and in the dashboard."""

from __future__ import annotations

import re
from collections import Counter

from ..units import age, counted, gib
from .pictures import FleetPicture, ModelPicture, PeerPicture

NOTHING = "-"
UNKNOWN = "?"
_LONELY = (
    "No other peer yet. Elsewhere: cortex join KEY (cortex key shows it here), then cortex peer;"
    " where they do not find each other: cortex peer --join HOST:13132."
)
# A peer tells its load when it changes, and every ten seconds: what is older says nothing of now.
STALE_S = 15.0

_MAKER = re.compile(r"^(NVIDIA|AMD|Intel\(R\)) +|(GeForce|Tesla) +")


def heading(picture: FleetPicture) -> list[str]:
    """Which fleet it is, and how much of everything there is."""
    living = [peer for peer in picture.peers if not peer.is_gone]
    loads = [peer.load for peer in living if peer.load is not None and not _is_stale(peer)]
    warm = {m.id for peer in living for m in peer.models if m.state == "ready"}
    num_devices = sum(len(peer.devices) for peer in living)
    return [
        f"fleet {picture.fleet[:8]}" if picture.fleet else "no fleet",
        counted(len(living), "peer"),
        *([counted(num_devices, "device")] if num_devices else []),
        f"{len(warm)} warm",
        f"{sum(load.running for load in loads):,} running",
        f"{sum(load.waiting for load in loads):,} waiting",
    ]


def devices(peer: PeerPicture) -> str:
    """2x H100 80GB, or one by its name, or what computes where there is no such device."""
    if peer.devices:
        kinds = Counter(short_name(device.name) for device in peer.devices)
        return " + ".join(f"{n}x {name}" if n > 1 else name for name, n in kinds.items())
    if "gateway" in peer.roles:
        return "gateway"
    return f"CPU, {counted(peer.num_cores, 'core')}" if peer.num_cores else NOTHING


def short_name(device: str) -> str:
    """Without who made it."""
    return _MAKER.sub("", device)


def used_bytes(peer: PeerPicture) -> int | None:
    """Of all its devices; None where one has not told."""
    used = 0
    for device in peer.devices:
        if device.free_bytes is None:
            return None
        used += max(device.memory_bytes - device.free_bytes, 0)
    return used if peer.devices else None


def memory_bytes(peer: PeerPicture) -> int:
    return sum(device.memory_bytes for device in peer.devices)


def memory(peer: PeerPicture) -> str:
    if not peer.devices:
        return NOTHING
    used = used_bytes(peer)
    return f"{UNKNOWN if used is None else gib(used)}/{gib(memory_bytes(peer))} GiB"


def models(peer: PeerPicture) -> str:
    """Those in its engine, else how many it could load."""
    if peer.models:
        return ", ".join(model(one) for one in peer.models)
    return f"{len(peer.stored)} on disk" if peer.stored else NOTHING


def model(one: ModelPicture) -> str:
    if one.state == "ready":
        return one.id
    if one.state == "loading" and one.percent is not None:
        return f"{one.id} {one.percent}%"
    return f"{one.id} {one.state}"


def running(peer: PeerPicture) -> str:
    return _fresh(peer, None if peer.load is None else peer.load.running)


def waiting(peer: PeerPicture) -> str:
    return _fresh(peer, None if peer.load is None else peer.load.waiting)


def tokens_per_s(peer: PeerPicture) -> str:
    # Nobody decodes nothing a second.
    return _fresh(peer, None if peer.load is None else peer.load.decode_tokens_per_s or None)


def utilisation(peer: PeerPicture) -> str:
    share = busy_share(peer)
    return _fresh(peer, None if share is None else round(share * 100), "%")


def busy_share(peer: PeerPicture) -> float | None:
    """The mean of its devices, as far as their driver tells."""
    shares = [each.utilisation for each in peer.devices if each.utilisation is not None]
    return sum(shares) / len(shares) if shares else None


def seen(peer: PeerPicture) -> str:
    return age(peer.silent_s)


def worries(picture: FleetPicture) -> list[str]:
    """A sentence on each peer that does not answer, and what the asked peer wants known."""
    worries = [words for peer in picture.peers if (words := _worry(peer))]
    is_lonely = picture.fleet and len(picture.peers) == 1
    return [*worries, *([_LONELY] if is_lonely else []), *picture.notices]


def _worry(peer: PeerPicture) -> str:
    if peer.state == "suspect":
        return f"{peer.name} has not answered for {seen(peer)}; the others are asking it again."
    if peer.state == "dead":
        return f"{peer.name} is gone: nobody has heard of it for {seen(peer)}."
    return ""


def _fresh(peer: PeerPicture, number: int | None, unit: str = "") -> str:
    if peer.is_gone or number is None or peer.load is None:
        return NOTHING
    return UNKNOWN if _is_stale(peer) else f"{number:,}{unit}"


def _is_stale(peer: PeerPicture) -> bool:
    return peer.state == "suspect" or (peer.load is not None and peer.load.age_s > STALE_S)
