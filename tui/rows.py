"""The table of peers as plain values: which columns, what stands in a cell, which row comes first.

Nothing here knows of widgets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.pictures import PeerPicture

from .look import Look, bar_style, state_style


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """`num_cells` wide on a terminal of 80 columns, and on one of 120.

    `rank` is what rows are sorted by.
    """

    head: str
    num_cells: tuple[int, int]
    cell: Callable[[PeerPicture, Look, int], Cell]
    rank: Callable[[PeerPicture], float | str]
    is_number: bool = False


def _plain(words: Callable[[PeerPicture], str]) -> Callable[[PeerPicture, Look, int], Cell]:
    return lambda peer, look, num_cells: Cell(fit(words(peer), num_cells, look))


def _name(peer: PeerPicture, look: Look, num_cells: int) -> Cell:
    """Whatever of a name is cut, the mark of the peer that is asked stays."""
    mark = " *" if peer.is_asked else ""
    return Cell(fit(peer.name, num_cells - len(mark), look) + mark)


def _state(peer: PeerPicture, look: Look, _: int) -> Cell:
    return Cell(f"{look.symbol(peer.state)} {peer.state}", state_style(peer.state))


def _share(peer: PeerPicture) -> float:
    used, of = wording.used_bytes(peer), wording.memory_bytes(peer)
    return -1.0 if used is None or not of else used / of


def _memory(peer: PeerPicture, look: Look, num_cells: int) -> Cell:
    """A bar, with the bytes beside it where there is room and the percentage elsewhere."""
    share = _share(peer)
    if share < 0:
        return Cell(wording.memory(peer))
    words = wording.memory(peer) if num_cells > 16 else f"{share:.0%}"
    room = num_cells - max(len(words), 4) - 1
    return Cell(f"{look.bar(share, room)} {words:>{num_cells - room - 1}}", bar_style(share))


def _busy(peer: PeerPicture) -> str:
    running, waiting = wording.running(peer), wording.waiting(peer)
    return f"{running}+{waiting}" if waiting not in ("0", wording.NOTHING, "?") else running


COLUMNS = (
    Column("PEER", (9, 14), _name, lambda peer: peer.name),
    Column("STATE", (10, 10), _state, lambda peer: peer.state),
    Column("DEVICE", (12, 20), _plain(wording.devices), lambda peer: wording.devices(peer)),
    Column("MEMORY", (10, 23), _memory, lambda peer: -_share(peer)),
    Column(
        "RUN",
        (4, 6),
        _plain(_busy),
        lambda peer: 0 if peer.load is None else -peer.load.running - peer.load.waiting,
        is_number=True,
    ),
    Column("MODELS", (14, 24), _plain(wording.models), lambda peer: wording.models(peer)),
    Column(
        "TOK/S",
        (5, 6),
        _plain(wording.tokens_per_s),
        lambda peer: 0 if peer.load is None else -peer.load.decode_tokens_per_s,
        is_number=True,
    ),
    Column("SEEN", (4, 5), _plain(wording.seen), lambda peer: peer.silent_s, is_number=True),
)


def row(peer: PeerPicture, look: Look, *, is_wide: bool) -> tuple[Cell, ...]:
    """Numbers end at the right edge. Of one that is silent or gone the state alone stands out."""
    is_gone = peer.state in ("suspect", "dead", "left")
    cells: list[Cell] = []
    for column in COLUMNS:
        num_cells = column.num_cells[is_wide]
        cell = column.cell(peer, look, num_cells)
        text = cell.text.rjust(num_cells) if column.is_number else cell.text
        cells.append(Cell(text, "dim" if is_gone and column.head != "STATE" else cell.style))
    return tuple(cells)


def arranged(
    peers: Sequence[PeerPicture], wanted: str, sort_by: int | None, *, is_reversed: bool
) -> list[PeerPicture]:
    """Those that the filter leaves, in the order of a column; else as they come."""
    words = wanted.lower().split()
    found = [peer for peer in peers if all(word in _searched(peer) for word in words)]
    if sort_by is not None:
        found.sort(key=COLUMNS[sort_by].rank)
    return found[::-1] if is_reversed else found


def _searched(peer: PeerPicture) -> str:
    models = " ".join(model.id for model in peer.models)
    stored = " ".join(peer.stored)
    words = (peer.name, peer.state, wording.devices(peer), peer.api or "", models, stored)
    return " ".join(words).lower()


def fit(text: str, num_cells: int, look: Look) -> str:
    """Cut, and marked as cut."""
    if len(text) <= num_cells:
        return text
    return text[: num_cells - 1] + ("~" if look.is_ascii else "…")
