"""Which senders are known to be alive now, and are no recordings.

A captured datagram is genuine, so a key alone proves no freshness. A process (a boot) is fresh
once it has echoed a challenge that we made up; until then it is answered and not believed. Both
tables have a bound: whoever holds the key may invent boots, and the one unused longest goes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from .ids import BootId, NodeId


@dataclass(slots=True)
class Stranger:
    """A boot that has not yet echoed a challenge, and when we last did anything for it."""

    node: NodeId
    answered_s: float = float("-inf")
    challenged_s: float = float("-inf")
    is_refused: bool = False


class Sessions:
    """The boots that are fresh, each with the node it speaks for, and those that are not yet."""

    def __init__(self, max_sessions: int, max_strangers: int) -> None:
        self._max_sessions = max_sessions
        self._max_strangers = max_strangers
        self._fresh: OrderedDict[BootId, NodeId] = OrderedDict()
        self._strangers: OrderedDict[BootId, Stranger] = OrderedDict()

    def __len__(self) -> int:
        return len(self._fresh)

    @property
    def num_strangers(self) -> int:
        return len(self._strangers)

    def is_fresh(self, boot: BootId, node: NodeId) -> bool:
        if self._fresh.get(boot) != node:
            return False
        self._fresh.move_to_end(boot)
        return True

    def establish(self, boot: BootId, node: NodeId) -> None:
        """This boot has echoed a challenge of ours."""
        self._strangers.pop(boot, None)
        self._fresh[boot] = node
        self._fresh.move_to_end(boot)
        if len(self._fresh) > self._max_sessions:
            self._fresh.popitem(last=False)

    def end(self, boot: BootId) -> None:
        """What is known of this boot may be a recording's: it must echo a challenge again."""
        self._fresh.pop(boot, None)

    def stranger(self, boot: BootId, node: NodeId) -> Stranger:
        stranger = self._strangers.get(boot)
        if stranger is None or stranger.node != node:
            stranger = self._strangers[boot] = Stranger(node)
        self._strangers.move_to_end(boot)
        if len(self._strangers) > self._max_strangers:
            self._strangers.popitem(last=False)
        return stranger
