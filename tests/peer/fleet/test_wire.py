"""Bodies between peers: squeezed, bounded, cut into pages; and lists of models by their hash."""

from __future__ import annotations

import random
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.fleet.catalogues import Catalogues
from cortex.peer.fleet.view import StoredModel
from cortex.peer.fleet.wire import (
    MAX_BODY_BYTES,
    SyncQuestion,
    SyncReply,
    digest_of,
    packed,
    packed_catalogue,
    page,
    read_catalogue,
    unpacked,
)
from cortex.peer.gossip.codec import MessageError, packed_bytes
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import Digest, Row, Section


def row(number: int, num_bytes: int = 100) -> Row:
    content = random.Random(number).randbytes(num_bytes)
    return Row(NodeId(number.to_bytes(8, "big")), 1, 0, 0, 1, (Section(1, 1, content),))


def stored(number: int) -> StoredModel:
    model = ModelId(number.to_bytes(8, "big"))
    return StoredModel(model, f"org/model-{number}", 10**9, 4096, ("text", "vision"), 1_700_000_000)


@pytest.mark.parametrize("num_rows", [0, 1, 1000])
def test_a_body_comes_back_as_it_was(num_rows: int):
    reply = SyncReply(
        tuple(row(number) for number in range(num_rows)),
        (Digest(NodeId(b"somebody"), 1, 2, 3, 4),),
        has_more=True,
    )
    assert unpacked(SyncReply, packed(reply)) == reply


def test_what_is_long_is_squeezed_and_what_is_short_is_not():
    digests = tuple(Digest(NodeId(bytes(8)), 1, 2, 3, 4) for _ in range(1000))
    assert packed(SyncQuestion(digests))[0] == 1
    assert len(packed(SyncQuestion(digests))) < 1000
    assert packed(SyncQuestion(digests[:3]))[0] == 0


def test_a_newer_peer_may_say_more():
    plain: dict[str, Any] = {"digest": [], "rows": [], "novelty": {"of": ["any", "kind"]}}
    assert unpacked(SyncQuestion, b"\x00" + msgspec.msgpack.encode(plain)) == SyncQuestion(())


def test_a_bomb_is_opened_no_further_than_a_body_may_be():
    bomb = b"\x01" + zlib.compress(bytes(10 * MAX_BODY_BYTES))
    assert len(bomb) < MAX_BODY_BYTES
    with pytest.raises(MessageError, match=f"more than {MAX_BODY_BYTES} bytes"):
        unpacked(SyncReply, bomb)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: b"\x01" + data))
def test_any_bytes_are_a_body_or_are_refused(data: bytes):
    try:
        unpacked(SyncReply, data)
    except MessageError:
        return


@given(st.lists(st.integers(0, 400), max_size=30), st.integers(1, 2000))
def test_pages_hold_every_row_once_and_fit(sizes: list[int], limit_bytes: int):
    rows = [row(number, size) for number, size in enumerate(sizes)]
    left, pages = rows, list[tuple[Row, ...]]()
    while left:
        pages.append(page(left, limit_bytes))
        left = left[len(pages[-1]) :]
    assert [each for part in pages for each in part] == rows
    assert all(len(part) == 1 or packed_bytes(part) <= limit_bytes + 5 for part in pages)


def test_the_same_models_have_the_same_hash_whatever_their_order():
    models = [stored(number) for number in range(5)]
    assert packed_catalogue(models) == packed_catalogue(reversed(models))
    assert packed_catalogue(models) != packed_catalogue(models[1:])
    assert read_catalogue(packed_catalogue(models)) == (tuple(models), True)


def test_what_a_model_can_do_that_is_not_known_here_is_passed_over():
    entry = [b"modelmod", "org/x\n", 1, 2, ["smell", "text"], 3, None, "more"]
    body = b"\x00" + msgspec.msgpack.encode({"models": [entry]})
    told = StoredModel(ModelId(b"modelmod"), "org/x?", 1, 2, ("text",), 3)
    assert read_catalogue(body) == ((told,), True)


@pytest.mark.parametrize("newer", [["no id"], 7, [b"modelmod", "x", 1, 2, ["smell"] * 17, 3]])
def test_a_model_in_words_that_are_not_known_here_takes_no_other_along(newer: Any):
    known = [b"modelmod", "org/x", 1, 2, ["text"], 3]
    body = b"\x00" + msgspec.msgpack.encode({"models": [newer, known]})
    catalogues = Catalogues()
    catalogues.keep(digest_of(body), body, ())
    model = StoredModel(ModelId(b"modelmod"), "org/x", 1, 2, ("text",), 3)
    assert catalogues.of(digest_of(body)) == (model,)
    assert not catalogues.is_whole(digest_of(body))


def test_a_list_that_is_not_the_one_told_of_is_not_kept():
    catalogues = Catalogues()
    body = packed_catalogue([stored(1)])
    with pytest.raises(MessageError):
        catalogues.keep(digest_of(packed_catalogue([stored(2)])), body, ())
    assert catalogues.of(digest_of(body)) is None


def test_what_is_no_list_at_all_is_not_asked_for_again():
    catalogues, garbage = Catalogues(), b"\x00garbage"
    catalogues.keep(digest_of(garbage), garbage, ())
    assert catalogues.of(digest_of(garbage)) == ()
    assert not catalogues.is_whole(digest_of(garbage))
    for number in range(9):  # nobody names it any more
        other = packed_catalogue([stored(number)])
        catalogues.keep(digest_of(other), other, ())
    catalogues.forget_unnamed(set())
    assert catalogues.is_whole(digest_of(garbage))


def test_lists_that_nobody_names_go_first_when_room_is_short():
    catalogues = Catalogues(max_models=4)
    bodies = [packed_catalogue([stored(2 * n), stored(2 * n + 1)]) for n in range(3)]
    digests = [digest_of(body) for body in bodies]
    catalogues.keep(digests[0], bodies[0], ())
    catalogues.keep(digests[1], bodies[1], (digests[0],))
    catalogues.keep(digests[2], bodies[2], (digests[0],))
    assert [catalogues.of(digest) is not None for digest in digests] == [True, False, True]
    assert catalogues.of(digests[1]) is None


def test_of_lists_that_nobody_names_the_newest_few_are_kept():
    catalogues = Catalogues()
    bodies = [packed_catalogue([stored(number)]) for number in range(8)]
    digests = [digest_of(body) for body in bodies]
    for digest, body in zip(digests, bodies, strict=True):
        catalogues.keep(digest, body, ())
    catalogues.forget_unnamed({digests[0]})
    known = [catalogues.of(digest) is not None for digest in digests]
    assert known == [True, False, False, False, True, True, True, True]
