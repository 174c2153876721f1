"""What a core does about peers that are doubted, have moved, or have said more than it heard."""

from __future__ import annotations

from bench.fleet.simulator import Fleet
from cortex.peer.gossip.events import (
    Send,
    SyncDue,
    TcpPing,
)
from cortex.peer.gossip.members import Standing, State
from cortex.peer.gossip.messages import (
    Ack,
    Gossip,
    Ping,
)
from cortex.peer.gossip.records import (
    Alive,
    Contact,
    Dead,
    Digest,
    Left,
    Row,
    Rumour,
    Section,
    Suspect,
)
from tests.fleet.stage import (
    HER,
    HIM,
    HIS,
    US,
    YOU,
    Stage,
    alive,
    boot_of,
    gossip,
    messages,
    ping,
)


def test_a_boot_whose_datagrams_were_forgotten_must_echo_a_challenge_again(stage: Stage) -> None:
    stage.meet(YOU)
    stage.core.end_session(boot_of(YOU))
    assert stage.hear(gossip(YOU, alive(HIM))) == []
    assert stage.standing(HIM) is None
    stage.meet(YOU)
    stage.hear(gossip(YOU, alive(HIM)))
    assert stage.standing(HIM) == Standing(1, 0, State.ALIVE)


def test_a_doubted_peer_is_asked_at_once_and_judged_within_a_second(stage: Stage) -> None:
    stage.meet(YOU)
    stage.now_s += 0.2
    stage.core.doubt(stage.now_s, YOU)
    stage.core.doubt(stage.now_s, YOU)
    sends, events = stage.poll()
    assert len(messages(sends, Ping)) == 1
    assert [type(event) for event in events] == [TcpPing]
    stage.wait(0.7)
    assert stage.standing(YOU) == Standing(1, 0, State.SUSPECT)


def test_a_doubted_peer_that_answers_over_tcp_stays_alive(stage: Stage) -> None:
    stage.meet(YOU)
    stage.core.doubt(stage.now_s, YOU)
    [asked] = [event for event in stage.poll()[1] if isinstance(event, TcpPing)]
    stage.core.on_tcp_answer(asked.ticket)
    stage.wait(0.7)
    assert stage.standing(YOU) == Standing(1, 0, State.ALIVE)


def test_nobody_is_doubted_who_is_not_known_or_not_there(stage: Stage) -> None:
    stage.meet(YOU)
    stage.hear(gossip(YOU, Left(HIM, 1, 0)))
    for node in (HIM, HER):
        stage.core.doubt(stage.now_s, node)
    assert stage.poll() == ([], [])


def test_a_peer_that_moves_says_so_above_what_was_said_before(stage: Stage) -> None:
    stage.meet(YOU)
    stage.core.move(stage.now_s, HIS)
    told = [rumour for send in stage.wait(1.0) for rumour in rumours_of(send)]
    assert Alive(US, 5, 1, Contact(HIS.ip, HIS.port, 0)) in told


def rumours_of(send: Send) -> tuple[Rumour, ...]:
    return send.message.rumours if isinstance(send.message, Ping | Ack | Gossip) else ()


def test_a_claim_is_passed_on_with_how_much_its_owner_has_written(stage: Stage) -> None:
    """Whoever hears of a peer from others alone must know what it misses of it."""
    stage.meet(YOU)
    claim = Alive(HIM, 1, 0, Contact(HIS.ip, HIS.port, 7))
    stage.hear(gossip(YOU, claim))
    assert claim in [rumour for send in stage.wait(1.0) for rumour in rumours_of(send)]


def test_who_has_written_more_than_came_here_is_synchronised_with_soon(stage: Stage) -> None:
    stage.meet(YOU)
    stage.wait(1.5)
    claim = Alive(HIM, 1, 0, Contact(HIS.ip, HIS.port, 1))
    stage.hear(gossip(YOU, claim))
    stage.wait(0.5)
    assert SyncDue(HIM, HIS) in stage.events
    section = Section(1, 1, b"facts")
    row = Row(HIM, 1, 0, 0, 1, (section,), HIS)
    stage.core.on_rows(stage.now_s, HIM, [row])
    stage.wait(2.0)
    assert stage.events.count(SyncDue(HIM, HIS)) <= 1  # the periodic one


def test_who_never_gives_its_facts_is_not_asked_for_ever(stage: Stage) -> None:
    stage.meet(YOU)
    stage.hear(gossip(YOU, Alive(HIM, 1, 0, Contact(HIS.ip, HIS.port, 1))))
    stage.wait(3.5)
    assert stage.events.count(SyncDue(HIM, HIS)) >= 5
    stage.wait(3.0)
    assert stage.events.count(SyncDue(HIM, HIS)) <= 1


def test_a_synchronised_row_says_what_its_teller_misses_itself() -> None:
    """It knows of writes of the other that it has not."""
    fleet = Fleet(2)
    core = fleet.peers[0].core
    member = core.members.get(fleet.peers[1].core.own.node)
    assert member is not None
    member.announced_ver = member.facts.complete + 3
    nothing = Digest(member.node, 0, 0, 0, 0)
    [row] = core.wanted_rows([nothing])
    assert (row.ver, row.announced_ver) == (member.facts.complete, member.announced_ver)


def test_who_asks_with_an_old_accusation_hears_in_the_answer_that_it_was_refuted(
    stage: Stage,
) -> None:
    """It missed the refutation, which nobody tells any more: else it would be told for ever."""
    stage.meet(YOU)
    stage.hear(gossip(YOU, Suspect(US, 5, 0, YOU)))
    stage.wait(20.0)
    [ack] = messages(stage.hear(ping(YOU, Dead(US, 5, 0, HIM))), Ack)
    assert isinstance(ack, Ack)
    assert [rumour for rumour in ack.rumours if rumour.node == US] == [stage.core.own.claim()]
    assert stage.core.own.standing == (5, 1, State.ALIVE)
