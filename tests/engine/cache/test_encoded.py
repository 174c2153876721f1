"""Pictures are encoded once, and kept as long as there is room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.cache.encoded import EncoderCache
from cortex.engine.errors import InternalError

A, B, C = b"a", b"b", b"c"


class Encoding:
    """A cache, and which pictures had to be encoded for it."""

    def __init__(self, budget_bytes: int) -> None:
        self.cache = EncoderCache[str](budget_bytes)
        self.encoded: list[bytes] = []

    def encode(self, image_hash: bytes) -> str:
        self.encoded.append(image_hash)
        return image_hash.decode()

    def ask(self, *hashes: bytes) -> None:
        rows = self.cache.rows(dict.fromkeys(hashes, 10), self.encode)
        assert rows == {image_hash: image_hash.decode() for image_hash in hashes}


def test_picture_encoded_once_is_there_for_the_next() -> None:
    encoding = Encoding(100)
    encoding.ask(A)
    encoding.ask(A, B)
    assert encoding.encoded == [A, B]
    assert encoding.cache.used_bytes == 20


def test_picture_used_longest_ago_goes_first() -> None:
    encoding = Encoding(20)
    for image_hash in (A, B, A, C):
        encoding.ask(image_hash)
    assert encoding.encoded == [A, B, C]
    encoding.ask(A, C)
    assert encoding.encoded == [A, B, C]
    encoding.ask(B)
    assert encoding.encoded == [A, B, C, B]


def test_wanted_picture_does_not_go_for_its_neighbour() -> None:
    encoding = Encoding(20)
    for hashes in ((A,), (B,), (A, C)):
        encoding.ask(*hashes)
    assert encoding.encoded == [A, B, C]


def test_what_can_never_be_there_together_lets_nothing_go() -> None:
    encoding = Encoding(20)
    encoding.ask(A, B)
    with pytest.raises(InternalError, match="30 bytes of pictures are wanted together, where 20"):
        encoding.ask(A, B, C)
    encoding.ask(A, B)
    assert encoding.encoded == [A, B]


def test_picture_that_could_not_be_encoded_takes_no_room_and_is_tried_again() -> None:
    encoding = Encoding(20)

    def fails(image_hash: bytes) -> str:
        raise KeyError(image_hash)

    with pytest.raises(KeyError):
        encoding.cache.rows({A: 10}, fails)
    assert encoding.cache.used_bytes == 0
    encoding.ask(A, B)
    assert encoding.encoded == [A, B]


SIZES = {bytes([letter]): 10 + letter % 7 for letter in b"abcdefg"}


@given(st.lists(st.sets(st.sampled_from(sorted(SIZES)), max_size=3), max_size=30))
def test_whatever_is_asked_for_is_there_within_the_budget(asked: list[set[bytes]]) -> None:
    """Three of them always fit."""
    encoding = Encoding(50)
    for hashes in asked:
        pictures = {image_hash: SIZES[image_hash] for image_hash in hashes}
        assert encoding.cache.rows(pictures, encoding.encode) == {h: h.decode() for h in hashes}
        assert encoding.cache.used_bytes <= 50
    if sum(SIZES[h] for h in {h for hashes in asked for h in hashes}) <= 50:
        assert len(encoding.encoded) == len(set(encoding.encoded))
