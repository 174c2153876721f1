"""Peers that have published more than has arrived here: a rumour of theirs was lost, or came before
its owner was known.

The periodic synchronisation would bring it. In a small fleet nobody waits for that: the owner is
asked soon. In a large one a few ask, so that a newcomer is not asked by all at once.
"""

from __future__ import annotations

from collections.abc import Callable

from .desk import Desk
from .ids import NodeId
from .members import Member

# Rumours that are under way get this long.
PATIENCE_S = 0.3
ROUND_S = 0.5
MAX_TRIES = 5


class GapFiller:
    def __init__(self, desk: Desk, synchronise: Callable[[float, Member], None]) -> None:
        self._desk = desk
        self._synchronise = synchronise
        self._tries: dict[NodeId, int] = {}
        self._is_waiting = False

    def note(self, now_s: float, member: Member) -> None:
        """This peer says of itself that it has written more than we know."""
        self._tries[member.node] = 0
        if not self._is_waiting:
            self._is_waiting = True
            self._desk.agenda.at(now_s + PATIENCE_S, self._round)

    def _round(self, now_s: float) -> None:
        desk = self._desk
        behind = [member for node in self._tries if (member := desk.members.get(node))]
        behind = [member for member in behind if member.can_be_asked and member.misses_facts]
        self._tries = {m.node: n for m in behind if (n := self._tries[m.node]) < MAX_TRIES}
        if not self._tries:
            self._is_waiting = False
            return
        desk.agenda.at(now_s + ROUND_S, self._round)
        num_peers = desk.members.num_reachable + 1
        if desk.rng.random() * num_peers < desk.timing.sync_flat_below:
            chosen = desk.rng.choice([m for m in behind if m.node in self._tries])
            self._tries[chosen.node] += 1
            self._synchronise(now_s, chosen)
