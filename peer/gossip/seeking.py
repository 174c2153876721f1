"""Looking for peers that are not heard: seeds, hints, and those that are held dead.

A peer that came back from a partition is found by asking the dead now and then, and by telling
each of them what is said of it. An address is only a suggestion: who answers there with our
challenge introduces himself. Who hears nobody at all may be in a network of strangers, for weeks:
he looks quickly at first and whenever something has changed, and then ever more seldom.
"""

from __future__ import annotations

import math

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
        self._to_try: list[Address] = []  # of a round that comes to each of the silent once
        self._sought_since_s = float("-inf")
        self._due_s = float("inf")

    def start(self, now_s: float) -> None:
        timing, rng = self._desk.timing, self._desk.rng
        self._desk.agenda.at(now_s + rng.random() * timing.reconnect_period_s, self._reconnect)
        self.begin_anew(now_s)

    def begin_anew(self, now_s: float) -> None:
        """Something has changed, and who was not found before may be found now: who hears nobody
        looks quickly again.
        """
        if self._desk.members.num_reachable:
            return
        self._sought_since_s = now_s
        soon_s = now_s + self._desk.timing.lonely_seed_period_s
        if soon_s < self._due_s:
            self._try_seeds_at(soon_s)

    def add_seed(self, now_s: float, address: Address) -> None:
        """Try this address now, and again for ever while nobody answers there."""
        if address not in self._seeds and len(self._seeds) >= self._desk.timing.max_seeds:
            del self._seeds[next(iter(self._seeds))]
        self._seeds[address] = None
        if address not in self._known():
            self.introduce(now_s, address)

    def drop_seed(self, address: Address) -> None:
        """Nobody of ours ought to be there any more."""
        self._seeds.pop(address, None)

    def introduce(self, now_s: float, address: Address) -> None:
        """Say who we are to whoever is at this address, and hear who it is."""
        desk = self._desk
        until_s = now_s + desk.timing.probe_period_s
        desk.pings.ping(address, None, until_s, first=(desk.own.claim(),))

    def _try_seeds_at(self, due_s: float) -> None:
        self._due_s = due_s
        self._desk.agenda.at(due_s, self._try_seeds)

    def _try_seeds(self, now_s: float) -> None:
        if now_s < self._due_s:
            return  # it has been done sooner
        desk, timing = self._desk, self._desk.timing
        rest_s = self._rest_s(now_s)
        is_lonely = desk.members.num_reachable == 0
        known = self._known()
        silent = [address for address in self._seeds if address not in known]
        if silent and not desk.own.has_left:
            for address in self._next_of(silent, MAX_SEEDS_AT_ONCE if is_lonely else 1):
                self.introduce(now_s, address)
        turns_a_round = math.ceil(len(silent) / MAX_SEEDS_AT_ONCE) or 1
        lonely_period_s = max(timing.lonely_seed_period_s, rest_s / turns_a_round)
        self._try_seeds_at(now_s + (lonely_period_s if is_lonely else timing.seed_period_s))

    def _next_of(self, silent: list[Address], at_most: int) -> list[Address]:
        """None comes twice before all have come, each round in an order of its own."""
        left = set(silent)
        self._to_try = [address for address in self._to_try if address in left]
        if not self._to_try:
            self._to_try = self._desk.rng.sample(silent, len(silent))
        chosen, self._to_try = self._to_try[:at_most], self._to_try[at_most:]
        return chosen

    def _rest_s(self, now_s: float) -> float:
        """How long who is silent is left alone; while somebody is heard, it is not long."""
        timing = self._desk.timing
        if self._desk.members.num_reachable:
            return timing.lonely_seed_period_s
        return timing.seeking_rest_s(now_s - self._sought_since_s)

    def _known(self) -> set[Address]:
        own = self._desk.own.address
        alive = (member.published for member in self._desk.members.reachable())
        return {own, *(address for address in alive if address is not None)}

    def _reconnect(self, now_s: float) -> None:
        """With a chance of dead / (alive + 1), but never below the floor, ask one of the dead;
        who has been alone for long asks each of them as seldom as a seed.
        """
        desk = self._desk
        timing = desk.timing
        desk.agenda.at(now_s + timing.reconnect_period_s, self._reconnect)
        dead = [m for m in desk.members if m.standing.state is State.DEAD and m.reach is not None]
        if not dead or desk.own.has_left:
            return
        share = len(dead) / (desk.members.num_reachable + 1)
        seldom = self._rest_s(now_s) / timing.lonely_seed_period_s
        if desk.rng.random() < max(timing.reconnect_floor, share) / seldom:
            self._ask_dead(now_s, desk.rng.choice(dead))

    def _ask_dead(self, now_s: float, member: Member) -> None:
        """If it lives, it refutes what it hears; nothing else brings a peer back."""
        desk = self._desk
        assert member.reach is not None
        first = (self._beliefs.verdict(member), desk.own.claim())
        until_s = now_s + desk.timing.probe_period_s
        desk.pings.ping(member.reach, member.node, until_s, first)
