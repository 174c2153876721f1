"""For a prompt, the longest beginning that is remembered and can be restored.

A tree belongs to one model. Payloads are opaque here: copies in host memory of keys and values,
and of recurrent states. What they may cost, and what goes when they cost too much, is in the
ledger that the trees of all models share.

For the same results as without: insert only at cuts of `chunks.chunk_ends` (not at a prompt's own
end, nor behind generated tokens), and give the prompt's own cuts with every insert and look-up.
Where results need only agree within tolerance, any end may be inserted, and every end allowed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from ..errors import InternalError
from .ledger import Ledger
from .radix import Children, K, Node, S, follow
from .symbols import SYMBOL_BYTES, num_symbols

# Cuts keys and values after so many tokens. Both halves are copies: a view would keep the whole.
SplitKv = Callable[[K, int], tuple[K, K]]


@dataclass(frozen=True, slots=True)
class Source(Generic[K, S]):
    """What a sequence can have copied of itself. Called only once there is room for the copy.

    `copy_kv(start, end)` copies the keys and values of these tokens. `copy_state` is the recurrent
    state as it is now, None for a model without.
    """

    copy_kv: Callable[[int, int], K]
    kv_bytes_per_token: int
    copy_state: Callable[[], S] | None = None
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Segment(Generic[K]):
    """The first `num_tokens` tokens of `kv` are those of the prompt from `start` on."""

    start: int
    num_tokens: int
    kv: K


@dataclass(frozen=True, slots=True)
class Match(Generic[K, S]):
    """The beginning of a prompt that can be restored: `num_tokens` of `prompt_tokens`.

    `segments` together are these tokens, `state` is the recurrent state behind them. Up to token
    `diverged_at` the prompt is what some other prompt was, whether or not that is of use.
    """

    prompt_tokens: int
    num_tokens: int
    segments: tuple[Segment[K], ...]
    state: S | None
    diverged_at: int
    node: Node[K, S] | None

    @property
    def reason(self) -> str:
        """Why it is not more, for the log."""
        if self.diverged_at == self.prompt_tokens:
            known = f"all {self.prompt_tokens} tokens are known"
        else:
            known = f"prefix diverged at token {self.diverged_at} of {self.prompt_tokens}"
        used = "" if self.num_tokens == self.diverged_at else f", usable up to {self.num_tokens}"
        return known + used


class Held(Generic[K, S]):
    """A beginning that stays in the tree until it is released, for whoever will go on behind it."""

    def __init__(self, ledger: Ledger, node: Node[K, S] | None, num_tokens: int) -> None:
        self.num_tokens = num_tokens
        self._ledger = ledger
        self._node = node
        if node is not None:
            ledger.pin(node)

    @property
    def segments(self) -> tuple[Segment[K], ...]:
        """As they are now: others may have split them since."""
        return _segments(self._node, self.num_tokens)

    def release(self) -> None:
        """Once, when it is needed no more."""
        if self._node is not None:
            self._ledger.unpin(self._node)


class PrefixTree(Generic[K, S]):
    """What is remembered for one model."""

    def __init__(self, ledger: Ledger, split_kv: SplitKv[K] | None) -> None:
        self._ledger = ledger
        self._split_kv = split_kv
        self._top: Children[K, S] = Children()

    @property
    def is_recurrent(self) -> bool:
        return self._split_kv is None

    def lookup(self, symbols: bytes, allowed_ends: Sequence[int] | None = None) -> Match[K, S]:
        """The longest usable beginning of a prompt; its last token is never part of it.

        It ends at one of `allowed_ends` (ascending), or anywhere where that is None. Looking
        changes nothing: a match that is made use of goes through `restoring`.
        """
        trail = follow(self._top, symbols)
        last = num_symbols(symbols) - 1
        if self.is_recurrent:
            node = _deepest_state(trail.whole, last, allowed_ends)
            num_tokens = node.end if node else 0
        else:
            node = trail.furthest
            num_tokens = _last_allowed(min(trail.known_tokens, last), allowed_ends)
        while node is not None and node.start >= num_tokens:
            node = node.parent
        return Match(
            prompt_tokens=last + 1,
            num_tokens=num_tokens,
            segments=_segments(node, num_tokens),
            state=node.state if node else None,
            diverged_at=trail.known_tokens,
            node=node,
        )

    def hold(self, symbols: bytes, allowed_ends: Sequence[int] | None = None) -> Held[K, S]:
        """What `lookup` finds, kept where it is; nobody is said to have come by."""
        match = self.lookup(symbols, allowed_ends)
        return Held(self._ledger, match.node, match.num_tokens)

    @contextmanager
    def restoring(self, match: Match[K, S]) -> Generator[None]:
        """Make use of a match now; while the block lasts nothing of it goes. An empty one is none.

        Of a match that has grown old some may be gone; then it is its own payload that lives on.
        """
        node = match.node if match.node and self._ledger.lists(match.node) else None
        with self._ledger.pinned(node):
            self._ledger.touch(node.path() if node else [])
            yield

    def insert(
        self,
        symbols: bytes,
        end: int,
        source: Source[K, S],
        *,
        is_border: bool,
        begins_answer: bool = False,
        allowed_ends: Sequence[int] | None = None,
    ) -> bool:
        """Remember the first `end` tokens of a prompt, copying what is not yet there.

        What other prompts left there is built upon up to one of `allowed_ends`, or to where they
        part if that is None: the tokens of one chunk are kept as they were computed together.
        `is_border` says that a message of the chat ends there, `begins_answer` that the answer to
        the last question begins. False where the budget has no room. A prompt that it could never
        hold whole takes nothing from the next turns of others.
        """
        whole_bytes = num_symbols(symbols) * source.kv_bytes_per_token + source.state_bytes
        is_too_long = whole_bytes > self._ledger.budget_bytes
        symbols = symbols[: end * SYMBOL_BYTES]
        trail = follow(self._top, symbols)
        if self.is_recurrent:
            above = max(trail.whole, key=lambda node: node.end, default=None)
            known_tokens = above.end if above else 0
        else:
            above = trail.furthest
            known_tokens = _last_allowed(trail.known_tokens, allowed_ends)
            while above is not None and above.start >= known_tokens:
                above = above.parent
        has_state = above is not None and known_tokens == end and above.state is not None
        state_bytes = 0 if has_state else source.state_bytes
        kv_bytes = (end - known_tokens) * source.kv_bytes_per_token
        with self._ledger.pinned(above):
            if not self._ledger.make_room(kv_bytes + state_bytes, spares_live=is_too_long):
                return False
            state = None if has_state or source.copy_state is None else source.copy_state()
            if known_tokens < end or above is None:
                kv = source.copy_kv(known_tokens, end)
                if above is not None and known_tokens < above.end:
                    above = self._split(above, known_tokens)
                above = self._added(above, symbols, kv, kv_bytes)
            if state is not None:
                above.state, above.state_bytes = state, state_bytes
            above.is_border |= is_border
            above.begins_answer |= begins_answer
            self._ledger.add(kv_bytes + state_bytes)
            self._ledger.touch(above.path())
        return True

    def checked_nodes(self) -> list[Node[K, S]]:
        """All nodes. Raises InternalError where their shape is not that of a tree of prompts."""
        nodes: list[Node[K, S]] = []
        levels: list[tuple[Node[K, S] | None, Children[K, S]]] = [(None, self._top)]
        while levels:
            parent, children = levels.pop()
            keys = [node.key for node in children]
            if keys != sorted(set(keys)):
                raise InternalError(f"segments below token {parent.end if parent else 0} overlap")
            for node in children:
                is_ours = node.parent is parent and node.siblings is children
                if not (is_ours and node.start == (parent.end if parent else 0)) or (
                    node.is_stranded and not node.num_pins
                ):
                    raise InternalError(f"the segment {node.start} to {node.end} is out of place")
                levels.append((node, node.children))
            nodes += children
        return nodes

    def _added(self, parent: Node[K, S] | None, symbols: bytes, kv: K, kv_bytes: int) -> Node[K, S]:
        node = Node(
            key=symbols[(parent.end if parent else 0) * SYMBOL_BYTES :],
            end=num_symbols(symbols),
            kv=kv,
            kv_bytes=kv_bytes,
            is_recurrent=self.is_recurrent,
            parent=parent,
            siblings=parent.children if parent else self._top,
        )
        node.siblings.add(node)
        return node

    def _split(self, node: Node[K, S], end: int) -> Node[K, S]:
        """Cut a node at a token inside it; the new upper half. The lower one is still `node`."""
        assert self._split_kv is not None
        num_tokens = end - node.start
        kv, rest = self._split_kv(node.kv, num_tokens)
        upper = Node(
            key=node.key[: num_tokens * SYMBOL_BYTES],
            end=end,
            kv=kv,
            kv_bytes=node.kv_bytes * num_tokens // num_symbols(node.key),
            is_recurrent=False,
            parent=node.parent,
            siblings=node.siblings,
        )
        node.siblings.remove(node)
        node.siblings.add(upper)
        node.key = node.key[num_tokens * SYMBOL_BYTES :]
        node.kv, node.kv_bytes = rest, node.kv_bytes - upper.kv_bytes
        node.parent, node.siblings = upper, upper.children
        upper.children.add(node)
        return upper


def _segments(node: Node[K, S] | None, num_tokens: int) -> tuple[Segment[K], ...]:
    """The first so many tokens of those from the top down to a node."""
    path = [n for n in (node.path() if node else ()) if n.start < num_tokens]
    return tuple(Segment(n.start, min(n.end, num_tokens) - n.start, n.kv) for n in path)


def _deepest_state(
    nodes: Iterable[Node[K, S]], last: int, allowed_ends: Sequence[int] | None
) -> Node[K, S] | None:
    usable = (
        node
        for node in nodes
        if node.state is not None and _last_allowed(min(node.end, last), allowed_ends) == node.end
    )
    return max(usable, key=lambda node: node.end, default=None)


def _last_allowed(position: int, allowed_ends: Sequence[int] | None) -> int:
    """The last allowed end that is not behind a position; 0 where there is none."""
    if allowed_ends is None:
        return max(position, 0)
    index = bisect_right(allowed_ends, position)
    return allowed_ends[index - 1] if index else 0
