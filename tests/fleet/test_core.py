"""One core alone, with a test that plays everybody else: what each message does to it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.fleet.simulator import Fleet
from cortex.peer.gossip.codec import pack
from cortex.peer.gossip.core import Core
from cortex.peer.gossip.envelope import MAX_MESSAGE_BYTES
from cortex.peer.gossip.events import (
    IdentityChanged,
    LoadAnswered,
    LoadAsked,
    Refused,
    Resumed,
    Send,
    SyncDue,
    TcpPing,
)
from cortex.peer.gossip.identity import Identity
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.members import State
from cortex.peer.gossip.messages import (
    RELAYED,
    Ack,
    Gossip,
    LoadAnswer,
    LoadQuestion,
    Message,
    Nack,
    Ping,
    PingRequest,
    Refuse,
    Target,
    Versions,
)
from cortex.peer.gossip.records import (
    Alive,
    Dead,
    Fact,
    Left,
    ModelLoad,
    Row,
    Rumour,
    Section,
    Suspect,
)
from cortex.peer.gossip.timing import Timing
from tests.fleet.stage import (
    CHALLENGE,
    HER,
    HIM,
    HIS,
    HOME,
    US,
    YOU,
    YOURS,
    Stage,
    alive,
    boot_of,
    gossip,
    load_of,
    messages,
    ping,
    size_of,
)


def test_a_stranger_is_answered_and_challenged_but_not_believed(stage: Stage) -> None:
    answers = stage.hear(ping(YOU, alive(YOU), alive(HIM)))
    (ack,) = messages(answers, Ack)
    assert isinstance(ack, Ack) and ack.challenge == CHALLENGE
    assert len(answers) == 1 and len(stage.core.members) == 0
    challenges = [m for m in messages(stage.wait(0.15), Ping) if isinstance(m, Ping)]
    assert [challenge.to for challenge in challenges] == [YOU]


def test_whoever_echoes_the_challenge_is_believed_at_once(stage: Stage) -> None:
    stage.meet(YOU)
    assert stage.standing(YOU) == (1, 0, State.ALIVE)
    assert any(isinstance(event, SyncDue) for event in stage.events)
    stage.hear(gossip(YOU, alive(HIM)))
    assert stage.standing(HIM) == (1, 0, State.ALIVE)


def test_an_ack_that_echoes_something_else_makes_nobody_fresh(stage: Stage) -> None:
    stage.core.suggest(0.0, YOURS)
    stage.poll()
    for seq in range(5):
        ack = Ack(
            node=YOU, gen=1, seq=seq, challenge=CHALLENGE, load=load_of(YOU), rumours=(alive(YOU),)
        )
        stage.hear(ack)
    assert len(stage.core.members) == 0


def test_an_ack_counts_once(stage: Stage) -> None:
    stage.core.suggest(0.0, YOURS)
    asked = stage.poll()[0][0].message
    assert isinstance(asked, Ping)
    ack = Ack(node=YOU, gen=1, seq=asked.seq, challenge=asked.challenge, load=load_of(YOU))
    stage.hear(ack)
    stage.hear(replace(ack, rumours=(alive(HIM),)), run=1)
    assert len(stage.core.members) == 0, "another boot has played the same ack"


def test_a_ping_meant_for_another_is_passed_over(stage: Stage) -> None:
    stage.meet(YOU)
    assert stage.hear(ping(YOU, to=HIM)) == []


def test_an_accusation_is_refuted_in_the_very_answer(stage: Stage) -> None:
    stage.meet(YOU)
    (ack,) = messages(stage.hear(ping(YOU, Suspect(US, 5, 0, YOU))), Ack)
    assert isinstance(ack, Ack)
    assert alive_of(ack.rumours, US) == (5, 1)
    (ack,) = messages(stage.hear(ping(YOU, Dead(US, 5, 3, YOU))), Ack)
    assert isinstance(ack, Ack)
    assert alive_of(ack.rumours, US) == (5, 4)


def alive_of(rumours: tuple[Rumour, ...], node: NodeId) -> tuple[int, int] | None:
    found = [(r.gen, r.inc) for r in rumours if isinstance(r, Alive) and r.node == node]
    return found[0] if found else None


def test_an_old_accusation_is_not_worth_an_answer(stage: Stage) -> None:
    stage.meet(YOU)
    stage.hear(gossip(YOU, Suspect(US, 5, 0, YOU)))
    stage.hear(gossip(YOU, Suspect(US, 5, 0, HIM), Dead(US, 4, 99, HIM)))
    assert stage.core.own.standing == (5, 1, State.ALIVE)


def test_a_later_generation_of_ourselves_is_outlived(stage: Stage) -> None:
    stage.meet(YOU)
    stage.hear(gossip(YOU, alive(US, gen=9)))
    assert stage.core.own.gen == 10
    changes = [event for event in stage.events if isinstance(event, IdentityChanged)]
    assert [(change.node, change.gen) for change in changes] == [(US, 10)]


def test_a_living_clone_makes_one_of_us_take_another_name(stage: Stage) -> None:
    for gen in (5, 6):
        stage.hear(Gossip(node=US, gen=gen), run=0xFF)
    assert stage.core.own.node != US


def test_a_verdict_on_whom_we_heard_just_now_is_only_a_doubt(stage: Stage) -> None:
    stage.meet(YOU)
    stage.meet(HIM, HIS)
    sends = stage.hear(gossip(YOU, Dead(HIM, 1, 0, YOU)))
    assert stage.standing(HIM) == (1, 0, State.SUSPECT)
    assert [send.address for send in sends] == [HIS], "it is told, so that it can refute"


def test_whoever_calls_itself_dead_is_not_believed_and_answered_once(stage: Stage) -> None:
    stage.meet(YOU)
    sends = stage.hear(ping(YOU, Dead(YOU, 1, 0, YOU)))
    assert len(sends) == 1 and messages(sends, Ack)
    assert stage.standing(YOU) == (1, 0, State.ALIVE)


def test_a_verdict_on_whom_we_have_not_heard_is_believed(stage: Stage) -> None:
    stage.meet(YOU)
    stage.hear(gossip(YOU, alive(HIM), Dead(HIM, 1, 0, YOU)))
    assert stage.standing(HIM) == (1, 0, State.DEAD)


def test_silence_is_doubted_and_then_called_death(stage: Stage) -> None:
    stage.meet(YOU)
    stage.wait(3.0)
    assert stage.standing(YOU) == (1, 0, State.SUSPECT)
    stage.wait(5.0)
    assert stage.standing(YOU) == (1, 0, State.DEAD)


def test_an_answer_that_waited_while_we_stalled_is_read_before_anybody_is_judged(
    stage: Stage,
) -> None:
    stage.meet(YOU)
    sends: list[Send] = []
    while not messages(sends, Ping):
        sends = stage.wait(0.01)
    (asked,) = messages(sends, Ping)
    assert isinstance(asked, Ping)
    stage.now_s += 2.0
    stage.core.on_timer(stage.now_s)
    assert stage.poll() == ([], []) and stage.core.next_s == pytest.approx(stage.now_s + 0.1)
    stage.hear(Ack(node=YOU, gen=1, seq=asked.seq, challenge=asked.challenge, load=load_of(YOU)))
    stage.wait(0.2)
    assert stage.standing(YOU) == (1, 0, State.ALIVE)


def test_whoever_slept_accuses_nobody_for_a_while_and_says_that_it_is_back(stage: Stage) -> None:
    stage.meet(YOU)
    stage.hear(gossip(YOU, alive(HIM), Suspect(HIM, 1, 0, YOU)))
    stage.now_s += 60.0
    stage.core.on_timer(stage.now_s)
    assert [event.slept_s > 59 for event in stage.poll()[1] if isinstance(event, Resumed)] == [True]
    assert stage.core.own.standing == (5, 1, State.ALIVE)
    stage.wait(3.9)
    assert stage.standing(YOU) == (1, 0, State.ALIVE)
    assert stage.standing(HIM) == (1, 0, State.SUSPECT)
    stage.wait(10.0)
    assert stage.standing(YOU) == stage.standing(HIM) == (1, 0, State.DEAD)


def test_a_probe_is_three_pings_and_then_others_and_tcp(stage: Stage) -> None:
    for node, address in ((YOU, YOURS), (HIM, HIS)):
        stage.meet(node, address)
    sends: list[Send] = []
    while not messages(sends, Ping):
        sends = stage.wait(0.01)
    sends += stage.wait(0.6)
    pinged = [message for message in messages(sends, Ping) if isinstance(message, Ping)]
    assert len(pinged) == 3 and len({ping.challenge for ping in pinged}) == 3
    assert len({ping.to for ping in pinged}) == 1
    assert len(messages(sends, PingRequest)) == 1, "the only other one is asked to help"
    assert sum(isinstance(event, TcpPing) for event in stage.events) == 1


def test_an_answer_over_tcp_is_a_sign_of_life(stage: Stage) -> None:
    stage.meet(YOU)
    for _ in range(40):
        stage.wait(0.25)
        for event in stage.events:
            if isinstance(event, TcpPing):
                stage.core.on_tcp_answer(event.ticket)
    assert stage.standing(YOU) == (1, 0, State.ALIVE)


def test_a_suspect_that_answers_its_last_chance_lives_on_until_it_answers_no_more(
    stage: Stage,
) -> None:
    stage.meet(YOU)
    stage.wait(1.0)
    stage.hear(gossip(YOU))
    stage.meet(HIM, HIS)
    stage.hear(gossip(HIM, Suspect(YOU, 1, 0, HIM)), HIS)
    for _ in range(60):
        stage.wait(0.25)
        for event in stage.events:
            if isinstance(event, TcpPing) and event.node == YOU:
                stage.core.on_tcp_answer(event.ticket)
    assert stage.standing(YOU) == (1, 0, State.SUSPECT)
    stage.wait(6.0)
    assert stage.standing(YOU) == (1, 0, State.DEAD)


def test_whoever_comes_back_from_the_dead_is_synchronised_with_out_of_turn(stage: Stage) -> None:
    stage.meet(YOU)
    stage.core.on_rows(0.0, YOU, [])
    stage.wait(20.0)
    assert stage.standing(YOU) == (1, 0, State.DEAD)
    stage.hear(gossip(YOU, alive(YOU, inc=1)))
    assert [event.node for event in stage.events if isinstance(event, SyncDue)] == [YOU]


def test_a_stranger_gets_no_more_than_ten_answers_a_second(stage: Stage) -> None:
    answers: list[Send] = []
    for _ in range(100):
        answers += stage.hear(ping(YOU))
        answers += stage.wait(0.01)
    assert 5 <= sum(send.address == YOURS for send in answers) <= 11


def test_whoever_we_hold_dead_is_told_so_when_it_speaks_and_not_too_often(stage: Stage) -> None:
    stage.meet(YOU)
    stage.wait(20.0)
    assert stage.standing(YOU) == (1, 0, State.DEAD)
    stage.wait(0.6)
    first = stage.hear(gossip(YOU))
    second = stage.hear(gossip(YOU))
    assert messages(first, Gossip) and not messages(second, Gossip)


def test_help_is_given_to_whoever_asks_for_it(stage: Stage) -> None:
    stage.meet(YOU)
    request = PingRequest(node=YOU, gen=1, seq=9, target=Target(HIM, HIS.ip, HIS.port))
    stage.hear(request)
    sends = stage.wait(0.01)
    relayed = [m for s in sends if s.address == HIS and isinstance(m := s.message, Ping)]
    assert [asked.to for asked in relayed] == [HIM]
    ack = Ack(
        node=HIM, gen=1, seq=relayed[0].seq, challenge=relayed[0].challenge, load=load_of(HIM)
    )
    (answer,) = messages(stage.hear(ack, HIS), Ack)
    assert isinstance(answer, Ack) and answer.seq == 9 and answer.flags & RELAYED
    assert not messages(stage.wait(0.5), Nack)


def test_help_that_finds_nobody_says_so(stage: Stage) -> None:
    stage.meet(YOU)
    stage.hear(PingRequest(node=YOU, gen=1, seq=9, target=Target(HIM, HIS.ip, HIS.port)))
    nacks = messages(stage.wait(0.45), Nack)
    assert [nack.seq for nack in nacks if isinstance(nack, Nack)] == [9]


def test_a_fact_of_another_generation_waits_for_the_next_synchronisation(stage: Stage) -> None:
    stage.meet(YOU)
    stage.hear(gossip(YOU, Fact(YOU, 2, 3, 1, b"later"), Fact(YOU, 1, 3, 1, b"now")))
    member = stage.core.members.get(YOU)
    assert member is not None and member.facts.content(3) == b"now"


def test_a_relayed_load_of_before_a_restart_is_not_taken_for_a_new_one(stage: Stage) -> None:
    stage.meet(YOU)
    stage.now_s = 50.0
    stage.hear(gossip(YOU, alive(HIM, gen=2)))
    stage.now_s = 51.0
    old, new = (replace(load_of(HIM, lv), age_ds=age) for lv, age in ((9, 15), (3, 5)))
    stage.hear(Gossip(node=YOU, gen=1, loads=(old,)))
    assert stage.core.load_of(51.0, HIM) is None
    stage.hear(Gossip(node=YOU, gen=1, loads=(new,)))
    held = stage.core.load_of(51.0, HIM)
    assert held is not None and held.lv == 3


def test_a_verdict_from_a_synchronisation_is_only_a_doubt(stage: Stage) -> None:
    stage.meet(YOU)
    stage.meet(HIM, HIS)
    stage.now_s = 10.0
    stage.core.on_rows(10.0, YOU, [Row(HIM, 1, 0, State.DEAD, 0), Row(HER, 1, 0, State.DEAD, 0)])
    assert stage.standing(HIM) == (1, 0, State.SUSPECT)
    assert stage.standing(HER) == (1, 0, State.DEAD), "we never knew her alive"


def test_a_synchronisation_brings_peers_with_their_facts(stage: Stage) -> None:
    row = Row(HIM, 4, 2, State.ALIVE, 7, (Section(1, 3, b"a"), Section(2, 7, b"b")), HIS)
    stage.core.on_rows(0.0, YOU, [row])
    member = stage.core.members.get(HIM)
    assert member is not None and member.standing == (4, 2, State.ALIVE)
    assert member.reach == HIS and member.facts.complete == 7
    again = stage.core.answer_sync(stage.core.digest())
    assert again == ((), ())


def test_two_tables_are_equal_after_one_exchange() -> None:
    cores = [
        Core(Identity(node, boot_of(node), 5), HOME, 0.0, random.Random(2)) for node in (US, YOU)
    ]
    for core in cores:
        core.publish(0.0, 1, core.own.node)
    rows, wants = cores[1].answer_sync(cores[0].digest())
    cores[0].on_rows(0.0, YOU, rows)
    cores[1].on_rows(0.0, US, cores[0].wanted_rows(wants))
    assert set(cores[0].digest()) == set(cores[1].digest())
    member = cores[1].members.get(US)
    assert member is not None and member.facts.content(1) == US


@pytest.mark.parametrize("state", [State.DEAD, State.LEFT])
def test_who_has_been_forgotten_by_one_is_forgotten_by_all(state: State) -> None:
    timing = Timing(dead_kept_s=100.0, left_kept_s=100.0)
    early, late = stages = [
        Stage(Core(Identity(node, boot_of(node), 5), HOME, 0.0, random.Random(2), timing))
        for node in (US, YOU)
    ]
    late.wait(90.0)
    for stage in stages:
        stage.core.on_rows(stage.now_s, HER, [Row(HIM, 1, 0, state, 0)])
        stage.wait(130.0 - stage.now_s)
    assert (early.standing(HIM), late.standing(HIM)) == (None, (1, 0, state))
    for asker, asked in ((early, late), (late, early)):
        rows, wants = asked.core.answer_sync(asker.core.digest())
        asker.core.on_rows(130.0, asked.core.own.node, rows)
        asked.core.on_rows(130.0, asker.core.own.node, asker.core.wanted_rows(wants))
        assert early.standing(HIM) is None
        assert early.standing(YOU) == late.core.own.standing, "the rest is told"
    late.wait(120.0)
    assert late.standing(HIM) is None


def test_a_protocol_we_do_not_speak_is_refused_visibly_and_not_too_often(stage: Stage) -> None:
    foreign = replace(ping(YOU), versions=Versions(2, 3))
    (refusal,) = messages(stage.hear(foreign), Refuse)
    assert isinstance(refusal, Refuse) and refusal.reason == "wrong protocol"
    assert [event.by_us for event in stage.events if isinstance(event, Refused)] == [True]
    assert stage.hear(foreign) == []
    newer = replace(ping(YOU), versions=Versions(1, 9))
    assert messages(stage.hear(newer, run=1), Ack), "a newer minor version is served"


def test_a_load_question_goes_up_and_its_answer_comes_back(stage: Stage) -> None:
    stage.meet(YOU)
    model = ModelId(b"model..1")
    stage.hear(LoadQuestion(node=YOU, gen=1, seq=3, model=model))
    (asked,) = (event for event in stage.events if isinstance(event, LoadAsked))
    assert (asked.seq, asked.model) == (3, model)
    stage.core.answer_load(0.0, asked.address, asked.seq, "queue", 250)
    (answer,) = messages(stage.poll()[0], LoadAnswer)
    assert isinstance(answer, LoadAnswer) and (answer.seq, answer.wait_ms) == (3, 250)
    seq = stage.core.ask_load(YOU, model)
    assert seq is not None and messages(stage.poll()[0], LoadQuestion)
    back = LoadAnswer(node=YOU, gen=1, seq=seq, load=load_of(YOU, 8), verdict="accept")
    stage.hear(back)
    assert [e.answer for e in stage.events if isinstance(e, LoadAnswered)] == [back]


def test_a_device_that_is_busier_is_no_news_and_is_told_with_the_next_of_it(stage: Stage) -> None:
    stage.meet(YOU)
    load = replace(load_of(US), busy_percents=(1,))
    stage.core.set_load(stage.now_s, load)
    stage.wait(5.0)
    before = stage.core.load_of(stage.now_s, US)
    busier = replace(load, busy_percents=(99,))
    stage.core.set_load(stage.now_s, busier)
    assert before is not None and stage.core.load_of(stage.now_s, US) == before
    stage.core.set_load(stage.now_s, replace(busier, num_inflight=load.num_inflight + 1))
    after = stage.core.load_of(stage.now_s, US)
    assert after is not None and (after.lv, after.busy_percents) == (before.lv + 1, (99,))


def test_goodbye_is_said_to_some_and_believed(stage: Stage) -> None:
    stage.meet(YOU)
    stage.core.leave(0.0)
    told = [m for m in messages(stage.poll()[0], Gossip) if isinstance(m, Gossip)]
    assert Left(US, 5, 0) in told[0].rumours
    stage.hear(gossip(YOU, Left(YOU, 1, 0)))
    assert stage.standing(YOU) == (1, 0, State.LEFT)
    stage.hear(gossip(YOU, alive(YOU), Suspect(YOU, 1, 0, HIM)))
    assert stage.standing(YOU) == (1, 0, State.LEFT)


def test_a_busy_peer_of_many_models_still_fits_into_its_datagrams(stage: Stage) -> None:
    stage.meet(YOU)
    models = tuple(ModelLoad(ModelId(bytes([n]) * 8), 1, 2, 3) for n in range(100))
    stage.core.set_load(0.0, replace(load_of(US), models=models, free_mib=(1,) * 8))
    stage.core.publish(0.0, 4, bytes(900))
    stage.core.publish(0.0, 5, bytes(600))
    (ack,) = stage.hear(ping(YOU, Suspect(US, 5, 0, YOU)))
    sizes = [len(pack(send.message)) for send in (ack, *stage.wait(2.0))]
    assert max(sizes) <= MAX_MESSAGE_BYTES
    assert isinstance(ack.message, Ack) and len(ack.message.load.models) > 10
    told = [m for m in messages(stage.wait(5.0), Gossip) if isinstance(m, Gossip)]
    assert all(message.rumours or message.loads for message in told), "nobody is told nothing"


NODES = st.sampled_from((US, YOU, HIM, HER))
SMALL = st.integers(0, 6)
RUMOURS = st.one_of(
    st.builds(alive, NODES, SMALL, SMALL),
    st.builds(Suspect, NODES, SMALL, SMALL, NODES),
    st.builds(Dead, NODES, SMALL, SMALL, NODES),
    st.builds(Left, NODES, SMALL, SMALL),
    st.builds(Fact, NODES, SMALL, SMALL, SMALL, st.binary(max_size=30)),
)
SENDERS = st.sampled_from((YOU, HIM, HER))
TARGETS = st.builds(Target, NODES, st.just("::1"), st.just(5))
MESSAGES = st.one_of(
    st.builds(ping, SENDERS, RUMOURS, RUMOURS),
    st.builds(gossip, SENDERS, RUMOURS, RUMOURS),
    st.builds(
        Ack,
        node=SENDERS,
        gen=SMALL,
        seq=SMALL,
        challenge=st.just(CHALLENGE),
        load=st.builds(load_of, SENDERS, SMALL),
        flags=st.integers(0, 1),
    ),
    st.builds(Nack, node=SENDERS, gen=SMALL, seq=SMALL),
    st.builds(
        PingRequest,
        node=SENDERS,
        gen=SMALL,
        seq=SMALL,
        target=st.builds(Target, NODES, st.just("::1"), st.just(5)),
    ),
    st.builds(Refuse, node=SENDERS, gen=SMALL, seq=SMALL, reason=st.just("no")),
)


@given(st.lists(st.tuples(MESSAGES, st.integers(0, 2)), max_size=30), st.booleans())
def test_no_message_is_answered_by_more_than_one_datagram_to_its_sender(
    heard: list[tuple[Message, int]], are_met: bool
) -> None:
    """I6: at once at most one; whatever else it causes comes later and is limited by itself."""
    stage = Stage(Core(Identity(US, boot_of(US), 5), HOME, 0.0, random.Random(1)))
    if are_met:
        stage.meet(YOU)
        stage.meet(HIM, HIS)
    for message, run in heard:
        sends = stage.hear(message, run=run)
        targets = [send.address for send in sends]
        assert len(targets) == len(set(targets))


def test_a_recording_of_a_whole_fleet_changes_nothing_in_an_empty_peer() -> None:
    fleet = Fleet(4, seed=1)
    fleet.run(20.0)
    assert len(fleet.recording) > 20
    fleet.kill(0)
    fleet.run(1.0)
    fleet.network.group = {0: 1}  # only the recording reaches it
    fleet.restart(0)
    for source, data in fleet.recording:
        fleet.deliver(source, 0, data)
        fleet.run(0.05)
    core = fleet.peers[0].core
    assert len(core.members) == 0 and size_of(core).loads == 1 and size_of(core).sessions == 0
