"""Messages to bytes and back, what is refused, how large they are, and what fits into one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortex.peer.gossip.codec import (
    MessageError,
    UnknownType,
    pack,
    packed_bytes,
    unpack,
)
from cortex.peer.gossip.envelope import MAX_MESSAGE_BYTES
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.messages import (
    KEYS,
    TYPES,
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
from cortex.peer.gossip.packing import trimmed, with_loads
from cortex.peer.gossip.records import (
    Address,
    Alive,
    Contact,
    Dead,
    Digest,
    Fact,
    Left,
    LoadRecord,
    ModelLoad,
    Rumour,
    Suspect,
)

NODE = NodeId(b"the node")
OTHER = NodeId(b"another!")
MODEL = ModelId(b"a model!")
GEN = 1_763_700_000
CONTACT = Contact("192.168.1.23", 13132, 41)

EIGHT = st.binary(min_size=8, max_size=8)
NODES = EIGHT.map(NodeId)
MODELS = EIGHT.map(ModelId)
U8 = st.integers(0, 255)
U32 = st.integers(0, 2**32 - 1)
PORTS = st.integers(1, 65_535)
IPS = st.ip_addresses().map(str) | st.just("fe80::1%eth0")
SIZES = {"node": NODES, "gen": U32, "inc": U32}
RUMOURS: st.SearchStrategy[Rumour] = st.one_of(
    st.builds(Alive, **SIZES, contact=st.builds(Contact, IPS, PORTS, U32)),
    st.builds(Suspect, **SIZES, accuser=NODES),
    st.builds(Dead, **SIZES, accuser=NODES),
    st.builds(Left, **SIZES),
    st.builds(Fact, NODES, U32, st.integers(0, 255), U32, st.binary(max_size=300)),
)
LOADS = st.builds(
    LoadRecord,
    *(NODES, U32, U32, U32, U32, U32, st.integers(0, 255), U32, U32),
    free_mib=st.lists(U32, max_size=4).map(tuple),
    models=st.lists(st.builds(ModelLoad, MODELS, U32, U32, U32), max_size=4).map(tuple),
    busy_percents=st.lists(st.none() | U8, max_size=4).map(tuple),
)
SOME_RUMOURS = st.lists(RUMOURS, max_size=8).map(tuple)
SOME_LOADS = st.lists(LOADS, max_size=8).map(tuple)
COMMON = {"node": NODES, "gen": U32}
PINGS = st.builds(
    Ping,
    **COMMON,
    seq=U32,
    challenge=EIGHT,
    to=st.none() | NODES,
    load=st.none() | LOADS,
    rumours=SOME_RUMOURS,
    loads=SOME_LOADS,
    versions=st.none() | st.builds(Versions, U32, U32),
)
ACKS = st.builds(
    Ack,
    **COMMON,
    seq=U32,
    load=LOADS,
    challenge=st.none() | EIGHT,
    rumours=SOME_RUMOURS,
    loads=SOME_LOADS,
    observed=st.none() | st.builds(Address, IPS, PORTS),
    flags=U32,
)
GOSSIP = st.builds(Gossip, **COMMON, rumours=SOME_RUMOURS, loads=SOME_LOADS)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    PINGS,
    ACKS,
    GOSSIP,
    st.builds(PingRequest, **COMMON, seq=U32, target=st.builds(Target, NODES, IPS, PORTS)),
    st.builds(Nack, **COMMON, seq=U32),
    st.builds(LoadQuestion, **COMMON, seq=U32, model=MODELS),
    st.builds(
        LoadAnswer,
        **COMMON,
        seq=U32,
        load=LOADS,
        verdict=st.sampled_from(["accept", "queue", "busy"]),
        wait_ms=U32,
    ),
    st.builds(Refuse, **COMMON, seq=U32, reason=st.text(max_size=64)),
)

# What makes a sound ping one that cannot be read.
MISFITS: list[dict[Any, Any]] = [
    {0: "ping"},
    {0: None},
    {1: b"short"},
    {1: b"ninebytes"},
    {2: -1},
    {2: 2**32},
    {3: 1.5},
    {5: b""},
    {4: None, 5: None},
    {6: []},
    {6: [NODE]},
    {7: [[1, NODE, GEN, 3]]},
    {7: [[1, NODE, GEN, 3, ["peer.example", 13132, 41]]]},
    {7: [[1, NODE, GEN, 3, ["10.0.0.1\n", 13132, 41]]]},
    {7: [[1, NODE, GEN, 3, ["10.0.0.1", 0, 41]]]},
    {7: [[]]},
    {7: [1]},
    {7: {}},
    {7: [[6]] * 513},
    {8: [[4, NODE, GEN, 3]]},
    {number: 0 for number in range(100, 130)},
    {"type": 1},
]


def plain(message: Message) -> dict[int, Any]:
    """The message as a reader sees it who knows nothing of ours."""
    return msgspec.msgpack.decode(pack(message))


def unpacked(body: Any) -> Message:
    return unpack(msgspec.msgpack.encode(body))


def load(num_models: int) -> LoadRecord:
    """A usual one: a busy peer with one device."""
    models = tuple(ModelLoad(MODEL, 3, 1, 4) for _ in range(num_models))
    return LoadRecord(NODE, 90_211, 4, 0, 3, 1, 62, 310, 171, (21_400,), models, (92,))


@given(MESSAGES)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    assert unpack(pack(message)) == message


def test_a_message_has_the_keys_that_the_protocol_gives_it() -> None:
    ping = Ping(
        node=NODE,
        gen=GEN,
        seq=7,
        challenge=b"whoareu?",
        to=OTHER,
        rumours=(Alive(NODE, GEN, 3, CONTACT), Suspect(NODE, GEN, 3, OTHER), Left(OTHER, 1, 0)),
        versions=Versions(1, 2),
    )
    assert plain(ping) == {
        0: 1,
        1: NODE,
        2: GEN,
        3: 7,
        4: OTHER,
        5: b"whoareu?",
        7: [
            [1, NODE, GEN, 3, ["192.168.1.23", 13132, 41]],
            [2, NODE, GEN, 3, OTHER],
            [4, OTHER, 1, 0],
        ],
        12: [1, 2],
    }


def test_answers_and_refusals_keep_the_keys_by_which_peers_of_before_read_them() -> None:
    answer = LoadAnswer(node=NODE, gen=GEN, seq=7, load=load(1), verdict="queue", wait_ms=40)
    sent = plain(answer)
    assert (sent[15], sent[16]) == ("queue", 40)
    refused = plain(Refuse(node=NODE, gen=GEN, seq=7, reason="wrong protocol"))
    assert refused == {0: 9, 1: NODE, 2: GEN, 3: 7, 17: "wrong protocol"}


def test_every_field_of_a_message_has_a_key_of_its_own() -> None:
    names = {name for cls in TYPES.values() for name in cls.__struct_fields__}
    assert names == set(KEYS)
    assert len(set(KEYS.values())) == len(KEYS)


def test_a_field_with_its_default_is_not_sent() -> None:
    assert plain(Gossip(node=NODE, gen=GEN)) == {0: 5, 1: NODE, 2: GEN}


def test_keys_that_are_not_known_are_passed_over() -> None:
    body = plain(Nack(node=NODE, gen=GEN, seq=7)) | {30: {"of": "tomorrow"}, 31: [1, [2]]}
    assert unpacked(body) == Nack(node=NODE, gen=GEN, seq=7)


def test_arrays_may_grow_at_the_end() -> None:
    message = Gossip(node=NODE, gen=GEN, rumours=(Left(OTHER, 1, 2),), loads=(load(1),))
    body = plain(message)
    body[7][0].append("newer")
    body[8][0].append([1, 2, 3])
    body[8][0][-3][0].append(0)
    assert unpacked(body) == message


def test_a_load_of_before_devices_were_told_is_read_without_them() -> None:
    body = plain(Gossip(node=NODE, gen=GEN, loads=(load(1),)))
    del body[8][0][-1]
    older = msgspec.structs.replace(load(1), busy_percents=())
    assert unpacked(body) == Gossip(node=NODE, gen=GEN, loads=(older,))


def test_a_rumour_of_a_kind_that_is_not_known_is_passed_over() -> None:
    body = plain(Gossip(node=NODE, gen=GEN, rumours=(Left(OTHER, 1, 2),)))
    body[7] = [[6, NODE, {"new": True}], *body[7], [255]]
    assert unpacked(body) == Gossip(node=NODE, gen=GEN, rumours=(Left(OTHER, 1, 2),))


def test_a_type_that_is_not_known_is_told_apart_from_nonsense() -> None:
    with pytest.raises(UnknownType, match="8"):
        unpacked({0: 8, 1: NODE, 2: GEN})


@pytest.mark.parametrize("change", MISFITS)
def test_a_message_that_does_not_fit_is_refused(change: dict[Any, Any]) -> None:
    body = plain(Ping(node=NODE, gen=GEN, seq=7, challenge=b"whoareu?"))
    assert unpacked(body)
    with pytest.raises(MessageError):
        unpacked(body | change)


@pytest.mark.parametrize("key", [0, 1, 2, 3, 5])
def test_a_message_without_what_it_must_have_is_refused(key: int) -> None:
    body = plain(Ping(node=NODE, gen=GEN, seq=7, challenge=b"whoareu?"))
    del body[key]
    with pytest.raises(MessageError):
        unpacked(body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\x07\xdd\xff\xff\xff\xff",
        b"\x82\x00\x05\x07\xc6\xff\xff\xff\xff",
        b"\x82\x00\x05\x07" + b"\x91" * 1100,
        b"\x82\x00\x05\x07" + b"\x91" * 1100 + b"\x00",
        b"\x81" * 1100 + b"\x00",
        b"\x84\x00\x05\x01\xc4\x08the node\x02\x01\x07" + b"\x91" * 600 + b"\x00",
    ],
)
def test_a_bomb_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        unpack(data)


@given(st.binary(max_size=MAX_MESSAGE_BYTES) | MESSAGES.map(pack), st.data())
def test_any_bytes_are_a_message_or_are_refused(data: bytes, draw: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(0, 3))):
        if changed:
            changed[draw.draw(st.integers(0, len(changed) - 1))] = draw.draw(st.integers(0, 255))
    try:
        message = unpack(bytes(changed))
    except MessageError:
        return
    assert unpack(pack(message)) == message


def test_records_are_as_small_as_the_protocol_says() -> None:
    assert packed_bytes(load(1)) == 50
    assert packed_bytes(load(3)) == 84
    alive = Alive(NODE, GEN, 4, CONTACT)
    # A byte over the page's 35, which has an address without the version in it; 41 takes one.
    assert packed_bytes(alive) == 36
    assert packed_bytes(Suspect(NODE, GEN, 3, OTHER)) == 28
    assert packed_bytes(Digest(NODE, GEN, 3, 0, 41)) == 19


def test_22_usual_load_records_fit_into_a_datagram() -> None:
    """What the load tick of the protocol carries."""
    assert len(with_loads(Gossip(node=NODE, gen=GEN), [load(1)] * 30).loads) >= 22


@given(GOSSIP, SOME_LOADS)
def test_a_filled_message_is_within_its_limit_and_has_no_room_for_what_it_left(
    message: Gossip, loads: tuple[LoadRecord, ...]
) -> None:
    bare = msgspec.structs.replace(message, loads=())
    assume(len(pack(bare)) <= MAX_MESSAGE_BYTES - 4)
    full = with_loads(bare, loads)
    assert len(pack(full)) <= MAX_MESSAGE_BYTES
    assert msgspec.structs.replace(full, loads=()) == bare
    for left in [load for load in loads if load not in full.loads]:
        assert len(pack(full)) + packed_bytes(left) > MAX_MESSAGE_BYTES - 4


def test_a_load_record_too_large_for_the_room_lets_a_smaller_one_by() -> None:
    message = with_loads(Gossip(node=NODE, gen=GEN), (load(100), load(1)))
    assert message.loads == (load(1),)


def test_a_load_record_is_trimmed_to_its_first_models() -> None:
    record = load(60)
    short = trimmed(record, 400)
    assert packed_bytes(short) <= 400
    assert short.models == record.models[: len(short.models)]
    assert packed_bytes(short) + packed_bytes(record.models[0]) > 400
    assert trimmed(load(3), 400) == load(3)
