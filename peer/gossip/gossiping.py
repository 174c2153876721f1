"""Telling a few random peers what is new, for as long as something is.

Rumours go out on one beat, loads on a slower one. Both stop by themselves when nothing waits, so
an idle fleet is silent but for its probes.
"""

from __future__ import annotations

from msgspec.structs import replace

from .desk import Desk
from .ids import NodeId
from .loads import LOAD_BYTES, differs
from .members import Member
from .packing import trimmed
from .records import LoadRecord


class Gossiper:
    """The two beats of a core, and its own load."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._is_ticking = False
        self._quiet_ticks = 0
        self._load = desk.own.no_load()
        self._refreshes = 0

    def start(self, now_s: float) -> None:
        timing, agenda, rng = self._desk.timing, self._desk.agenda, self._desk.rng
        agenda.at(now_s + rng.random() * timing.load_tick_s, self._tick_loads)
        self._write_load(now_s)
        agenda.at(now_s + timing.first_load_refresh_s, self._write_load)

    def wake(self, now_s: float) -> None:
        """Begin to tell, if there is something to tell and nobody does."""
        desk = self._desk
        if not self._is_ticking and len(desk.rumours):
            self._is_ticking = True
            delay_s = desk.rng.random() * desk.timing.gossip_tick_s
            desk.agenda.at(now_s + delay_s, self._tick)

    def set_load(self, now_s: float, load: LoadRecord) -> None:
        """Our load as it is now; what changes little is told with the next refreshment only."""
        before = self._load
        self._load = load = trimmed(replace(load, node=self._desk.own.node), LOAD_BYTES)
        if differs(before, load):
            self._write_load(now_s)

    def retell_load(self, now_s: float, before: NodeId) -> None:
        """We have another identity: the load is news again, under its name."""
        self._desk.loads.forget(before)
        self._write_load(now_s)

    def own_load(self, now_s: float) -> LoadRecord:
        return self._desk.loads.of(self._desk.own.node, now_s) or self._desk.own.no_load()

    def _write_load(self, now_s: float) -> None:
        own = self._desk.own
        own.load_version += 1
        self._load = replace(self._load, node=own.node, lv=own.load_version, age_ds=0)
        self._desk.loads.learn(self._load, now_s)
        self._refreshes += 1
        refresh = self._refreshes

        def again(at_s: float) -> None:
            if refresh == self._refreshes and not own.has_left:
                self._write_load(at_s)

        self._desk.agenda.at(now_s + self._desk.timing.load_refresh_s, again)

    def _tick(self, now_s: float) -> None:
        desk = self._desk
        self._is_ticking = False
        if not len(desk.rumours):
            return
        for member in self._some(desk.timing.gossip_fanout):
            if len(desk.rumours) and member.reach is not None:
                desk.speaker.gossip(member.reach)
        self._is_ticking = True
        desk.agenda.at(now_s + desk.timing.gossip_tick_s, self._tick)

    def _tick_loads(self, now_s: float) -> None:
        desk = self._desk
        timing = desk.timing
        desk.agenda.at(now_s + timing.load_tick_s, self._tick_loads)
        self._quiet_ticks += 1
        if desk.loads.has_changes:
            fanout = timing.load_fanout
        elif self._quiet_ticks >= timing.quiet_load_ticks:
            fanout = timing.quiet_load_fanout
        else:
            return
        self._quiet_ticks = 0
        chosen = self._some(fanout)
        if not chosen:
            return
        records = desk.loads.take_youngest(timing.load_records, len(chosen), now_s)
        for member in chosen if records else ():
            assert member.reach is not None
            desk.speaker.gossip(member.reach, loads=records)

    def _some(self, fanout: int) -> list[Member]:
        reachable = self._desk.members.reachable()
        return self._desk.rng.sample(reachable, min(fanout, len(reachable)))
