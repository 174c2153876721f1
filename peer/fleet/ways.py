"""Which of the two ways to a peer is closed: it answers connections and no datagrams, or the
reverse. Then a firewall stands between, and the peer is there all the same.

It is told what came of each try and says what a person should know; it tries nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from ..gossip.ids import NodeId
from ..gossip.members import Members
from .notices import Notices

CLOSED_AFTER_S = 10.0
# An answer to what was asked together with the first try is no younger than that.
_TOGETHER_S = 1.0
_WORDS = {
    "udp": "{} answers connections and no datagrams: let UDP pass to its fleet port and to ours",
    "tcp": "{} answers datagrams and no connections: let TCP pass to its fleet port and to ours",
}

Way: TypeAlias = Literal["udp", "tcp"]


class Ways:
    def __init__(
        self, members: Members, notices: Notices, name_of: Callable[[NodeId], str]
    ) -> None:
        self._members = members
        self._notices = notices
        self._name_of = name_of
        # Since when a way seems closed.
        self._since_s: dict[tuple[NodeId, Way], float] = {}

    def had_only_connection(self, now_s: float, node: NodeId) -> None:
        """It did not answer datagrams, and a connection came about."""
        self._mark(now_s, node, "udp")

    def had_no_connection(self, now_s: float, node: NodeId) -> None:
        self._mark(now_s, node, "tcp")

    def had_connection(self, node: NodeId) -> None:
        self._open(node, "tcp")

    def look(self) -> None:
        """What is over is told no longer."""
        for node, way in tuple(self._since_s):
            if not self._is_closed(node, way):
                self._open(node, way)

    def _mark(self, now_s: float, node: NodeId, way: Way) -> None:
        self.look()
        since_s = self._since_s.setdefault((node, way), now_s)
        member = self._members.get(node)
        if now_s - since_s < CLOSED_AFTER_S or member is None:
            return
        # Who answers neither is gone, and that is told elsewhere.
        if way == "udp" or member.heard_s > since_s:
            self._notices.add(now_s, _WORDS[way].format(self._name_of(node)), _topic(node, way))

    def _is_closed(self, node: NodeId, way: Way) -> bool:
        member = self._members.get(node)
        if member is None or not member.standing.is_reachable:
            return False
        return way == "tcp" or member.heard_s < self._since_s[node, way] - _TOGETHER_S

    def _open(self, node: NodeId, way: Way) -> None:
        if self._since_s.pop((node, way), None) is not None:
            self._notices.forget({_topic(node, way)})


def _topic(node: NodeId, way: Way) -> str:
    return f"{way} {node.hex()}"
