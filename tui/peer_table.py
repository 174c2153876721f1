"""The table of peers: what stands in its columns. Nothing here knows of widgets."""

from __future__ import annotations

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.pictures import PeerPicture

from .columns import Cell, Column, Table, fit, number_column, words_column
from .look import Look


def _name(peer: PeerPicture, look: Look, num_cells: int) -> Cell:
    """Whatever of a name is cut, the mark of the peer that is asked stays."""
    mark = " *" if peer.is_asked else ""
    return Cell(fit(peer.name, num_cells - len(mark), look) + mark)


def _state(peer: PeerPicture, look: Look, _: int) -> Cell:
    return Cell(f"{look.symbol(peer.state)} {peer.state}", look.state_style(peer.state))


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
    return Cell(f"{look.bar(share, room)} {words:>{num_cells - room - 1}}", look.bar_style(share))


def _busy(peer: PeerPicture) -> str:
    running, waiting = wording.running(peer), wording.waiting(peer)
    return f"{running}+{waiting}" if waiting not in ("0", wording.NOTHING, "?") else running


def _searched(peer: PeerPicture) -> str:
    models = " ".join(model.id for model in peer.models)
    stored = " ".join(peer.stored)
    return " ".join((peer.name, peer.state, wording.devices(peer), peer.api or "", models, stored))


def _num_asked(peer: PeerPicture) -> int:
    return 0 if peer.load is None else peer.load.running + peer.load.waiting


def _tokens_per_s(peer: PeerPicture) -> float:
    return 0 if peer.load is None else peer.load.decode_tokens_per_s


PEERS: Table[PeerPicture] = Table(
    (
        Column("PEER", (9, 14), _name, lambda peer: peer.name),
        Column("STATE", (10, 10), _state, lambda peer: peer.state, stands_out=True),
        words_column("DEVICE", (12, 18), wording.devices),
        Column("MEMORY", (10, 21), _memory, lambda peer: -_share(peer)),
        number_column(
            "UTIL", (4, 4), wording.utilisation, lambda peer: -(wording.busy_share(peer) or 0)
        ),
        number_column("RUN", (4, 6), _busy, lambda peer: -_num_asked(peer)),
        words_column("MODELS", (14, 23), wording.models),
        number_column("TOK/S", (5, 6), wording.tokens_per_s, lambda peer: -_tokens_per_s(peer)),
        # Of whoever is silent a sentence says so too.
        number_column("SEEN", (0, 5), wording.seen, lambda peer: peer.silent_s),
    ),
    key=lambda peer: peer.node,
    searched=_searched,
    is_dim=lambda peer: peer.state in ("suspect", "dead", "left"),
)
