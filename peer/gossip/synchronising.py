"""With whom tables are laid side by side, and when: in turn, with the first who is met, and with
peers that have published more than has arrived here: a rumour of theirs was lost, or came before
its owner was known.

The periodic synchronisation would bring that too. In a small fleet nobody waits for it: the owner
is asked soon. In a large one a few ask, so that a newcomer is not asked by all at once.
"""

from __future__ import annotations

from .desk import Desk
from .events import SyncDue
from .ids import NodeId
from .members import Member

# Out of turn no oftener than this.
SYNC_GAP_S = 1.0
# Rumours that are under way get this long.
PATIENCE_S = 0.3
ROUND_S = 0.5
MAX_TRIES = 5


class Synchroniser:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._synced_s = float("-inf")
        self._tries: dict[NodeId, int] = {}
        self._is_waiting = False

    def start(self, now_s: float) -> None:
        desk = self._desk
        desk.agenda.at(now_s + desk.rng.random() * desk.timing.sync_period_s, self._in_turn)

    def out_of_turn(self, now_s: float, node: NodeId) -> None:
        """Soon, but not with everybody at once."""
        member = self._desk.members.get(node)
        if member is not None and now_s - self._synced_s >= SYNC_GAP_S:
            self._synchronise(now_s, member)

    def fill_gap(self, now_s: float, member: Member) -> None:
        """This peer says of itself that it has written more than we know."""
        self._tries[member.node] = 0
        if not self._is_waiting:
            self._is_waiting = True
            self._desk.agenda.at(now_s + PATIENCE_S, self._fill_gaps)

    def _in_turn(self, now_s: float) -> None:
        timing, rng, members = self._desk.timing, self._desk.rng, self._desk.members
        period_s = timing.sync_every_s(members.num_reachable + 1)
        jitter = 1 + timing.sync_jitter * (2 * rng.random() - 1)
        self._desk.agenda.at(now_s + period_s * jitter, self._in_turn)
        if reachable := members.reachable():
            self._synchronise(now_s, rng.choice(reachable))

    def _fill_gaps(self, now_s: float) -> None:
        desk = self._desk
        behind = [member for node in self._tries if (member := desk.members.get(node))]
        behind = [member for member in behind if member.can_be_asked and member.misses_facts]
        self._tries = {m.node: n for m in behind if (n := self._tries[m.node]) < MAX_TRIES}
        if not self._tries:
            self._is_waiting = False
            return
        desk.agenda.at(now_s + ROUND_S, self._fill_gaps)
        num_peers = desk.members.num_reachable + 1
        if desk.rng.random() * num_peers < desk.timing.sync_flat_below:
            chosen = desk.rng.choice([m for m in behind if m.node in self._tries])
            self._tries[chosen.node] += 1
            self._synchronise(now_s, chosen)

    def _synchronise(self, now_s: float, member: Member) -> None:
        if member.reach is not None:
            self._synced_s = now_s
            self._desk.speaker.emit(SyncDue(member.node, member.reach))
