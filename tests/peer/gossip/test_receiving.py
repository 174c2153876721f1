"""From sealed bytes to a message or a reason to drop them: the rules, in their order, counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.peer.gossip.buckets import SourceBuckets, TokenBucket
from cortex.peer.gossip.codec import MessageError, pack
from cortex.peer.gossip.envelope import (
    MAX_DATAGRAM_BYTES,
    MAX_MESSAGE_BYTES,
    MIN_DATAGRAM_BYTES,
    Sealer,
    new_boot,
    read_header,
)
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.messages import Nack, Refuse
from cortex.peer.gossip.receiving import Cause, DropLog, Dropped, Received, Receiver
from cortex.peer.keys.fleet_key import FleetKey, RandomBytes, new_fleet_key
from cortex.peer.keys.keyring import Keyring

SOURCE = "192.0.2.1"
NACK = Nack(node=NodeId(b"the node"), gen=7, seq=1)
DATA = pack(NACK)


def new_key(number: int) -> FleetKey:
    return new_fleet_key(random.Random(number).randbytes)


def cause_of(got: Received | Dropped) -> Cause | None:
    return got.cause if isinstance(got, Dropped) else None


def changed(datagram: bytes, place: int, byte: int) -> bytes:
    return datagram[:place] + bytes([byte]) + datagram[place + 1 :]


def test_a_sealed_message_arrives(fleet_key: FleetKey, sealer: Sealer, receiver: Receiver) -> None:
    got = receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA))
    assert got == Received(sealer.boot, NACK, is_first=True)
    assert not receiver.counts


def test_the_envelope_adds_42_bytes_and_stands_as_the_protocol_says(
    fleet_key: FleetKey, sealer: Sealer
) -> None:
    sealed = [sealer.seal(fleet_key, DATA) for _ in range(2)]
    assert [len(datagram) for datagram in sealed] == [42 + len(DATA)] * 2
    first = sealed[0]
    assert first[:2] == b"\xc7\x11"
    assert first[2:6] == fleet_key.key_id
    assert first[6:14] == sealer.boot
    assert [read_header(datagram).counter for datagram in sealed] == [1, 2]
    assert DATA not in first


def test_the_nonce_is_the_random_bytes_and_the_counter(fleet_key: FleetKey, sealer: Sealer) -> None:
    datagram = sealer.seal(fleet_key, DATA)
    assert read_header(datagram).nonce == datagram[22:26] + datagram[14:22]


def test_a_full_message_fills_a_datagram_and_a_larger_one_is_refused(
    fleet_key: FleetKey, sealer: Sealer
) -> None:
    assert len(sealer.seal(fleet_key, bytes(MAX_MESSAGE_BYTES))) == MAX_DATAGRAM_BYTES == 1200
    with pytest.raises(MessageError, match="1159 bytes is over 1158"):
        sealer.seal(fleet_key, bytes(MAX_MESSAGE_BYTES + 1))


def test_only_the_first_message_of_a_run_is_the_first(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver, random_bytes: RandomBytes
) -> None:
    def is_first() -> bool:
        got = receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA))
        assert isinstance(got, Received)
        return got.is_first

    # What cannot be read tells nobody that a run has begun.
    receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, b"\xc1"))
    assert [is_first(), is_first()] == [True, False]
    sealer = Sealer(new_boot(random_bytes), random_bytes)
    assert [is_first(), is_first()] == [True, False]


def test_a_restarted_run_counts_from_the_start_under_another_key(
    fleet_key: FleetKey, sealer: Sealer, random_bytes: RandomBytes
) -> None:
    before = read_header(sealer.seal(fleet_key, DATA))
    again = Sealer(new_boot(random_bytes), random_bytes)
    after = read_header(again.seal(fleet_key, DATA))
    assert (before.counter, after.counter) == (1, 1)
    assert before.boot != after.boot


@pytest.mark.parametrize("size_bytes", [0, 1, 25, 41, 1201, 65_507])
def test_a_datagram_too_short_or_too_long_is_dropped(receiver: Receiver, size_bytes: int) -> None:
    assert cause_of(receiver.receive(0.0, SOURCE, bytes(size_bytes))) is Cause.LENGTH


@pytest.mark.parametrize(
    ("place", "byte", "cause"),
    [
        (0, 0xC6, Cause.MAGIC),
        (1, 0x21, Cause.VERSION),
        (1, 0x01, Cause.VERSION),
        (1, 0x12, Cause.VERSION),
        (2, 0x00, Cause.KEY),
    ],
)
def test_a_datagram_that_is_not_for_us_is_dropped_by_its_header(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver, place: int, byte: int, cause: Cause
) -> None:
    datagram = sealer.seal(fleet_key, DATA)
    assert cause_of(receiver.receive(0.0, SOURCE, changed(datagram, place, byte))) is cause


def test_every_flipped_bit_is_noticed(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver
) -> None:
    datagram = sealer.seal(fleet_key, DATA)
    for place in range(len(datagram)):
        for bit in range(8):
            broken = changed(datagram, place, datagram[place] ^ 1 << bit)
            assert isinstance(receiver.receive(0.0, SOURCE, broken), Dropped)
    assert receiver.counts[Cause.SEAL] == 8 * (len(datagram) - 6)
    assert isinstance(receiver.receive(0.0, SOURCE, datagram), Received)


def test_a_cut_datagram_is_dropped(fleet_key: FleetKey, sealer: Sealer, receiver: Receiver) -> None:
    datagram = sealer.seal(fleet_key, DATA)
    for size_bytes in range(MIN_DATAGRAM_BYTES, len(datagram)):
        assert cause_of(receiver.receive(0.0, SOURCE, datagram[:size_bytes])) is Cause.SEAL
    assert cause_of(receiver.receive(0.0, SOURCE, datagram + b"\0")) is Cause.SEAL


def test_who_holds_another_key_is_not_heard(sealer: Sealer, receiver: Receiver) -> None:
    assert cause_of(receiver.receive(0.0, SOURCE, sealer.seal(new_key(9), DATA))) is Cause.KEY


def test_who_knows_only_the_name_of_our_key_is_not_heard(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver
) -> None:
    forged = bytearray(sealer.seal(new_key(9), DATA))
    forged[2:6] = fleet_key.key_id
    assert cause_of(receiver.receive(0.0, SOURCE, bytes(forged))) is Cause.SEAL


def test_our_own_datagram_sent_back_to_us_is_dropped(
    fleet_key: FleetKey, sealer: Sealer, keyring: Keyring
) -> None:
    receiver = Receiver(keyring, sealer.boot, SourceBuckets(0.0))
    assert cause_of(receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA))) is Cause.OWN


def test_a_replayed_datagram_is_dropped(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver
) -> None:
    datagram = sealer.seal(fleet_key, DATA)
    assert isinstance(receiver.receive(0.0, SOURCE, datagram), Received)
    assert cause_of(receiver.receive(9.0, "192.0.2.2", datagram)) is Cause.REPLAY


@given(st.lists(st.integers(0, 39), max_size=150))
def test_no_datagram_is_taken_twice_whatever_the_order(order: list[int]) -> None:
    rng, key = random.Random(1), new_key(1)
    sealer = Sealer(new_boot(rng.randbytes), rng.randbytes)
    receiver = Receiver(Keyring(key), new_boot(rng.randbytes), SourceBuckets(0.0))
    sealed = [sealer.seal(key, pack(replaced(number))) for number in range(40)]
    got = [receiver.receive(0.0, SOURCE, sealed[number]) for number in order]
    taken = [one.message for one in got if isinstance(one, Received)]
    assert taken == [replaced(number) for number in dict.fromkeys(order)]
    assert receiver.counts[Cause.REPLAY] == len(order) - len(taken)


def replaced(seq: int) -> Nack:
    return msgspec.structs.replace(NACK, seq=seq)


def test_a_datagram_below_the_window_is_dropped(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver
) -> None:
    sealed = [sealer.seal(fleet_key, DATA) for _ in range(1026)]
    assert isinstance(receiver.receive(0.0, SOURCE, sealed[1025]), Received)
    assert isinstance(receiver.receive(0.0, SOURCE, sealed[2]), Received)
    assert cause_of(receiver.receive(0.0, SOURCE, sealed[1])) is Cause.REPLAY


def test_what_is_no_message_is_dropped_though_it_is_sealed(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver
) -> None:
    nonsense, newer = b"\xdf\xff\xff\xff\xff", msgspec.msgpack.encode({0: 8, 1: b"the node"})
    sealed = [sealer.seal(fleet_key, data) for data in (nonsense, newer)]
    got = [receiver.receive(0.0, SOURCE, datagram) for datagram in sealed]
    assert [cause_of(one) for one in got] == [Cause.MALFORMED, Cause.TYPE]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=MAX_MESSAGE_BYTES))
def test_a_holder_of_the_key_cannot_make_us_raise(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver, data: bytes
) -> None:
    got = receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, data))
    assert isinstance(got, Received) or got.cause in (Cause.MALFORMED, Cause.TYPE)


def test_the_first_rule_that_is_broken_is_the_cause(
    fleet_key: FleetKey, sealer: Sealer, keyring: Keyring, random_bytes: RandomBytes
) -> None:
    """One datagram that breaks every rule, mended rule by rule from the front."""
    buckets = SourceBuckets(0.0, per_source_s=1.0)
    receiver = Receiver(keyring, sealer.boot, buckets)
    sound = sealer.seal(fleet_key, b"\xc1")
    key_id, boot = sound[2:6], sound[6:14]
    front = bytes([0, 0]) + bytes(4) + boot
    broken = front + sound[14:-1] + bytes([sound[-1] ^ 1])
    steps = [broken + bytes(1200), broken]
    steps.append(b"\xc7" + broken[1:])
    steps.append(b"\xc7\x11" + broken[2:])
    steps.append(b"\xc7\x11" + key_id + broken[6:])
    causes = [cause_of(receiver.receive(0.0, SOURCE, step)) for step in steps]
    assert causes == [Cause.LENGTH, Cause.MAGIC, Cause.VERSION, Cause.KEY, Cause.OWN]

    receiver = Receiver(keyring, new_boot(random_bytes), buckets)
    tampered, other_source = steps[-1], "192.0.2.7"
    assert cause_of(receiver.receive(0.0, SOURCE, tampered)) is Cause.SEAL
    assert cause_of(receiver.receive(0.0, SOURCE, tampered)) is Cause.FLOOD
    assert cause_of(receiver.receive(0.0, other_source, sound)) is Cause.MALFORMED
    assert cause_of(receiver.receive(2.0, SOURCE, sound)) is Cause.REPLAY
    assert receiver.counts.total() == 4


def test_all_keys_of_the_ring_are_heard_and_count_together(
    sealer: Sealer, random_bytes: RandomBytes
) -> None:
    old, new = new_key(1), new_key(2)
    receiver = Receiver(Keyring(old, (new,)), new_boot(random_bytes), SourceBuckets(0.0))
    before, after = sealer.seal(old, DATA), sealer.seal(new, DATA)
    assert isinstance(receiver.receive(0.0, SOURCE, after), Received)
    assert isinstance(receiver.receive(0.0, SOURCE, before), Received)
    for datagram in (before, after):
        assert cause_of(receiver.receive(0.0, SOURCE, datagram)) is Cause.REPLAY


def test_who_still_uses_a_retired_key_can_be_told_so_under_it(
    sealer: Sealer, random_bytes: RandomBytes
) -> None:
    old, new = new_key(1), new_key(2)
    ring = Keyring(new, (old,))
    receiver = Receiver(ring, new_boot(random_bytes), SourceBuckets(0.0))
    assert isinstance(receiver.receive(0.0, SOURCE, sealer.seal(old, DATA)), Received)

    receiver.use(ring.dropping(old.key_id))
    got = receiver.receive(0.0, SOURCE, sealer.seal(old, DATA))
    assert got == Dropped(Cause.RETIRED, old)

    told = Receiver(Keyring(old), new_boot(random_bytes), SourceBuckets(0.0))
    refusal = Refuse(node=NodeId(b"the node"), gen=7, seq=0, reason="retired key")
    answer = told.receive(
        0.0, SOURCE, Sealer(new_boot(random_bytes), random_bytes).seal(old, pack(refusal))
    )
    assert isinstance(answer, Received)
    assert answer.message == refusal


def test_a_retired_key_s_name_alone_gets_no_answer(
    sealer: Sealer, random_bytes: RandomBytes
) -> None:
    old, new = new_key(1), new_key(2)
    receiver = Receiver(Keyring(new, (), (old,)), new_boot(random_bytes), SourceBuckets(0.0))
    datagram = sealer.seal(old, DATA)
    forged = datagram[:-1] + bytes([datagram[-1] ^ 1])
    assert receiver.receive(0.0, SOURCE, forged) == Dropped(Cause.SEAL)


def test_a_forgotten_run_is_the_first_again_and_the_oldest_is_forgotten(
    fleet_key: FleetKey, keyring: Keyring, random_bytes: RandomBytes
) -> None:
    receiver = Receiver(keyring, new_boot(random_bytes), SourceBuckets(0.0), max_senders=2)
    sealers = [Sealer(new_boot(random_bytes), random_bytes) for _ in range(3)]

    def is_first(sealer: Sealer) -> bool:
        got = receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA))
        assert isinstance(got, Received)
        return got.is_first

    one, two, three = sealers
    assert [is_first(sealer) for sealer in (one, two, one, three)] == [True, True, False, True]
    assert [is_first(sealer) for sealer in (one, two)] == [False, True]


def test_who_has_no_key_leaves_no_trace_of_senders(
    fleet_key: FleetKey, keyring: Keyring, sealer: Sealer, random_bytes: RandomBytes
) -> None:
    receiver = Receiver(
        keyring, new_boot(random_bytes), SourceBuckets(0.0, 1e9, 1e9), max_senders=1
    )
    assert isinstance(receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA)), Received)
    for _ in range(100):
        forged = sealer.seal(fleet_key, DATA)
        forged = forged[:6] + random_bytes(8) + forged[14:]
        assert cause_of(receiver.receive(0.0, SOURCE, forged)) is Cause.SEAL
    got = receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA))
    assert isinstance(got, Received)
    assert not got.is_first


def test_a_bucket_lets_so_many_a_second_through() -> None:
    bucket = TokenBucket(10.0, 0.0)
    assert [bucket.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert [bucket.take(0.55) for _ in range(6)] == [True] * 5 + [False]
    assert [bucket.take(100.0) for _ in range(11)] == [True] * 10 + [False]


def test_one_source_s_flood_leaves_room_for_the_others() -> None:
    buckets = SourceBuckets(0.0)
    assert sum(buckets.take(0.0, SOURCE) for _ in range(5000)) == 200
    others = [f"10.0.{number}.1" for number in range(20)]
    assert sum(buckets.take(0.0, other) for other in others for _ in range(200)) == 2000 - 200


def test_no_flood_of_strangers_silences_who_is_known(
    fleet_key: FleetKey, sealer: Sealer, keyring: Keyring, random_bytes: RandomBytes
) -> None:
    """Not even one that comes from the member's address and in the name of its run."""
    receiver = Receiver(keyring, new_boot(random_bytes), SourceBuckets(0.0))
    assert isinstance(receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA)), Received)
    forged = changed(sealer.seal(fleet_key, DATA), 30, 0)
    stranger = forged[:6] + random_bytes(8) + forged[14:]
    for number in range(1900):
        receiver.receive(0.0, SOURCE if number % 2 else f"10.0.{number % 250}.1", forged)
        receiver.receive(0.0, SOURCE if number % 2 else f"10.1.{number % 250}.1", stranger)
    assert receiver.counts[Cause.FLOOD] > 0
    got = receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA))
    assert got == Received(sealer.boot, NACK, is_first=False)


def test_what_is_forged_in_a_members_name_is_looked_into_so_often_and_no_more(
    fleet_key: FleetKey, sealer: Sealer, keyring: Keyring, random_bytes: RandomBytes
) -> None:
    receiver = Receiver(keyring, new_boot(random_bytes), SourceBuckets(0.0))
    assert isinstance(receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA)), Received)
    forged = changed(sealer.seal(fleet_key, DATA), 30, 0)
    for number in range(5000):
        receiver.receive(0.0, f"10.0.{number % 250}.1", forged)
    assert receiver.counts == {Cause.SEAL: 2000, Cause.FLOOD: 3000}
    sound = [sealer.seal(fleet_key, DATA) for _ in range(3)]
    assert cause_of(receiver.receive(0.0, "10.0.7.1", sound[0])) is Cause.FLOOD
    assert cause_of(receiver.receive(0.0, SOURCE, sound[1])) is None, "the member's own address"
    assert cause_of(receiver.receive(0.001, "10.0.7.1", sound[2])) is None, "there is room again"


def test_of_a_member_so_much_a_second_is_heard(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver
) -> None:
    got = [receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA)) for _ in range(201)]
    assert [cause_of(one) for one in got[-2:]] == [None, Cause.FLOOD]
    assert cause_of(receiver.receive(1.0, SOURCE, sealer.seal(fleet_key, DATA))) is None


def test_sources_are_forgotten_when_there_are_too_many() -> None:
    buckets = SourceBuckets(0.0, per_source_s=1.0, per_s=1e9, max_sources=2)
    asked = ["a", "b", "a", "c", "a", "b"]
    assert [buckets.take(0.0, source) for source in asked] == [True, True, False, True, False, True]


def test_drops_of_one_cause_are_worth_a_line_a_minute() -> None:
    log = DropLog()
    times_s = (0.0, 1.0, 59.9, 60.0, 61.0)
    assert [log.is_due(at_s, Cause.KEY) for at_s in times_s] == [True, False, False, True, False]
    assert log.is_due(61.0, Cause.SEAL)


def test_replayed_traffic_gives_a_restarted_peer_nothing_that_it_could_take_for_fresh(
    fleet_key: FleetKey, sealer: Sealer, new_receiver: Callable[[], Receiver]
) -> None:
    """It opens, because the key is the same; but no session stands, and it comes but once."""
    captured = [sealer.seal(fleet_key, pack(replaced(number))) for number in range(5)]
    before, after = new_receiver(), new_receiver()
    for datagram in captured:
        before.receive(0.0, SOURCE, datagram)
    got = [after.receive(0.0, SOURCE, datagram) for datagram in captured * 2]
    assert isinstance(got[0], Received)
    assert got[0].is_first
    assert [cause_of(one) for one in got[5:]] == [Cause.REPLAY] * 5


def test_a_ring_of_other_keys_makes_a_stranger_of_who_was_known(
    fleet_key: FleetKey, sealer: Sealer, receiver: Receiver, keyring: Keyring
) -> None:
    assert isinstance(receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA)), Received)
    receiver.use(replace(keyring, primary=new_key(9)))
    assert cause_of(receiver.receive(0.0, SOURCE, sealer.seal(fleet_key, DATA))) is Cause.KEY
