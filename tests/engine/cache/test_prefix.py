"""What is remembered is found again, whole and right, and never more than the budget holds."""

from __future__ import annotations

import hashlib
import itertools
import time
import unittest
from collections.abc import Sequence
from contextlib import ExitStack
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cortex.engine.cache.ledger import Reservation
from cortex.engine.cache.prefix import Source
from cortex.engine.cache.symbols import SYMBOL_BYTES, common_symbols
from cortex.engine.errors import InternalError
from tests.engine.cache.trees import (
    KV_BYTES,
    STATE_BYTES,
    Store,
    cut,
    find,
    hybrid,
    insert,
    plain,
    remember,
    split,
    token_symbols,
)


def test_longest_beginning_with_a_state_is_restored() -> None:
    _, tree = hybrid()
    remember(tree, range(10), 3, 7)
    assert find(tree, range(10)).num_tokens == 7
    assert find(tree, [*range(6), 99]).num_tokens == 3
    assert find(tree, [99]).num_tokens == 0


def test_last_token_of_a_prompt_is_always_computed() -> None:
    for _, tree in (hybrid(), plain()):
        remember(tree, range(10), 3, 10)
        assert find(tree, range(11)).num_tokens == 10
        assert find(tree, range(10)).num_tokens == (3 if tree.is_recurrent else 9)
        assert find(tree, [0]).num_tokens == 0


def test_only_ends_at_which_the_prompt_would_be_cut_are_used() -> None:
    _, tree = hybrid()
    remember(tree, range(10), 3, 5, 7)
    assert find(tree, range(20), (3, 6, 10)).num_tokens == 3
    assert find(tree, range(20), (5, 7, 10)).num_tokens == 7
    assert find(tree, range(20), ()).num_tokens == 0
    _, tree = plain()
    remember(tree, range(10))
    assert find(tree, range(20), (4, 8, 12)).num_tokens == 8


def test_segments_that_begin_alike_live_side_by_side() -> None:
    _, tree = hybrid()
    remember(tree, range(10), 8)
    remember(tree, [*range(5), 50, 51, 52], 6, 8)
    assert find(tree, range(10)).num_tokens == 8
    assert find(tree, [*range(5), 50, 51, 52, 53]).num_tokens == 8
    assert find(tree, [*range(5), 50, 99]).num_tokens == 6


def test_shorter_segment_is_found_beside_a_longer_one_that_may_not_be_used() -> None:
    _, tree = hybrid()
    remember(tree, range(10), 8)
    remember(tree, range(10), 5)
    assert find(tree, range(20), (5, 9)).num_tokens == 5
    assert find(tree, range(20), (8,)).num_tokens == 8


def test_without_states_a_segment_is_used_in_part_and_split_where_prompts_part() -> None:
    store, tree = plain()
    remember(tree, range(10))
    assert find(tree, [*range(6), 99]).num_tokens == 6
    remember(tree, [*range(6), 60, 61])
    assert store.used_bytes == (10 + 2) * KV_BYTES
    assert [s.num_tokens for s in find(tree, [*range(6), 60, 61, 62]).segments] == [6, 2]
    assert [s.num_tokens for s in find(tree, range(20)).segments] == [6, 4]
    store.check_integrity()


def test_for_the_same_bits_a_segment_is_split_at_a_cut_alone() -> None:
    store, tree = plain()
    parted = [*range(6), 60, 61, 62]
    for tokens in (range(10), parted):
        assert insert(tree, token_symbols(tokens), 8, cuts=(4, 8))
    assert store.used_bytes == (8 + 4) * KV_BYTES
    assert [s.num_tokens for s in find(tree, parted, (4, 8)).segments] == [4, 4]
    assert [s.num_tokens for s in find(tree, range(10), (4, 8)).segments] == [4, 4]
    store.check_integrity()


def test_only_what_is_missing_is_copied() -> None:
    for store, tree in (hybrid(), plain()):
        remember(tree, range(10), 6)
        remember(tree, range(10), 6, 10)
        states = 2 * STATE_BYTES if tree.is_recurrent else 0
        assert store.used_bytes == 10 * KV_BYTES + states


def test_a_match_says_where_the_prompt_left_what_is_known() -> None:
    _, tree = hybrid()
    remember(tree, range(10), 4, 8)
    match = find(tree, [0, 1, 2, 3, 4, 5, 99, 100])
    assert (match.num_tokens, match.diverged_at) == (4, 6)
    assert match.reason == "prefix diverged at token 6 of 8, usable up to 4"
    assert find(tree, range(8)).reason == "all 8 tokens are known, usable up to 4"
    assert find(tree, [7]).reason == "prefix diverged at token 0 of 1"


def test_models_do_not_share_what_they_remember_but_share_the_bytes() -> None:
    store = Store(1000)
    one, other = store.tree("one", None), store.tree("other", None)
    assert store.tree("one", None) is one
    remember(one, range(60))
    assert find(other, range(61)).num_tokens == 0
    assert remember(other, range(60))
    assert find(one, range(61)).num_tokens == 0
    store.check_integrity()


def test_copy_that_fails_leaves_the_books_right() -> None:
    for store, tree in (hybrid(), plain()):
        remember(tree, range(10))

        def broken(start: int, end: int) -> bytes:
            raise MemoryError

        with pytest.raises(MemoryError):
            symbols = token_symbols([*range(5), 50, 51])
            tree.insert(symbols, 7, Source(broken, KV_BYTES), is_border=True)
        store.check_integrity()
        assert find(tree, range(11)).num_tokens == 10


def test_reserved_bytes_are_not_remembered_in() -> None:
    store, tree = plain(budget_bytes=200)
    remember(tree, range(20))
    reservation = store.reserve(150)
    assert reservation is not None
    assert (store.used_bytes, store.reserved_bytes) == (0, 150)
    assert not remember(tree, range(6))
    assert store.reserve(51) is None
    reservation.release()
    assert remember(tree, range(20))


def test_reservation_given_back_twice_is_an_error() -> None:
    reservation = Store(10).reserve(10)
    assert reservation is not None
    reservation.release()
    with pytest.raises(InternalError, match="already given back"):
        reservation.release()


def test_a_thousand_conversations_under_one_head_are_found_quickly() -> None:
    _, tree = hybrid()
    head = list(range(2000))
    conversations = [[*head, 1, 1, n, *range(400)] for n in range(1000)]
    for conversation in conversations:
        remember(tree, conversation, 2000, 2300, 2403)
    started_s = time.process_time()
    for conversation in conversations[::10]:
        assert find(tree, [*conversation, 7]).num_tokens == 2403
    assert (time.process_time() - started_s) / 100 < 0.005


def test_evicting_takes_no_search_through_everything() -> None:
    _, tree = hybrid(budget_bytes=5000 * (KV_BYTES + STATE_BYTES))
    for n in range(5000):
        remember(tree, [n])
    started_s = time.process_time()
    for n in range(5000, 6000):
        assert remember(tree, [n])
    assert (time.process_time() - started_s) / 1000 < 0.001


_PROMPTS = st.lists(st.integers(0, 2), min_size=1, max_size=14)


@given(
    st.lists(st.tuples(_PROMPTS, st.integers(0, 13)), max_size=12),
    _PROMPTS,
    st.sets(st.integers(1, 14)),
    st.booleans(),
)
@settings(deadline=None)
def test_lookup_finds_what_a_list_of_all_prefixes_finds(
    known: list[tuple[list[int], int]], prompt: list[int], ends: set[int], recurrent: bool
) -> None:
    store, tree = hybrid() if recurrent else plain()
    prefixes: list[list[int]] = []
    for tokens, end in known:
        prefixes.append(tokens[: 1 + end % len(tokens)])
        assert remember(tree, prefixes[-1])
    store.check_integrity()
    shared = [common_symbols(token_symbols(p), token_symbols(prompt)) for p in prefixes]
    known_tokens = max(shared, default=0)
    if recurrent:
        usable = {s for p, s in zip(prefixes, shared, strict=True) if s == len(p)}
    else:
        usable = set(range(known_tokens + 1))
    usable &= set(range(len(prompt)))
    for allowed in (None, sorted(ends)):
        match = find(tree, prompt, allowed)
        assert match.diverged_at == known_tokens
        best = usable if allowed is None else usable & ends
        assert match.num_tokens == max(best, default=0)


def cuts_of(tokens: Sequence[int]) -> list[int]:
    """Behind every 0: prompts that begin alike are cut alike."""
    return [end for end, token in enumerate(tokens, start=1) if token == 0]


def computed(tokens: Sequence[int]) -> list[bytes]:
    """Of each token what depends on all of the chunk that it lies in, and nothing behind."""
    starts = [0, *cuts_of(tokens)]
    chunks = [(a, b) for a, b in itertools.pairwise([*starts, len(tokens)]) if a < b]
    digests = [(hashlib.sha256(token_symbols(tokens[:b])).digest(), b - a) for a, b in chunks]
    return [digest[:SYMBOL_BYTES] for digest, length in digests for _ in range(length)]


@given(st.lists(st.tuples(_PROMPTS, st.sets(st.integers(1, 14))), max_size=12))
@settings(deadline=None)
def test_tokens_of_one_chunk_are_found_as_they_were_computed_together(
    prompts: list[tuple[list[int], set[int]]],
) -> None:
    store, tree = plain()
    known: list[bytes] = []
    for tokens, wanted in prompts:
        symbols, cuts, own = token_symbols(tokens), cuts_of(tokens), computed(tokens)
        match = tree.lookup(symbols, cuts)
        assert b"".join(cut(s.kv, 0, s.num_tokens) for s in match.segments) == b"".join(
            own[: match.num_tokens]
        )
        shared = max((common_symbols(prefix, symbols) for prefix in known), default=0)
        best = max((c for c in cuts if c <= min(shared, len(tokens) - 1)), default=0)
        assert match.num_tokens == best
        source: Source[bytes, bytes] = Source(
            lambda start, end, own=own: b"".join(own[start:end]), KV_BYTES
        )
        for end in sorted(wanted.intersection(cuts)):
            assert tree.insert(symbols, end, source, is_border=False, allowed_ends=cuts)
            known.append(cut(symbols, 0, end))
        store.check_integrity()


class Remembering(RuleBasedStateMachine):
    """Three trees, one small budget, restores in flight: what is found is right, and the books."""

    budget = 1200

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(self.budget)
        self.trees = [
            self.store.tree("hybrid", None),
            self.store.tree("plain", split),
            self.store.tree("plain, to the bit", split),
        ]
        self.inserted: list[set[bytes]] = [set(), set(), set()]
        self.restoring: list[tuple[int, list[int], int, ExitStack]] = []
        self.reserved: list[Reservation] = []

    @rule(
        which=st.integers(0, 2),
        tokens=_PROMPTS,
        ends=st.sets(st.integers(1, 14)),
        border=st.booleans(),
    )
    def insert(self, which: int, tokens: list[int], ends: set[int], border: bool) -> None:
        symbols, cuts = token_symbols(tokens), cuts_of(tokens) if which == 2 else None
        for end in sorted(e for e in ends if e <= len(tokens) and (cuts is None or e in cuts)):
            has_room = insert(self.trees[which], symbols, end, border, cuts)
            self.inserted[which].add(token_symbols(tokens[:end]))
            assert has_room or self.restoring or self.reserved
            if has_room:
                assert find(self.trees[which], [*tokens[:end], 9]).num_tokens == end

    @rule(which=st.integers(0, 2), tokens=_PROMPTS, allowed=st.none() | st.sets(st.integers(1, 14)))
    def lookup(self, which: int, tokens: list[int], allowed: set[int] | None) -> None:
        ends = None if allowed is None else sorted(allowed)
        match = find(self.trees[which], tokens, ends)
        shared = [common_symbols(p, token_symbols(tokens)) for p in self.inserted[which]]
        assert match.num_tokens <= match.diverged_at <= max(shared, default=0)
        assert match.num_tokens < len(tokens)
        assert not match.num_tokens or ends is None or match.num_tokens in ends

    @rule(which=st.integers(0, 2), tokens=_PROMPTS)
    def restore(self, which: int, tokens: list[int]) -> None:
        match = find(self.trees[which], tokens)
        stack = ExitStack()
        stack.enter_context(self.trees[which].restoring(match))
        self.restoring.append((which, tokens, match.num_tokens, stack))

    @precondition(lambda self: self.restoring)
    @rule(data=st.data())
    def finish_restoring(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.restoring) - 1))
        self.restoring.pop(index)[-1].close()

    @rule(num_bytes=st.integers(1, 600))
    def reserve(self, num_bytes: int) -> None:
        reservation = self.store.reserve(num_bytes)
        if reservation is not None:
            self.reserved.append(reservation)

    @precondition(lambda self: self.reserved)
    @rule()
    def release(self) -> None:
        self.reserved.pop().release()

    @invariant()
    def books_agree(self) -> None:
        self.store.check_integrity()
        assert self.store.used_bytes + self.store.reserved_bytes <= self.budget

    @invariant()
    def what_is_being_restored_is_there(self) -> None:
        for which, tokens, num_tokens, _ in self.restoring:
            assert find(self.trees[which], tokens).num_tokens >= num_tokens


Remembering.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestRemembering = cast(type[unittest.TestCase], Remembering.TestCase)
