"""The sections of a row: read back, grown, refused, and as small as the protocol says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.gossip.codec import MessageError, packed_bytes
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import Row, Section
from cortex.peer.gossip.sections import (
    READY,
    Catalog,
    Claim,
    Claims,
    Content,
    Device,
    Hardware,
    Ident,
    Keys,
    LoadedModel,
    Models,
    Policy,
    Reachable,
    pack_content,
    unpack_content,
)

MODEL = ModelId(b"a model!")
GIB = 2**30
KEY_ID = b"kid1"

IDENT = Ident(
    "home-desktop-4090",
    (
        Reachable("192.168.1.23", 13132, 0),
        Reachable("fd12:3456::23", 13132, 0),
        Reachable("100.64.0.7", 13132, 1),
    ),
    (1, 1),
    "0.4.2",
    "linux-x86_64",
    "192.168.1.23:13131",
)
HARDWARE = Hardware(
    (
        Device("NVIDIA RTX 4090", 24 * GIB),
        Device("NVIDIA RTX 3090", 24 * GIB),
    ),
    34,
    128 * GIB,
)
LOADED = LoadedModel(MODEL, "qwen3-32b-instruct-q4_k_m", READY, 19_800, 32_768, 4, "bfloat16, own")
MODELS = Models((LOADED,) * 3)
CATALOG = Catalog(24, b"0123456789abcdef")
POLICY = Policy(False, ("engine",))
CLAIMS = Claims((Claim(MODEL, 40),))
KEYS = Keys(KEY_ID, (KEY_ID,))
ALL: tuple[Content, ...] = (IDENT, HARDWARE, MODELS, CATALOG, POLICY, CLAIMS, KEYS)


@pytest.mark.parametrize("content", ALL, ids=lambda content: type(content).__name__)
def test_a_section_comes_back_as_it_was_and_may_have_grown(content: Content) -> None:
    data = pack_content(content)
    assert unpack_content(type(content), data) == content
    grown: list[Any] = [*msgspec.msgpack.decode(data), {"new": 1}]
    assert unpack_content(type(content), msgspec.msgpack.encode(grown)) == content


def test_every_section_has_a_number_of_its_own() -> None:
    assert [type(content).SECTION for content in ALL] == [1, 2, 3, 4, 5, 6, 8]


@given(st.binary(max_size=200), st.sampled_from(ALL))
def test_any_bytes_are_a_section_or_are_refused(data: bytes, content: Content) -> None:
    try:
        read = unpack_content(type(content), data)
    except MessageError:
        return
    assert unpack_content(type(content), pack_content(read)) == read


@pytest.mark.parametrize(
    ("content", "most_bytes"),
    [(IDENT, 114), (HARDWARE, 64), (MODELS, 191), (CATALOG, 20), (POLICY, 30), (KEYS, 15)],
    ids=lambda value: type(value).__name__,
)
def test_a_usual_section_is_about_as_small_as_the_protocol_says(
    content: Content, most_bytes: int
) -> None:
    """The page's figures or less, with what we say beside them: the public API, and how a model
    computes.
    """
    assert packed_bytes(content) <= most_bytes


def test_a_usual_row_is_as_small_as_the_protocol_says() -> None:
    few: tuple[Content, ...] = (
        IDENT,
        msgspec.structs.replace(HARDWARE, devices=HARDWARE.devices[:1]),
        Models((LOADED,)),
        CATALOG,
        KEYS,
    )
    assert packed_bytes(row_of(few)) <= 350
    assert packed_bytes(row_of((IDENT, HARDWARE, MODELS, CATALOG, KEYS))) <= 710


def row_of(contents: tuple[Content, ...]) -> Row:
    sections = tuple(
        Section(type(content).SECTION, 12, pack_content(content)) for content in contents
    )
    return Row(NodeId(b"the node"), 1_763_700_000, 3, 0, 41, sections)


def test_a_row_is_read_back_and_passes_on_sections_that_are_not_known() -> None:
    row = Row(NodeId(b"the node"), 7, 3, 0, 41, (Section(1, 1, b"x"), Section(200, 7, b"\xc1")))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=Row) == row
