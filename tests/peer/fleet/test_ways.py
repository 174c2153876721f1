"""A peer that one of two ways leads to: said while it is so, and of nobody else."""

from __future__ import annotations

import pytest

from cortex.peer.fleet.notices import Notices
from cortex.peer.fleet.ways import CLOSED_AFTER_S, Ways
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.members import Member, Members, Standing, State
from cortex.peer.gossip.records import Address

YOU = NodeId(b"you you ")
PLACE = Address("10.0.0.2", 13132)
LATER_S = 100.0 + CLOSED_AFTER_S


class Stage:
    def __init__(self) -> None:
        self.members, self.notices = Members(), Notices()
        self.member: Member = self.members.add(YOU, Standing(1, 0, State.ALIVE), 0.0)
        self.ways = Ways(self.members, self.notices, lambda node: "borea")

    def heard(self, at_s: float) -> None:
        self.members.note_heard(self.member, PLACE, at_s)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_who_answers_connections_alone_for_a_while_is_told_of_until_a_datagram_comes(
    stage: Stage,
) -> None:
    stage.heard(90.0)
    stage.ways.had_only_connection(100.0, YOU)
    stage.ways.had_only_connection(LATER_S - 0.1, YOU)
    assert stage.notices.at(LATER_S) == ()
    stage.ways.had_only_connection(LATER_S, YOU)
    [notice] = stage.notices.at(LATER_S)
    assert "borea" in notice and "UDP" in notice
    stage.ways.look()
    assert stage.notices.at(LATER_S) == (notice,)
    stage.heard(LATER_S + 1)
    stage.ways.look()
    assert stage.notices.at(LATER_S + 1) == ()


def test_lost_datagrams_now_and_then_are_no_closed_way(stage: Stage) -> None:
    for at_s in (100.0, LATER_S, LATER_S + 30.0):
        stage.ways.had_only_connection(at_s, YOU)
        stage.heard(at_s + 0.5)
    # The datagram was there first, by a hair: they had been sent together.
    stage.heard(200.0)
    for at_s in (200.1, 200.1 + CLOSED_AFTER_S):
        stage.ways.had_only_connection(at_s, YOU)
    assert stage.notices.at(300.0) == ()


def test_who_answers_datagrams_alone_is_told_of_until_a_connection_comes_about(
    stage: Stage,
) -> None:
    for at_s in (100.0, LATER_S):
        stage.heard(at_s + 0.1)
        stage.ways.had_no_connection(at_s, YOU)
    [notice] = stage.notices.at(LATER_S)
    assert "TCP" in notice
    stage.ways.look()
    assert stage.notices.at(LATER_S) == (notice,)
    stage.ways.had_connection(YOU)
    assert stage.notices.at(LATER_S) == ()


def test_of_who_answers_nothing_or_is_dead_nothing_is_said(stage: Stage) -> None:
    stage.heard(90.0)
    for at_s in (100.0, LATER_S):
        stage.ways.had_no_connection(at_s, YOU)
    assert stage.notices.at(LATER_S) == ()
    for at_s in (100.0, LATER_S):
        stage.ways.had_only_connection(at_s, YOU)
    assert stage.notices.at(LATER_S)
    stage.members.raise_to(stage.member, Standing(1, 0, State.DEAD), LATER_S)
    stage.ways.look()
    assert stage.notices.at(LATER_S) == ()
