"""The fleet as a table of text, as wide as there is room for. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture

from .fitting import fitted


@dataclass(frozen=True, slots=True)
class Column:
    """From a narrow terminal those that do not stay go, the last one first."""

    head: str
    cell: Callable[[PeerPicture], str]
    stays: bool = False
    is_number: bool = False
    is_wide: bool = False


def _name(peer: PeerPicture) -> str:
    return f"{peer.name} *" if peer.is_asked else peer.name


_COLUMNS = (
    Column("PEER", _name, stays=True),
    Column("STATE", lambda peer: peer.state, stays=True),
    Column("DEVICE", wording.devices),
    Column("MEMORY", wording.memory, stays=True, is_number=True),
    Column("UTIL", wording.utilisation, is_number=True),
    Column("RUN", wording.running, is_number=True),
    Column("WAIT", wording.waiting, is_number=True),
    Column("MODELS", wording.models, stays=True),
    Column("TOK/S", wording.tokens_per_s, is_number=True),
    Column("SEEN", wording.seen, is_number=True),
    Column("ADDRESS", lambda peer: peer.api or wording.NOTHING, is_wide=True),
    Column("VERSION", lambda peer: peer.build or wording.NOTHING, is_wide=True),
    Column("KEY", lambda peer: peer.key_used or wording.NOTHING, is_wide=True),
    Column("ROLES", lambda peer: ", ".join(peer.roles) or wording.NOTHING, is_wide=True),
)


def fleet_table(picture: FleetPicture, *, width: int | None, is_wide: bool) -> list[str]:
    """Lines: what there is in all, a row for each peer, a sentence for each that is silent.

    Without a `width` nothing is left out.
    """
    columns = [column for column in _COLUMNS if is_wide or not column.is_wide]
    rows = fitted(
        [column.head for column in columns],
        [[column.cell(peer) for column in columns] for peer in picture.peers],
        width=width,
        leave=[column.head for column in reversed(columns) if not column.stays],
        numbers=[column.head for column in columns if column.is_number],
        listing="MODELS",
    )
    worries = wording.worries(picture)
    return ["   ".join(wording.heading(picture)), "", *rows, *([""] if worries else []), *worries]
