"""What a peer tells of itself: within what a row takes, and an honest word to who asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cortex.peer.fleet.membership import OwnState
from cortex.peer.fleet.telling import About, fitting, ident, keys, sections_of, verdict
from cortex.peer.gossip.codec import MessageError
from cortex.peer.gossip.facts import Facts
from cortex.peer.gossip.ids import ModelId
from cortex.peer.gossip.records import LOAD_DRAINING, NO_LOAD, Address, LoadRecord, ModelLoad
from cortex.peer.gossip.sections import (
    READY,
    Claim,
    Device,
    Hardware,
    LoadedModel,
    Models,
    pack_content,
    unpack_content,
)
from cortex.peer.keys.fleet_key import FleetKey
from cortex.peer.keys.keyring import Keyring

MODEL, OTHER = ModelId(b"a model!"), ModelId(b"another!")


@given(st.integers(0, 100), st.integers(0, 300), st.text(max_size=300))
def test_however_much_there_is_to_tell_it_fits_a_row_and_can_be_read(
    number: int, length: int, name: str
):
    placed = (LoadedModel(MODEL, "m" * length, READY, 2**40, 2**40, 1, "c" * length),) * number
    state = OwnState(placed=placed, claims=(Claim(MODEL, 40),) * number)
    hardware = Hardware((Device("card" * 16, 2**40),) * number, 8, 2**40)
    about = About("b" * length, "s" * length, "a" * length, ("r" * length,) * number, hardware)
    keyring = Keyring(FleetKey(bytes(32)), tuple(FleetKey(bytes([n] * 32)) for n in range(1, 8)))
    address = Address("192.168.1.23", 13132)
    told = (ident(name, [address] * 4, about), hardware, keys(keyring))
    facts = Facts()
    for content in (*told, *sections_of(state, about, bytes(16))):
        data = fitting(content)
        facts.write(content.SECTION, data)
        try:
            unpack_content(type(content), data)
        except MessageError as error:  # its readers would take it for nothing
            raise AssertionError(f"{content} cannot be read") from error


def test_what_fits_is_told_whole_and_else_the_first_of_it():
    one = LoadedModel(MODEL, "cortex-nano", READY, 90, 4096, 4, "float32")
    assert fitting(Models((one,) * 3)) == pack_content(Models((one,) * 3))
    few = unpack_content(Models, fitting(Models((one,) * 100)))
    assert 10 < len(few.models) < 100


def busy(num_inflight: int, num_queued: int = 0, *models: ModelLoad, flags: int = 0) -> LoadRecord:
    return replace(
        NO_LOAD, flags=flags, num_inflight=num_inflight, num_queued=num_queued, models=models
    )


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (OwnState(slots=2, load=busy(1)), "accept"),
        (OwnState(slots=2, load=busy(2)), "busy"),
        (OwnState(slots=3, load=busy(1, 1)), "queue"),
        (OwnState(slots=3, load=busy(1, 2)), "busy"),
        (OwnState(slots=3, load=busy(1, 0, ModelLoad(MODEL, 1, 0, 0))), "queue"),
        (OwnState(slots=3, load=busy(1, 0, ModelLoad(MODEL, 1, 0, 1))), "accept"),
        (OwnState(slots=9, load=busy(1, 2, ModelLoad(MODEL, 1, 0, 1))), "accept"),
        (OwnState(slots=9, load=busy(1, 2, ModelLoad(MODEL, 1, 1, 1))), "queue"),
        (OwnState(slots=3, load=busy(0, flags=LOAD_DRAINING)), "busy"),
        (OwnState(), "busy"),
    ],
)
def test_the_word_for_one_more_request(state: OwnState, word: str):
    assert verdict(state, MODEL)[0] == word


def test_who_waits_is_told_for_about_how_long():
    state = OwnState(slots=9, load=busy(3, 2), stay_ms=1000)
    assert verdict(state, MODEL) == ("queue", 600)
    full = OwnState(slots=9, load=busy(4, 4, ModelLoad(MODEL, 2, 1, 0)), stay_ms=1500)
    assert verdict(full, MODEL) == ("queue", 1000), "behind those for the same model"


def test_the_wait_for_a_model_goes_by_how_long_requests_are_with_it():
    load = busy(4, 4, ModelLoad(MODEL, 8, 4, 0))
    state = OwnState(slots=9, load=load, stay_ms=20, stays_ms={MODEL: 60_000})
    assert verdict(state, MODEL) == ("queue", 25_000)
    unheard = OwnState(slots=9, load=load, stay_ms=600, stays_ms={OTHER: 60_000})
    assert verdict(unheard, MODEL) == ("queue", 250), "none has ended with it yet"


def test_who_is_refused_is_told_when_a_place_may_be_free():
    state = OwnState(slots=8, load=busy(8), stay_ms=20_000)
    assert verdict(state, MODEL) == ("busy", 2500)
    waiting = OwnState(slots=8, load=busy(2, 6), stay_ms=20_000)
    assert verdict(waiting, MODEL) == ("busy", 17_500)
    assert verdict(OwnState(slots=1, load=busy(1)), MODEL) == ("busy", 0), "none has ended yet"
