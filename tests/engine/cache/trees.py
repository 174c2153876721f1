"""Trees of prefixes whose payload can be read: what is remembered, found and used, in one line."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Sequence

from cortex.engine.cache.prefix import Match, PrefixTree, Source
from cortex.engine.cache.store import PrefixStore
from cortex.engine.cache.symbols import SYMBOL_BYTES

KV_BYTES = 10
STATE_BYTES = 100
PLENTY = 10**9

# The payload of a test is the very symbols that it stands for: whatever is restored can be read.
Store = PrefixStore[bytes, bytes]
Tree = PrefixTree[bytes, bytes]
Found = Match[bytes, bytes]


def token_symbols(token_ids: Iterable[int]) -> bytes:
    """The symbols of tokens that are no picture places."""
    return array("Q", token_ids).tobytes()


def cut(symbols: bytes, start: int, end: int) -> bytes:
    return symbols[start * SYMBOL_BYTES : end * SYMBOL_BYTES]


def split(kv: bytes, num_tokens: int) -> tuple[bytes, bytes]:
    return kv[: num_tokens * SYMBOL_BYTES], kv[num_tokens * SYMBOL_BYTES :]


def remember(tree: Tree, tokens: Sequence[int], *ends: int, is_border: bool = True) -> bool:
    """As one request would: each end in turn. Whether all of them found room."""
    symbols = token_symbols(tokens)
    stored = [insert(tree, symbols, end, is_border) for end in ends or (len(tokens),)]
    return all(stored)


def insert(
    tree: Tree,
    symbols: bytes,
    end: int,
    is_border: bool = True,
    cuts: Sequence[int] | None = None,
    *,
    begins_answer: bool = False,
) -> bool:
    source = Source(
        copy_kv=lambda start, stop: cut(symbols, start, stop),
        kv_bytes_per_token=KV_BYTES,
        copy_state=(lambda: cut(symbols, 0, end)) if tree.is_recurrent else None,
        state_bytes=STATE_BYTES if tree.is_recurrent else 0,
    )
    return tree.insert(
        symbols,
        end,
        source,
        is_border=is_border,
        begins_answer=begins_answer,
        allowed_ends=cuts,
    )


def find(tree: Tree, tokens: Sequence[int], allowed: Sequence[int] | None = None) -> Found:
    """Look up, and check that what would be restored is what the prompt begins with."""
    symbols = token_symbols(tokens)
    match = tree.lookup(symbols, allowed)
    parts = [cut(segment.kv, 0, segment.num_tokens) for segment in match.segments]
    assert b"".join(parts) == cut(symbols, 0, match.num_tokens)
    starts = [0, *itertools.accumulate(segment.num_tokens for segment in match.segments)]
    assert [segment.start for segment in match.segments] == starts[:-1]
    assert match.state == (b"".join(parts) if tree.is_recurrent and parts else None)
    return match


def use(tree: Tree, tokens: Sequence[int]) -> int:
    match = find(tree, tokens)
    with tree.restoring(match):
        return match.num_tokens


class Clock:
    """Turned by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def hybrid(budget_bytes: int = PLENTY, clock: Clock | None = None) -> tuple[Store, Tree]:
    store = Store(budget_bytes, clock or Clock())
    return store, store.tree("hybrid", None)


def plain(budget_bytes: int = PLENTY) -> tuple[Store, Tree]:
    store = Store(budget_bytes)
    return store, store.tree("plain", split)
