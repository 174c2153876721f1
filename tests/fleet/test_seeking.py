"""One core alone that looks for others: how often, and where."""

from __future__ import annotations

from collections import Counter

import pytest

from cortex.peer.gossip.events import Send
from cortex.peer.gossip.members import State
from cortex.peer.gossip.messages import Ping
from cortex.peer.gossip.records import Address, Dead, Left
from tests.fleet.stage import HIS, US, YOU, YOURS, Stage, gossip, ping


def test_a_seed_that_was_dropped_is_tried_no_more(stage: Stage) -> None:
    stage.core.add_seed(stage.now_s, HIS)
    assert any(send.address == HIS for send in stage.wait(30.0))
    stage.core.drop_seed(HIS)
    stage.wait(2.0)  # what was begun before
    assert not any(send.address == HIS for send in stage.wait(60.0))


def places(number: int) -> list[Address]:
    return [Address("10.1.0.1", port) for port in range(1, number + 1)]


def looked_at(sends: list[Send]) -> Counter[Address]:
    return Counter(send.address for send in sends if isinstance(send.message, Ping))


@pytest.mark.parametrize("number", [1, 16, 40, 200])
def test_who_hears_nobody_looks_quickly_at_first_and_then_at_each_address_once_a_minute(
    stage: Stage, number: int
) -> None:
    for address in places(number):
        stage.core.add_seed(stage.now_s, address)
    first = looked_at(stage.wait(60.0))
    assert sum(first.values()) == pytest.approx(60 * min(number, 16), rel=0.25)
    stage.wait(120.0)
    later = looked_at(stage.wait(3600.0))
    assert set(later) == set(places(number))
    assert set(later.values()) <= {59, 60, 61}


@pytest.mark.parametrize("change", ["another network", "sleep", "an accusation"])
def test_who_was_long_alone_looks_quickly_again_when_something_has_changed(
    stage: Stage, change: str
) -> None:
    stage.meet(YOU)
    stage.core.add_seed(stage.now_s, HIS)
    stage.wait(3600.0)
    match change:
        case "another network":
            stage.core.seek_anew(stage.now_s)
        case "sleep":
            stage.core.was_silent(stage.now_s, 60.0)
        case _:
            stage.hear(ping(YOU, Dead(US, 5, 0, YOU)))
    assert looked_at(stage.wait(50.0))[HIS] >= 49


# What is done by the minute meets the company at another point of it.
@pytest.mark.parametrize("phase_s", [0.0, 10.0, 30.0, 50.0])
@pytest.mark.parametrize("says_goodbye", [False, True], ids=["silent", "goodbye"])
def test_who_loses_everybody_looks_quickly_for_a_minute_however_short_his_company(
    stage: Stage, phase_s: float, says_goodbye: bool
) -> None:
    stage.core.add_seed(stage.now_s, HIS)
    stage.wait(3600.0 + phase_s)
    stage.meet(YOU)
    if says_goodbye:
        stage.hear(gossip(YOU, Left(YOU, 1, 0)))
    else:
        stage.wait(10.0)
    assert stage.core.members.num_reachable == 0
    stage.wait(10.0)
    assert looked_at(stage.wait(30.0))[HIS] >= 29


def test_a_name_whose_addresses_change_all_the_time_is_no_reason_to_look_quickly(
    stage: Stage,
) -> None:
    for address in places(40):
        stage.core.add_seed(stage.now_s, address)
    stage.wait(3600.0)
    said = 0
    for minute in range(10):
        stage.core.drop_seed(Address("10.2.0.1", minute))
        stage.core.add_seed(stage.now_s, Address("10.2.0.1", minute + 1))
        said += looked_at(stage.wait(60.0)).total()
    assert said <= 10 * (40 + 3)


def test_who_is_alone_asks_the_dead_as_seldom_as_the_seeds(stage: Stage) -> None:
    stage.meet(YOU)
    stage.wait(10.0)
    assert stage.standing(YOU) == (1, 0, State.DEAD)
    assert looked_at(stage.wait(30.0))[YOURS] >= 29
    stage.wait(180.0)
    assert 30 <= looked_at(stage.wait(3600.0))[YOURS] <= 90


def test_a_seed_where_somebody_is_met_is_not_asked_who_it_is(stage: Stage) -> None:
    stage.meet(YOU)
    published = stage.core.members.get(YOU)
    assert published is not None and published.published is not None
    stage.core.add_seed(stage.now_s, published.published)
    assert stage.poll()[0] == []
