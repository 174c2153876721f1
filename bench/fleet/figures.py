"""What the membership protocol costs and how fast it is, in virtual time, beside what it may cost.

Every function takes the size of a fleet, the share of packets that get lost and some seeds, and
gives figures with their bars. The benchmark writes them down, the tests hold them.
"""

from __future__ import annotations

import math
import random
import statistics
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.members import State
from cortex.peer.gossip.records import Address, ModelLoad, Row, Section
from cortex.peer.gossip.timing import Timing

from .simulator import Fleet

BURST_S = 2


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    unit: str
    size: int
    loss: float
    seeds: tuple[int, ...]
    value: float
    bar: float

    @property
    def is_met(self) -> bool:
        return self.value <= self.bar


# A fleet that has met, from its size, its seed and the share of packets that get lost.
Meet: TypeAlias = Callable[[int, int, float], Fleet]
Measure: TypeAlias = Callable[[int, float, Sequence[int], Meet], list[Figure]]


def met(size: int, seed: int, loss: float) -> Fleet:
    """They meet now. While they do, nothing is lost."""
    return Fleet(size, seed, loss=loss)


def deaths(size: int, loss: float, seeds: Sequence[int], meet: Meet = met) -> list[Figure]:
    """One peer is killed: who doubts it first, and when all know."""
    suspected_s: list[float] = []
    known_s: list[float] = []
    for seed in seeds:
        suspected_after_s, known_after_s = _death_times_s(meet(size, seed, loss))
        suspected_s.append(suspected_after_s)
        known_s.append(known_after_s)
    of, bar_s = ("s", size, loss, tuple(seeds)), _by_size(size, 10, 13, 15, 20)
    return [
        Figure("first suspicion, median", *of, statistics.median(suspected_s), 2.0),
        Figure("first suspicion, worst", *of, max(suspected_s), 5.0),
        Figure("all know of a death, worst", *of, max(known_s), bar_s),
    ]


def false_deaths(size: int, loss: float, seeds: Sequence[int], meet: Meet = met) -> list[Figure]:
    """Ten node-hours for each seed in which nobody dies."""
    verdicts = 0
    for seed in seeds:
        fleet = meet(size, seed, loss)
        fleet.run(10 * 3600.0 / size)
        verdicts += fleet.deaths_of_the_living()
    per_hour = verdicts / 10 / len(seeds)
    bar = 0.0 if loss <= 0.2 else 0.5
    return [Figure("false deaths", "per node-hour", size, loss, tuple(seeds), per_hour, bar)]


def news(size: int, loss: float, seeds: Sequence[int], meet: Meet = met) -> list[Figure]:
    """One peer publishes: when 99 % know, and when all do."""
    most_s: list[float] = []
    all_s: list[float] = []
    for seed in seeds:
        fleet = meet(size, seed, loss)
        fleet.publish(0, 3, b"loaded")
        most_s.append(_time_until_known_s(fleet, math.floor(0.99 * (size - 1))))
        all_s.append(most_s[-1] + _time_until_known_s(fleet, size - 1))
    of = (size, loss, tuple(seeds))
    median_s, bar_s = statistics.median(most_s), 1.5 if size <= 100 else 2.5
    return [
        Figure("a fact reaches 99 %, median", "s", *of, median_s, bar_s),
        Figure("a fact reaches all, worst", "s", *of, max(all_s), 2 * _sync_period_s(size)),
    ]


def newcomers(size: int, loss: float, seeds: Sequence[int], meet: Meet = met) -> list[Figure]:
    """A peer that was dead starts again, with one seed."""
    times_s = [_back_after_s(meet(size, seed, loss), 30.0) for seed in seeds]
    return _of_returns("a newcomer sees all and is seen", size, loss, seeds, times_s)


def restarts(size: int, loss: float, seeds: Sequence[int], meet: Meet = met) -> list[Figure]:
    """A peer that was killed just now starts again, with one seed."""
    times_s = [_back_after_s(meet(size, seed, loss), 1.0) for seed in seeds]
    return _of_returns("a restart's generation is everywhere", size, loss, seeds, times_s)


def _back_after_s(fleet: Fleet, gone_s: float) -> float:
    last = len(fleet.peers) - 1
    fleet.kill(last)
    fleet.run(gone_s)
    fleet.restart(last, seed=0)
    return fleet.run_until(fleet.all_see_all, 30.0)


def _of_returns(
    name: str, size: int, loss: float, seeds: Sequence[int], times_s: Sequence[float]
) -> list[Figure]:
    bars = {"median": (statistics.median(times_s), 2.0)}
    bars["worst"] = (max(times_s), 2 * _sync_period_s(size))
    return [
        Figure(f"{name}, {kind}", "s", size, loss, tuple(seeds), value_s, bar_s)
        for kind, (value_s, bar_s) in bars.items()
    ]


def healing(size: int, loss: float, seeds: Sequence[int], meet: Meet = met) -> list[Figure]:
    """Two halves that do not see each other for a minute, and then do."""
    healed_s: list[float] = []
    bursts: list[float] = []
    for seed in seeds:
        fleet = meet(size, seed, loss)
        fleet.split(set(range(size // 2)))
        fleet.run(60.0)
        assert not nobody_is_held_dead(fleet)
        fleet.heal()
        begun_s, said = fleet.now_s, [fleet.num_bytes]
        while not nobody_is_held_dead(fleet) and fleet.now_s - begun_s < 120:
            fleet.run(0.1)
            said.append(fleet.num_bytes)
        healed_s.append(fleet.now_s - begun_s)
        width = min(BURST_S * 10, len(said) - 1)
        most = max(said[end] - said[end - width] for end in range(width, len(said)))
        bursts.append(most / size / BURST_S)
    bar_s = 5.0 if loss == 0 else 15.0 if loss <= 0.1 else 45.0
    of, said_within = (size, loss, tuple(seeds)), f"most said within {BURST_S} s of healing"
    return [
        Figure("a split of 60 s has healed, worst", "s", *of, max(healed_s), bar_s),
        Figure(said_within, "bytes/s/peer", *of, max(bursts), 30_000),
    ]


def talk(size: int, loss: float, seeds: Sequence[int], meet: Meet = met) -> list[Figure]:
    """What an idle fleet says, and one whose loads change all the time."""
    idle: list[float] = []
    busy: list[float] = []
    ages_s: list[float] = []
    for seed in seeds:
        fleet = meet(size, seed, loss)
        idle.append(_said_in(fleet, 60.0))
        _work(fleet)
        fleet.run(5.0)
        busy.append(_said_in(fleet, 20.0))
        ages_s.append(statistics.mean(_load_ages_s(fleet)))
    of, bar_s = (size, loss, tuple(seeds)), _by_size(size, 0.8, 1.5, 3.0, 15.0)
    return [
        Figure("idle", "bytes/s/peer", *of, max(idle), 1000),
        Figure("busy", "bytes/s/peer", *of, max(busy), 8000 if size <= 100 else 20_000),
        Figure("age of a load record, mean", "s", *of, max(ages_s), bar_s),
    ]


def memory(size: int, loss: float, seeds: Sequence[int], meet: Meet = met) -> list[Figure]:
    """What one peer's table takes for each of the others, whose rows are as large as usual."""
    taken: list[float] = []
    for seed in seeds:
        fleet = Fleet(1, seed)
        core = fleet.peers[0].core
        page = msgspec.msgpack.encode([_usual_row(fleet.rng) for _ in range(size)])
        tracemalloc.start()
        core.on_rows(fleet.now_s, NodeId(bytes(8)), msgspec.msgpack.decode(page, type=list[Row]))
        core.poll()
        taken.append(tracemalloc.get_traced_memory()[0] / size)
        tracemalloc.stop()
        assert len(core.members) == size
    return [Figure("memory", "bytes/peer", size, loss, tuple(seeds), max(taken), 2048)]


def _usual_row(rng: random.Random) -> Row:
    sizes = {1: 97, 2: 82, 3: 142, 4: 12, 5: 30}
    sections = tuple(Section(n, n, rng.randbytes(size)) for n, size in sizes.items())
    node, address = NodeId(rng.randbytes(8)), Address("10.0.0.9", 13132)
    return Row(node, 1_800_000_000, 0, int(State.ALIVE), len(sections), sections, address)


def _death_times_s(fleet: Fleet) -> tuple[float, float]:
    """When somebody suspects a peer that is killed now, and when all know that it is dead."""
    victim, killed_s = len(fleet.peers) - 1, fleet.now_s
    fleet.kill(victim)
    dead_s = fleet.times_of(victim, State.DEAD, killed_s)
    while len(dead_s) < victim and fleet.now_s < killed_s + 60:
        fleet.run(0.5)
        dead_s = fleet.times_of(victim, State.DEAD, killed_s)
    suspected_s = min(fleet.times_of(victim, State.SUSPECT, killed_s).values())
    return suspected_s, max(dead_s.values()) if len(dead_s) == victim else math.inf


def _time_until_known_s(fleet: Fleet, num_peers: int) -> float:
    """That the first peer has loaded."""

    def is_known() -> bool:
        members = [peer.core.members.get(fleet.node(0)) for peer in fleet.peers[1:]]
        return sum(m is not None and m.facts.content(3) == b"loaded" for m in members) >= num_peers

    return fleet.run_until(is_known, 120.0, step_s=0.05)


def _sync_period_s(size: int) -> float:
    """The longest time from one synchronisation of a peer to the next."""
    timing = Timing()
    return timing.sync_every_s(size) * (1 + timing.sync_jitter)


def _said_in(fleet: Fleet, seconds: float) -> float:
    """Bytes a second and peer."""
    fleet.num_bytes = 0
    fleet.run(seconds)
    return fleet.num_bytes / len(fleet.peers) / seconds


def _work(fleet: Fleet, every_s: float = 0.5) -> None:
    """Every peer's load changes all the time."""
    for peer in fleet.live():
        inflight = fleet.rng.randrange(100)
        load = replace(
            peer.core.own.no_load(),
            num_inflight=inflight,
            free_mib=(20_000,),
            models=(ModelLoad(ModelId(b"model..1"), inflight, 2, 3),),
        )
        peer.core.set_load(fleet.now_s, load)
    fleet.at(every_s, lambda: _work(fleet, every_s))


def _load_ages_s(fleet: Fleet) -> list[float]:
    """Of all that is known; a record that is missing counts as a minute old."""
    ages_s: list[float] = []
    for peer in fleet.peers:
        for other in fleet.peers:
            if other is not peer:
                load = peer.core.load_of(fleet.now_s, other.core.own.node)
                ages_s.append(60.0 if load is None else load.age_ds / 10)
    return ages_s


def nobody_is_held_dead(fleet: Fleet) -> bool:
    return all(
        member.standing.state is not State.DEAD
        for peer in fleet.live()
        for member in peer.core.members
    )


def _by_size(size: int, up_to_10: float, up_to_50: float, up_to_100: float, more: float) -> float:
    steps = ((10, up_to_10), (50, up_to_50), (100, up_to_100))
    return next((bar for most, bar in steps if size <= most), more)
