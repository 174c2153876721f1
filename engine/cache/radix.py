"""The shape of what is remembered: segments of prompts, each below the one it follows.

A node holds a segment's tokens as symbols and opaque payloads: the keys and values of these
tokens, and for a recurrent model the state at the segment's end. A recurrent state can only be
used where it was taken; without states a segment can be used in part and split, but for the same
bits only where prompts are cut: so the segments of one parent may begin alike. Knows how nodes are
found; nothing of bytes, budgets, or when a node must go.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .symbols import SYMBOL_BYTES, common_symbols, num_symbols

K = TypeVar("K")
S = TypeVar("S")


@dataclass(slots=True, eq=False)
class Node(Generic[K, S]):
    """The tokens `start` to `end` of every prompt that begins with its ancestors' tokens and its.

    `is_border` says that it ends where a message of the chat does, `begins_answer` that the answer
    to somebody's question begins there. A node whose model is recurrent may have lost its state;
    then something below it needs its keys and values. `spared_tokens` is about how many tokens its
    state spares whoever goes on there, 0 where the next turn may.
    """

    key: bytes
    end: int
    kv: K
    kv_bytes: int
    is_recurrent: bool
    parent: Node[K, S] | None
    siblings: Children[K, S]
    children: Children[K, S] = field(init=False)
    state: S | None = None
    state_bytes: int = 0
    is_border: bool = False
    begins_answer: bool = False
    num_pins: int = 0
    used_at_s: float = 0.0
    spared_tokens: int = 0

    def __post_init__(self) -> None:
        self.children = Children()

    @property
    def start(self) -> int:
        return self.end - num_symbols(self.key)

    @property
    def num_bytes(self) -> int:
        return self.kv_bytes + self.state_bytes

    @property
    def is_stranded(self) -> bool:
        """Nothing can be taken up here, nor behind it."""
        return self.is_recurrent and self.state is None and not self.children

    def path(self) -> list[Node[K, S]]:
        """From the top down to this node."""
        path: list[Node[K, S]] = []
        node: Node[K, S] | None = self
        while node is not None:
            path.append(node)
            node = node.parent
        return path[::-1]


class Children(Generic[K, S]):
    """The nodes below one place, ordered by key: what begins alike lies side by side."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._nodes: list[Node[K, S]] = []
        # No key is longer; what lies behind that in a prompt need not be compared.
        self._longest_bytes = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node[K, S]]:
        return iter(self._nodes)

    def add(self, node: Node[K, S]) -> None:
        place = bisect_left(self._keys, node.key)
        self._keys.insert(place, node.key)
        self._nodes.insert(place, node)
        self._longest_bytes = max(self._longest_bytes, len(node.key))

    def remove(self, node: Node[K, S]) -> None:
        place = bisect_left(self._keys, node.key)
        assert self._nodes[place] is node
        del self._keys[place], self._nodes[place]

    def rest_of(self, symbols: bytes, start: int) -> bytes:
        """As much of a prompt from token `start` on as could be found here."""
        at = start * SYMBOL_BYTES
        return symbols[at : at + self._longest_bytes]

    def closest(self, rest: bytes) -> tuple[Node[K, S] | None, int]:
        """The node that shares most tokens with `rest`, and how many; one of its neighbours is."""
        place = bisect_right(self._keys, rest)
        near = range(max(0, place - 1), min(place + 1, len(self._keys)))
        shared = [(common_symbols(self._keys[i], rest), i) for i in near]
        most, index = max(shared, default=(0, -1))
        return (self._nodes[index], most) if most else (None, 0)

    def prefixes_of(self, rest: bytes) -> Iterator[Node[K, S]]:
        """The nodes all of whose tokens `rest` begins with, the longest first.

        What lies in order between a prefix of `rest` and `rest` begins with that prefix too: so
        the next candidate is always the last key not behind `rest`, cut to what it shares.
        """
        while place := bisect_right(self._keys, rest):
            key = self._keys[place - 1]
            common = common_symbols(key, rest)
            if common == num_symbols(key):
                yield self._nodes[place - 1]
                common -= 1
            rest = rest[: common * SYMBOL_BYTES]


@dataclass(frozen=True, slots=True)
class Trail(Generic[K, S]):
    """What a tree knows of a prompt: all nodes that lie on it whole, in no order, and the node
    that shares its tokens furthest, up to `known_tokens`."""

    whole: list[Node[K, S]]
    furthest: Node[K, S] | None
    known_tokens: int


def follow(top: Children[K, S], symbols: bytes) -> Trail[K, S]:
    """Everything in a tree that a prompt begins with."""
    whole: list[Node[K, S]] = []
    furthest: Node[K, S] | None = None
    known_tokens = 0
    places = [(top, 0)]
    while places:
        children, start = places.pop()
        rest = children.rest_of(symbols, start)
        node, common = children.closest(rest)
        if start + common > known_tokens:
            furthest, known_tokens = node, start + common
        for found in children.prefixes_of(rest):
            whole.append(found)
            places.append((found.children, found.end))
    return Trail(whole, furthest, known_tokens)
