"""Pictures are encoded once, and stay while somebody needs them."""

from __future__ import annotations

import unittest
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cortex.engine.cache.encoded import EncoderCache, ImageLease
from cortex.engine.errors import InternalError

A, B, C = b"a", b"b", b"c"


def leased(cache: EncoderCache[str], *hashes: bytes, num_bytes: int = 10) -> ImageLease[str]:
    lease = cache.lease(dict.fromkeys(hashes, num_bytes))
    assert lease is not None
    return lease


def encode(cache: EncoderCache[str], image_hash: bytes) -> None:
    with leased(cache, image_hash) as lease:
        lease.fill(image_hash, image_hash.decode())


def is_kept(cache: EncoderCache[str], image_hash: bytes) -> bool:
    with leased(cache, image_hash) as lease:
        return lease.rows(image_hash) is not None


def test_picture_encoded_once_is_there_for_the_next() -> None:
    cache = EncoderCache[str](100)
    encode(cache, A)
    with leased(cache, A, B) as lease:
        assert (lease.rows(A), lease.rows(B)) == ("a", None)
    assert (cache.stats.num_wanted, cache.stats.num_found) == (3, 1)


def test_picture_encoded_for_one_is_seen_by_another_that_waits_for_it() -> None:
    cache = EncoderCache[str](100)
    with leased(cache, A) as one, leased(cache, A) as other:
        one.fill(A, "rows")
        assert other.rows(A) == "rows"
    assert cache.stats.used_bytes == 10


def test_picture_used_longest_ago_goes_first() -> None:
    cache = EncoderCache[str](20)
    for image_hash in (A, B, A, C):
        encode(cache, image_hash)
    assert cache.stats.num_evictions == 1
    assert is_kept(cache, A)
    assert is_kept(cache, C)


def test_picture_in_use_never_goes() -> None:
    cache = EncoderCache[str](20)
    with leased(cache, A) as lease:
        lease.fill(A, "a")
        for image_hash in (B, C):
            encode(cache, image_hash)
        assert cache.lease({B: 10, C: 10}) is None
        assert is_kept(cache, C)
        lease.release(A)
        assert leased(cache, B, C)
    cache.check_integrity()


def test_a_refused_lease_takes_and_evicts_nothing() -> None:
    cache = EncoderCache[str](20)
    encode(cache, A)
    assert cache.lease({B: 21}) is None
    assert cache.stats.num_evictions == 0
    assert is_kept(cache, A)


def test_wanted_picture_is_not_evicted_for_its_neighbour() -> None:
    cache = EncoderCache[str](20)
    encode(cache, A)
    encode(cache, B)
    with leased(cache, A, C) as lease:
        assert lease.rows(A) == "a"


def test_room_of_a_picture_never_encoded_is_given_back() -> None:
    cache = EncoderCache[str](20)
    with pytest.raises(KeyError), leased(cache, A, B):
        raise KeyError
    assert cache.stats.used_bytes == 0


def test_picture_given_back_twice_is_an_error() -> None:
    lease = leased(EncoderCache[str](20), A)
    lease.release(A)
    with pytest.raises(InternalError, match="not held"):
        lease.release(A)
    with pytest.raises(InternalError, match="not held"):
        lease.rows(A)


class Encoding(RuleBasedStateMachine):
    """Sequences come and go with their pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = EncoderCache[str](50)
        self.leases: list[tuple[ImageLease[str], dict[bytes, int]]] = []

    @rule(hashes=st.sets(st.sampled_from([A, B, C, b"d", b"e"]), min_size=1))
    def lease(self, hashes: set[bytes]) -> None:
        images = {h: 10 + h[0] % 7 for h in hashes}
        lease = self.cache.lease(images)
        if lease is not None:
            self.leases.append((lease, images))
        else:
            in_use = {h: size for _, held in self.leases for h, size in held.items()}
            assert sum((in_use | images).values()) > 50

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), is_encoded=st.booleans())
    def finish(self, data: st.DataObject, is_encoded: bool) -> None:
        lease, images = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        with lease:
            for image_hash in images if is_encoded else ():
                lease.fill(image_hash, image_hash.decode())

    @invariant()
    def books_agree(self) -> None:
        self.cache.check_integrity()
        for lease, images in self.leases:
            assert all(lease.rows(h) in (None, h.decode()) for h in images)


Encoding.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestEncoding = cast(type[unittest.TestCase], Encoding.TestCase)
