"""The figures that the membership protocol is held to, measured in virtual time.

Small fleets in the quick run, larger ones in the slow one. The figures and their bars are those
that `python -m bench.fleet` writes down; what is not a figure stands below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bench.fleet.__main__ import measured
from bench.fleet.figures import Measure, false_deaths, met, newcomers, restarts
from bench.fleet.large import measured_apart
from bench.fleet.plan import LARGE, SIZES, measures_of
from bench.fleet.simulator import Fleet
from cortex.peer.gossip.members import State

QUICK_SIZES = (3, 10)


def planned() -> Iterator[Any]:
    for size in SIZES:
        for measure, loss, seeds in measures_of(size):
            is_long = measure is false_deaths and (size < 10 or loss > 0.2)
            is_quick = size in QUICK_SIZES and not is_long
            marks = () if is_quick else (pytest.mark.slow,)
            name = f"{measure.__name__}-{size}-{loss:g}"
            yield pytest.param(measure, size, loss, seeds, id=name, marks=marks)


@pytest.mark.parametrize(("measure", "size", "loss", "seeds"), list(planned()))
def test_a_fleet_is_as_fast_and_as_quiet_as_it_must_be(
    measure: Measure, size: int, loss: float, seeds: Sequence[int]
) -> None:
    figures = measure(size, loss, seeds, met)
    assert figures
    assert [figure for figure in figures if not figure.is_met] == []


def test_each_measure_of_a_large_fleet_begins_where_the_fleet_had_met() -> None:
    taken = measured_apart(6, 1, [(restarts, 0.0), (newcomers, 0.0), (restarts, 0.0)])
    assert taken[:2] == taken[4:] == restarts(6, 0.0, (1,))


@pytest.mark.slow
def test_a_thousand_are_as_fast_and_as_quiet_as_they_must_be() -> None:
    assert [figure for figure in measured(LARGE) if not figure.is_met] == []


def test_a_peer_that_stalls_is_believed_dead_and_returns_accusing_nobody() -> None:
    fleet = Fleet(10, seed=13)
    fleet.stall(4, 20.0)
    fleet.run(19.0)
    assert all(fleet.state(peer.index, 4) is State.DEAD for peer in fleet.peers if peer.index != 4)
    fleet.run(6.0)
    assert fleet.all_see_all()
    assert fleet.deaths_of_the_living() == 1
    assert fleet.peers[4].events["Resumed"] == 1


@pytest.mark.parametrize("seed", range(1, 8))
def test_two_who_have_looked_for_each_other_in_vain_for_long_meet_within_a_minute(
    seed: int,
) -> None:
    fleet = Fleet(2, seed)
    fleet.seed(0, 1)
    fleet.split({0})
    fleet.run(600.0 + 7.0 * seed)
    assert fleet.state(0, 1) is fleet.state(1, 0) is State.DEAD
    fleet.heal()
    assert fleet.run_until(fleet.all_see_all, 120.0) <= 61.0


def test_one_way_links_are_bridged_by_the_others() -> None:
    fleet = Fleet(5, seed=14)
    fleet.network.one_way_cut = {(0, 1)}
    fleet.run(120.0)
    assert fleet.deaths_of_the_living() == 0


def test_of_two_clones_one_takes_another_name() -> None:
    fleet = Fleet(5, seed=15)
    fleet.clone(4, 3)
    fleet.seed(4, 0)
    fleet.run(60.0)
    assert fleet.node(3) != fleet.node(4)
    assert fleet.all_see_all()


def test_two_clones_without_anybody_else_part_too() -> None:
    fleet = Fleet(2, seed=16, is_met=False)
    fleet.clone(1, 0)
    fleet.seed(1, 0)
    fleet.run(10.0)
    assert fleet.node(0) != fleet.node(1)
    assert fleet.all_see_all()
