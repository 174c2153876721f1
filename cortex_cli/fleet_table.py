"""The fleet as a table of text, as wide as there is room for. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.aligning import align
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture


@dataclass(frozen=True, slots=True)
class Column:
    """`leaves` is when it goes from a narrow terminal: the highest first, 0 never."""

    head: str
    cell: Callable[[PeerPicture], str]
    leaves: int = 0
    is_number: bool = False
    is_wide: bool = False


def _name(peer: PeerPicture) -> str:
    return f"{peer.name} *" if peer.is_asked else peer.name


_COLUMNS = (
    Column("PEER", _name),
    Column("STATE", lambda peer: peer.state),
    Column("DEVICE", wording.devices, leaves=1),
    Column("MEMORY", wording.memory, is_number=True),
    Column("UTIL", wording.utilisation, leaves=2, is_number=True),
    Column("RUN", wording.running, leaves=3, is_number=True),
    Column("WAIT", wording.waiting, leaves=4, is_number=True),
    Column("MODELS", wording.models),
    Column("TOK/S", wording.tokens_per_s, leaves=5, is_number=True),
    Column("SEEN", wording.seen, leaves=6, is_number=True),
    Column("ADDRESS", lambda peer: peer.api or wording.NOTHING, leaves=7, is_wide=True),
    Column("VERSION", lambda peer: peer.build or wording.NOTHING, leaves=8, is_wide=True),
    Column("KEY", lambda peer: peer.key_used or wording.NOTHING, leaves=9, is_wide=True),
    Column("ROLES", lambda peer: ", ".join(peer.roles) or wording.NOTHING, leaves=10, is_wide=True),
)


def fleet_table(picture: FleetPicture, *, width: int | None, is_wide: bool) -> list[str]:
    """Lines: what there is in all, a row for each peer, a sentence for each that is silent.

    Without a `width` nothing is left out.
    """
    columns = [column for column in _COLUMNS if is_wide or not column.is_wide]
    rows = _rows(columns, picture)
    while width is not None and max(map(len, rows)) > width and any(c.leaves for c in columns):
        columns.remove(max(columns, key=lambda column: column.leaves))
        rows = _rows(columns, picture)
    worries = wording.worries(picture)
    return ["   ".join(wording.heading(picture)), "", *rows, *([""] if worries else []), *worries]


def _rows(columns: list[Column], picture: FleetPicture) -> list[str]:
    return align(
        [column.head for column in columns],
        [[column.cell(peer) for column in columns] for peer in picture.peers],
        [column.is_number for column in columns],
    )
