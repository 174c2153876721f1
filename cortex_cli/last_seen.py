"""What a command last saw: names for TAB, which asks no network, and the fleet for the dashboard,
which shows it until somebody has answered.

It is only ever a help: a file that cannot be written or read is none. A shell evaluates what it is
offered, so that a name of anything but plain characters is not kept.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortex.peer.onlooker.asking import Sight

_NAME = "last-seen.json"
_FRESH_S = 3600.0
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
_MOST_NAMES = 5000


@dataclass(frozen=True, slots=True)
class FleetSeen:
    """What a peer told of its fleet, as `GET /fleet` does, at that Unix time."""

    seen_s: int
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LastSeen:
    """Models on any disk or device, peers, and the addresses of their APIs."""

    models: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    fleet: FleetSeen | None = None


def seen_in(sight: Sight, now_s: float) -> LastSeen:
    """`now_s` is the Unix time."""
    peers = sight.picture.peers
    return LastSeen(
        tuple(name for peer in peers for name in (*(m.id for m in peer.models), *peer.stored)),
        tuple(peer.name for peer in peers),
        tuple(peer.api for peer in peers if peer.api),
        FleetSeen(int(now_s), sight.told),
    )


def keep(cache_dir: Path | None, seen: LastSeen, now_s: float) -> None:
    """`now_s` is the Unix time. Of what this look did not show, the one before is kept."""
    from cortex.peer.private_file import write_private

    before = asdict(last_seen(cache_dir, now_s))
    kept = {kind: each or before[kind] for kind, each in asdict(seen).items()}
    if cache_dir is not None:
        with contextlib.suppress(OSError):
            write_private(cache_dir / _NAME, json.dumps({"seen_s": int(now_s), **kept}))


def last_seen(cache_dir: Path | None, now_s: float) -> LastSeen:
    """Nothing, where nothing is kept that is younger than an hour."""
    if cache_dir is None:
        return LastSeen()
    try:
        kept: Any = json.loads((cache_dir / _NAME).read_bytes())
        if not 0 <= now_s - kept["seen_s"] < _FRESH_S:
            return LastSeen()
        models, peers, addresses = (_plain(kept[kind]) for kind in ("models", "peers", "addresses"))
        fleet: Any = kept.get("fleet")
        if fleet is not None and 0 <= now_s - fleet["seen_s"] < _FRESH_S:
            told = FleetSeen(fleet["seen_s"], dict(fleet["told"]))
        else:
            told = None
        return LastSeen(models, peers, addresses, told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return LastSeen()


def _plain(names: Iterable[Any]) -> tuple[str, ...]:
    plain = {name for name in names if isinstance(name, str) and _PLAIN.fullmatch(name)}
    return tuple(sorted(plain)[:_MOST_NAMES])
