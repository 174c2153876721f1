"""What a peer says that hears nobody, and how soon those who were parted meet again."""

from __future__ import annotations

from collections.abc import Sequence

from cortex.peer.gossip.seeking import MAX_SEEDS_AT_ONCE

from .figures import Figure, Meet, met, nobody_is_held_dead
from .simulator import Fleet


def absences(size: int, loss: float, seeds: Sequence[int], meet: Meet = met) -> list[Figure]:
    """What one says that hears nobody, by how many addresses it remembers; and all are parted for
    ten minutes, or one from the rest, and nothing tells them when they could meet again.
    """
    figures: list[Figure] = []
    of = (size, loss, tuple(seeds))
    for remembered in (2, 6, 40):
        fleets = [_remembering(meet(size, seed, loss), remembered) for seed in seeds]
        said = [_said_alone(fleet) for fleet in fleets]
        parted_s = [
            _found_again_s(_remembering(meet(size, seed, loss), remembered), groups)
            for groups in ({size - 1: 1}, {index: index for index in range(size)})
            for seed in seeds
        ]
        one_away_s, all_apart_s = parted_s[: len(seeds)], parted_s[len(seeds) :]
        knows, most = f"{remembered} addresses", 1.0 * min(remembered, MAX_SEEDS_AT_ONCE) + 1.5
        figures += [
            Figure(f"alone, {knows}, at first", "1/s", *of, max(first for first, _ in said), most),
            Figure(f"alone, {knows}", "1/s", *of, max(later for _, later in said), remembered / 20),
            Figure(f"one is back, {knows}, worst", "s", *of, max(one_away_s), 10.0),
            Figure(f"all were apart, {knows}, worst", "s", *of, max(all_apart_s), 60.0),
        ]
    return figures


def _remembering(fleet: Fleet, num_addresses: int) -> Fleet:
    """Every peer knows those of all others, and of places where nobody is."""
    for peer in fleet.peers:
        nowhere = range(len(fleet.peers), num_addresses + 1)
        for place in (*range(len(fleet.peers)), *nowhere):
            fleet.seed(peer.index, place)
    return fleet


def _said_alone(fleet: Fleet) -> tuple[float, float]:
    """Datagrams a second of the last peer once it has noticed that nobody is there: in half a
    minute at first, and in ten minutes later on.
    """
    for index in range(len(fleet.peers) - 1):
        fleet.kill(index)
    fleet.run(20.0)
    rates: list[float] = []
    for seconds in (30.0, 600.0):
        fleet.num_datagrams = 0
        fleet.run(seconds)
        rates.append(fleet.num_datagrams / seconds)
        fleet.run(120.0)
    return rates[0], rates[1]


def _found_again_s(fleet: Fleet, groups: dict[int, int]) -> float:
    fleet.network.group = groups
    # To no beat: what they do by the minute is at another point of it in every fleet.
    fleet.run(600.0 + fleet.rng.random() * 60.0)
    assert not nobody_is_held_dead(fleet)
    fleet.heal()
    return fleet.run_until(fleet.all_see_all, 120.0)
