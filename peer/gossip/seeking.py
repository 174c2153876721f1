"""Looking for peers that are not heard: seeds, hints, and those that are held dead.

A peer that came back from a partition is found by asking the dead now and then, and by telling
each of them what is said of it. An address is only a suggestion: who answers there with our
challenge introduces himself.
"""

from __future__ import annotations

from .beliefs import Beliefs
from .desk import Desk
from .members import Member, State
from .records import Address

MAX_SEEDS_AT_ONCE = 16


class Seeker:
    """The addresses to try, and when."""

    def __init__(self, desk: Desk, beliefs: Beliefs) -> None:
        self._desk = desk
        self._beliefs = beliefs
        self._seeds: dict[Address, None] = {}

    def start(self, now_s: float) -> None:
        timing, rng = self._desk.timing, self._desk.rng
        self._desk.agenda.at(now_s + rng.random() * timing.reconnect_period_s, self._reconnect)
        self._desk.agenda.at(now_s + timing.lonely_seed_period_s, self._try_seeds)

    def add_seed(self, now_s: float, address: Address) -> None:
        """Try this address now, and again for ever while nobody answers there."""
        if address not in self._seeds and len(self._seeds) >= self._desk.timing.max_seeds:
            del self._seeds[next(iter(self._seeds))]
        self._seeds[address] = None
        self.introduce(now_s, address)

    def drop_seed(self, address: Address) -> None:
        """Nobody of ours ought to be there any more."""
        self._seeds.pop(address, None)

    def introduce(self, now_s: float, address: Address) -> None:
        """Say who we are to whoever is at this address, and hear who it is."""
        desk = self._desk
        until_s = now_s + desk.timing.probe_period_s
        desk.pings.ping(address, None, until_s, first=(desk.own.claim(),))

    def _try_seeds(self, now_s: float) -> None:
        desk = self._desk
        silent = [address for address in self._seeds if address not in self._known()]
        is_lonely = desk.members.num_reachable == 0
        if silent and not desk.own.has_left:
            at_once = min(len(silent), MAX_SEEDS_AT_ONCE if is_lonely else 1)
            for address in desk.rng.sample(silent, at_once):
                self.introduce(now_s, address)
        timing = desk.timing
        period_s = timing.lonely_seed_period_s if is_lonely else timing.seed_period_s
        desk.agenda.at(now_s + period_s, self._try_seeds)

    def _known(self) -> set[Address]:
        own = self._desk.own.address
        alive = (member.published for member in self._desk.members.reachable())
        return {own, *(address for address in alive if address is not None)}

    def _reconnect(self, now_s: float) -> None:
        """With a chance of dead / (alive + 1), but never below the floor, ask one of the dead."""
        desk = self._desk
        timing = desk.timing
        desk.agenda.at(now_s + timing.reconnect_period_s, self._reconnect)
        dead = [m for m in desk.members if m.standing.state is State.DEAD and m.reach is not None]
        if not dead or desk.own.has_left:
            return
        share = len(dead) / (desk.members.num_reachable + 1)
        if desk.rng.random() < max(timing.reconnect_floor, share):
            self._ask_dead(now_s, desk.rng.choice(dead))

    def _ask_dead(self, now_s: float, member: Member) -> None:
        """If it lives, it refutes what it hears; nothing else brings a peer back."""
        desk = self._desk
        assert member.reach is not None
        first = (self._beliefs.verdict(member), desk.own.claim())
        until_s = now_s + desk.timing.probe_period_s
        desk.pings.ping(member.reach, member.node, until_s, first)
