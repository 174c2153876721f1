"""The table of models: what stands in its columns. Nothing here knows of widgets."""

from __future__ import annotations

from rich.cells import cell_len

from cortex.peer.onlooker import model_wording as wording
from cortex.peer.onlooker.model_rows import ModelRow, ModelWord
from cortex.peer.onlooker.pictures import PeerWord

from .columns import Cell, Column, Table, fit, number_column, plain, words_column
from .look import Look

# A model's state looks like that of a peer of which as much is to be expected.
_LOOKS_LIKE: dict[ModelWord, PeerWord] = {
    "warm": "up",
    "loading": "loading",
    "pull": "loading",
    "waiting": "suspect",
    "unloading": "draining",
    "failed": "dead",
    "disk": "left",
    "no room": "dead",
}
_ORDER = tuple(_LOOKS_LIKE)


def _name(row: ModelRow, look: Look, num_cells: int) -> Cell:
    """Whatever of a name is cut, what tells two models of one name apart stays."""
    name, at, weights = row.model.id.rpartition("@")
    if not name:
        return Cell(fit(row.model.id, num_cells, look))
    return Cell(fit(name, num_cells - cell_len(at + weights), look) + at + weights)


def _state(row: ModelRow, look: Look, num_cells: int) -> Cell:
    """In few cells a load says how far it is, and a pinned model that it is."""
    symbol, words = look.symbol(_LOOKS_LIKE[row.state]), wording.state(row)
    if len(words) + 2 > num_cells:
        words = words.removeprefix("warm, ").removeprefix("loading ")
    return Cell(f"{symbol} {words}", look.state_style(_LOOKS_LIKE[row.state]))


def _images(row: ModelRow) -> str:
    return "yes" if row.model.sees_images else "no" if row.model.is_somewhere else ""


def _load_s(row: ModelRow) -> float:
    return float("inf") if row.eta_s is None else row.eta_s


def _searched(row: ModelRow) -> str:
    model = row.model
    peers = [place.peer for place in (*model.warm, *model.cold)]
    return " ".join((model.id, *model.aliases, row.state, wording.state(row), *peers))


MODELS: Table[ModelRow] = Table(
    (
        Column("MODEL", (16, 32), _name, lambda row: row.model.id),
        number_column("SIZE", (9, 9), wording.size, lambda row: -row.model.size_bytes),
        number_column("CONTEXT", (7, 7), wording.context, lambda row: -row.model.context_tokens),
        Column("IMG", (3, 3), plain(_images), lambda row: not row.model.sees_images),
        Column("STATE", (11, 15), _state, lambda row: _ORDER.index(row.state), stands_out=True),
        words_column("WHERE", (15, 30), wording.where),
        number_column("LOAD", (4, 6), wording.load_time, _load_s),
        number_column("REQS", (4, 6), wording.requests, lambda row: -row.running - row.waiting),
    ),
    key=lambda row: row.model.id,
    searched=_searched,
    is_dim=lambda row: row.state == "no room",
)
