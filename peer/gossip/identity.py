"""Who this peer is: its node, its run, and the generation that its words are of.

`node` names the peer for as long as its state directory lives on one machine, `boot` one run of it,
`gen` rises with every run, `inc` within one. Generations are compared with older ones of the same
node and with nothing else, so that no two clocks need agree. Pure: the file is `node_file`'s, and
whoever holds an identity writes a changed node or generation there before it speaks as that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..keys.fleet_key import RandomBytes
from .envelope import new_boot
from .ids import ID_BYTES, BootId, NodeId

_HIGHEST = 0xFFFF_FFFF
# Two runs under one name within this long of each other both live.
_CLONE_S = 60.0


@dataclass(frozen=True, slots=True)
class StoredNode:
    """What outlives a run. `machine` is a hash of the machine's id, or "" where it has none."""

    node: NodeId
    gen: int
    machine: str


@dataclass(frozen=True, slots=True)
class Identity:
    node: NodeId
    boot: BootId
    gen: int
    inc: int = 0


def new_node(random_bytes: RandomBytes) -> NodeId:
    return NodeId(random_bytes(ID_BYTES))


def next_stored(
    stored: StoredNode | None, machine: str, unix_time_s: int, random_bytes: RandomBytes
) -> StoredNode:
    """What a run that begins now is to be, and must store before it sends anything.

    A state directory that lies on another machine than the one it was made on is a copy: its node
    stays with the original. A clock that jumped back is no matter, because the generation goes on.
    """
    now = min(max(unix_time_s, 0), _HIGHEST)
    if stored is None or stored.gen >= _HIGHEST or _is_moved(stored.machine, machine):
        return StoredNode(new_node(random_bytes), now, machine)
    return StoredNode(stored.node, max(stored.gen + 1, now), machine or stored.machine)


def begun(stored: StoredNode, random_bytes: RandomBytes) -> Identity:
    """The identity of one run."""
    return Identity(stored.node, new_boot(random_bytes), stored.gen)


def refuted(own: Identity, gen: int, inc: int, random_bytes: RandomBytes) -> Identity:
    """Who to be, so that a word about us of this generation and incarnation counts no longer.

    The same identity where it does not count anyway. A word above our generation comes from a later
    run whose state directory was put back to an earlier one.
    """
    if (gen, inc) < (own.gen, own.inc):
        return own
    if gen == own.gen and inc < _HIGHEST:
        return replace(own, inc=inc + 1)
    return _above(own, gen, random_bytes)


def _above(own: Identity, gen: int, random_bytes: RandomBytes) -> Identity:
    """Of a generation above this one; there is none above the highest, and the node is given up."""
    if gen < _HIGHEST:
        return replace(own, gen=gen + 1, inc=0)
    return replace(own, node=new_node(random_bytes), inc=0)


def _is_moved(stored_machine: str, machine: str) -> bool:
    return bool(stored_machine and machine and stored_machine != machine)


class Doubles:
    """Other runs that speak as our node.

    The first may be what a restored backup left behind: we go above it. A second within a minute is
    a living clone, and of two clones the one with the smaller boot takes another name.
    """

    def __init__(self) -> None:
        self._met_at_s: float | None = None

    def meet(
        self, now_s: float, own: Identity, boot: bytes, gen: int, random_bytes: RandomBytes
    ) -> Identity:
        """Who to be after a message as our node, of that boot and generation, has come."""
        if boot == own.boot or gen < own.gen:
            return own
        met_at_s, self._met_at_s = self._met_at_s, now_s
        is_clone = met_at_s is not None and now_s - met_at_s <= _CLONE_S
        if is_clone and own.boot < boot:
            self._met_at_s = None
            return replace(own, node=new_node(random_bytes), inc=0)
        return _above(own, gen, random_bytes)
