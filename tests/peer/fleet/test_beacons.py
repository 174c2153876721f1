"""What is told and read by mDNS: a way there and back, and strangers' nonsense."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.fleet.beacons import SERVICE_TYPE, Beacon, Found, node_of, read_beacon
from cortex.peer.fleet.notices import KEPT_S
from cortex.peer.fleet.sightings import MAX_FOREIGN, MAX_REFUSED, Hearer, Sightings
from cortex.peer.gossip.ids import BootId, NodeId

OWN = Beacon(
    node=NodeId(bytes(range(8))),
    boot=BootId(b"bootboot"),
    tags=(b"ourfleet", b"previous"),
    name="atlas",
    fleet_port=13132,
    api_port=13131,
)
OTHER = replace(OWN, node=NodeId(b"\xff" * 8), boot=BootId(b"otherone"), name="borea")


def as_bytes(text: dict[str, str]) -> dict[bytes, bytes | None]:
    return {key.encode(): value.encode() for key, value in text.items()}


def read(beacon: Beacon, *addresses: str, **changes: str) -> Found | None:
    text = as_bytes(beacon.text | changes)
    return read_beacon(beacon.instance, text, beacon.fleet_port, addresses)


def test_what_is_told_is_read() -> None:
    found = read(OTHER, "192.168.1.21", "fe80::1%3")

    assert found == Found(
        node=OTHER.node,
        boot=b"othe",
        tag=b"ourfleet",
        name="borea",
        versions=(1, 1),
        fleet_port=13132,
        addresses=("192.168.1.21", "fe80::1%3"),
    )
    assert OTHER.text["a"] == "13131"


@given(st.text())
def test_the_text_stays_below_200_bytes_whatever_the_name(name: str) -> None:
    beacon = replace(OWN, name=name.encode(errors="ignore").decode())

    assert sum(len(f"{k}={v}".encode()) + 1 for k, v in beacon.text.items()) < 200
    assert read(beacon, "10.0.0.1") is not None


def test_a_name_cannot_move_a_cursor() -> None:
    found = read(OTHER, n="\x1b[2Jborea\r\n\u202e")

    assert found is not None
    assert found.name == "[2Jborea"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "00" * 8},  # another than the instance's
        {"id": "xyz"},
        {"f": ""},
        {"f": "00" * 7},
        {"b": "nothex!!"},
        {"p": "1"},
        {"p": "99999-1"},
    ],
)
def test_what_no_peer_would_tell_is_passed_over(changes: dict[str, str]) -> None:
    assert read(OTHER, "10.0.0.1", **changes) is None


def test_addresses_that_nobody_has_are_passed_over() -> None:
    found = read(
        OTHER, "224.0.0.251", "0.0.0.0", "255.255.255.255", "ff02::fb", "fe80::1", "nonsense"
    )

    assert found is not None
    assert found.addresses == ()


@pytest.mark.parametrize("port", [None, 0, -1, 65536])
def test_without_a_port_there_is_nothing_to_try(port: int | None) -> None:
    assert read_beacon(OTHER.instance, as_bytes(OTHER.text), port, ["10.0.0.1"]) is None


@pytest.mark.parametrize(
    "instance", ["printer", f"atlas.{SERVICE_TYPE}", f"{'0' * 17}.{SERVICE_TYPE}"]
)
def test_only_ids_are_names_of_instances(instance: str) -> None:
    assert node_of(instance) is None


@given(
    instance=st.one_of(st.text(), st.just(OTHER.instance)),
    text=st.dictionaries(
        st.sampled_from([b"v", b"p", b"id", b"b", b"f", b"n", b"a", b"z"]),
        st.one_of(st.none(), st.binary(max_size=80), st.just(b"ff" * 8)),
    ),
    port=st.one_of(st.none(), st.integers()),
    addresses=st.lists(st.text(), max_size=20),
)
def test_no_nonsense_raises(
    instance: str, text: dict[bytes, bytes | None], port: int | None, addresses: list[str]
) -> None:
    read_beacon(instance, text, port, addresses)


class Ear:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.addresses: list[tuple[str, int]] = []
        self.foreign: list[tuple[bytes, str, str]] = []
        self.notices: list[str] = []
        self.hints: list[str] = []
        self.met: set[NodeId] = set()

    @property
    def hearer(self) -> Hearer:
        return Hearer(
            on_address=lambda ip, port: self.addresses.append((ip, port)),
            on_foreign=lambda tag, name, address: self.foreign.append((tag, name, address)),
            on_notice=self.notices.append,
            on_hint=self.hints.append,
            is_met=self.met.__contains__,
            is_alone=lambda: not self.met,
        )


@pytest.fixture
def ear() -> Ear:
    return Ear()


def found_of(beacon: Beacon, *addresses: str, **changes: str) -> Found:
    found = read(beacon, *(addresses or ("10.0.0.1",)), **changes)
    assert found is not None
    return found


def test_a_peer_of_our_fleet_is_one_to_dial_under_any_key_we_hold(ear: Ear) -> None:
    sightings = Sightings(ear.hearer)

    sightings.see(0.0, OWN, found_of(OTHER))
    sightings.see(0.0, OWN, found_of(replace(OTHER, tags=(b"previous",)), "10.0.0.2"))

    assert [(a.ip, a.port) for a in sightings.dialler.due(0.0)] == [
        ("10.0.0.1", 13132),
        ("10.0.0.2", 13132),
    ]


def test_a_foreign_fleet_is_told_of_for_as_long_as_it_is_there(ear: Ear) -> None:
    sightings, day_s = Sightings(ear.hearer), 86_400
    borea, celia = (
        replace(OTHER, node=NodeId(name.encode()[:1] * 8), name=name, tags=(b"somebody",))
        for name in ("borea", "celia")
    )
    for now_s in range(0, day_s, 600):
        sightings.see(now_s, OWN, found_of(borea))
        sightings.see(now_s, OWN, found_of(celia, "10.0.0.2"))
    assert len(ear.foreign) == day_s / (KEPT_S / 2)
    assert {name for _, name, _ in ear.foreign} == {"borea"}, "one sentence for one fleet"
    for now_s in range(day_s, 2 * day_s, 600):
        sightings.see(now_s, OWN, found_of(celia, "10.0.0.2"))
    assert [name for _, name, _ in ear.foreign[-2:]] == ["celia"] * 2, "the other is gone"


def test_a_flood_of_fleets_hides_a_real_one_for_an_hour_and_not_for_ever(ear: Ear) -> None:
    sightings = Sightings(ear.hearer)
    for number in range(1000):
        node = NodeId(number.to_bytes(8, "big"))
        sightings.see(0.0, OWN, found_of(replace(OTHER, node=node, tags=(node,))))
    sightings.see(KEPT_S - 1, OWN, found_of(replace(OTHER, tags=(b"somebody",))))
    assert len(ear.foreign) == MAX_FOREIGN
    sightings.see(KEPT_S, OWN, found_of(replace(OTHER, tags=(b"somebody",))))
    assert ear.foreign[-1][0] == b"somebody"


def test_a_foreign_fleet_is_told_once_at_a_time_and_never_dialled(ear: Ear) -> None:
    sightings = Sightings(ear.hearer)
    foreign = replace(OTHER, tags=(b"somebody",))

    sightings.see(0.0, OWN, found_of(foreign, "fd00::7"))
    sightings.see(9.0, OWN, found_of(replace(foreign, node=NodeId(b"n" * 8))))

    assert ear.foreign == [(b"somebody", "borea", "[fd00::7]:13132")]
    assert sightings.dialler.due(9.0) == []


def test_a_peer_of_another_major_version_is_named_now_and_then_and_never_dialled(ear: Ear) -> None:
    sightings = Sightings(ear.hearer)

    for now_s in (0.0, 9.0, KEPT_S / 2, KEPT_S / 2 + 9.0):
        sightings.see(now_s, OWN, found_of(OTHER, p="2-3"))

    hint, again = ear.hints
    assert "borea speaks versions 2 to 3" in hint and ear.notices == []
    assert again == hint
    assert sightings.dialler.due(0.0) == []


def test_a_newer_minor_version_that_still_speaks_ours_is_dialled(ear: Ear) -> None:
    sightings = Sightings(ear.hearer)

    sightings.see(0.0, OWN, found_of(OTHER, p="1-2"))

    assert len(sightings.dialler.due(0.0)) == 1


def test_our_own_record_is_nobody_and_a_copy_of_us_is_spoken_to_now_and_then(ear: Ear) -> None:
    sightings = Sightings(ear.hearer)
    copy = replace(OWN, boot=BootId(b"copycopy"))

    sightings.see(0.0, OWN, found_of(OWN))
    sightings.see(0.0, OWN, found_of(copy, "10.0.0.9"))
    sightings.see(5.0, OWN, found_of(copy, "10.0.0.9"))

    assert ear.addresses == [("10.0.0.9", 13132)]
    sightings.see(KEPT_S / 2, OWN, found_of(copy, "10.0.0.9"))
    assert ear.addresses == [("10.0.0.9", 13132)] * 2, "it may run for weeks"


def test_a_flood_of_fleets_is_told_of_a_few(ear: Ear) -> None:
    sightings = Sightings(ear.hearer)

    for number in range(10_000):
        node = NodeId(number.to_bytes(8, "big"))
        sightings.see(0.0, OWN, found_of(replace(OTHER, node=node, tags=(node,))))
        sightings.see(0.0, OWN, found_of(replace(OTHER, node=node), p="7-7"))

    assert len(ear.foreign) == MAX_FOREIGN
    assert len(ear.hints) == MAX_REFUSED
