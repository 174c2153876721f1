"""Which peers have failed so often with a model that they are left alone for a while. Pure.

A breaker of one peer and one model opens after failures in a row, or where most of the last half
minute's requests failed; then one request tries whether it may close. So few peers are never given
up that the rest could not bear it: where more than half would be, nobody is.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..gossip.ids import ModelId, NodeId

_IN_A_ROW = 5
_WINDOW_S = 30.0
_MIN_IN_WINDOW = 10
_REST_S = 5.0
_LONGEST_REST_S = 60.0
# A breaker that nobody asked of for long has nothing more to say.
_MAX_BREAKERS = 4096
_MAX_OUTCOMES = 256


@dataclass(slots=True)
class _Breaker:
    """`outcomes` are times, and whether it failed then. `num_openings` since it was last closed."""

    outcomes: deque[tuple[float, bool]] = field(
        default_factory=lambda: deque[tuple[float, bool]](maxlen=_MAX_OUTCOMES)
    )
    num_in_a_row: int = 0
    num_openings: int = 0
    open_until_s: float = 0.0
    is_tried: bool = False

    def is_open(self, now_s: float) -> bool:
        """Half open is open, but for one."""
        return self.num_openings > 0 and (now_s < self.open_until_s or self.is_tried)

    def failed(self, now_s: float) -> None:
        self.is_tried = False
        self.outcomes.append((now_s, True))
        self.num_in_a_row += 1
        is_half_open = self.num_openings > 0 and now_s >= self.open_until_s
        if is_half_open or (self.num_openings == 0 and self._is_too_much(now_s)):
            self.num_openings += 1
            self.open_until_s = now_s + min(_REST_S * self.num_openings, _LONGEST_REST_S)

    def succeeded(self, now_s: float) -> None:
        self.is_tried = False
        self.outcomes.append((now_s, False))
        self.num_in_a_row = 0
        if self.num_openings and now_s >= self.open_until_s:
            self.num_openings = 0
            self.outcomes.clear()

    def _is_too_much(self, now_s: float) -> bool:
        recent = [is_bad for at_s, is_bad in self.outcomes if now_s - at_s <= _WINDOW_S]
        is_most = len(recent) >= _MIN_IN_WINDOW and 2 * sum(recent) > len(recent)
        return self.num_in_a_row >= _IN_A_ROW or is_most


class Breakers:
    """All of them. Whoever is sent a request is `tried`, and then `failed` or `succeeded`; neither
    where the request ended for another reason: then it is `untried`, as it is once its answer
    comes.
    """

    def __init__(self) -> None:
        self._breakers: OrderedDict[tuple[NodeId, ModelId], _Breaker] = OrderedDict()

    def usable(self, nodes: Iterable[NodeId], model: ModelId, now_s: float) -> set[NodeId]:
        """Those that may be asked: all of them where too few would be left."""
        everybody = set(nodes)
        usable = {node for node in everybody if not self._is_open(node, model, now_s)}
        return usable if usable and 2 * len(usable) >= len(everybody) else everybody

    def _is_open(self, node: NodeId, model: ModelId, now_s: float) -> bool:
        breaker = self._breakers.get((node, model))
        return breaker is not None and breaker.is_open(now_s)

    def tried(self, node: NodeId, model: ModelId) -> None:
        breaker = self._breakers.get((node, model))
        if breaker is not None and breaker.num_openings:
            breaker.is_tried = True

    def untried(self, node: NodeId, model: ModelId) -> None:
        breaker = self._breakers.get((node, model))
        if breaker is not None:
            breaker.is_tried = False

    def failed(self, node: NodeId, model: ModelId, now_s: float) -> None:
        self._of(node, model).failed(now_s)

    def succeeded(self, node: NodeId, model: ModelId, now_s: float) -> None:
        self._of(node, model).succeeded(now_s)

    def _of(self, node: NodeId, model: ModelId) -> _Breaker:
        breaker = self._breakers.setdefault((node, model), _Breaker())
        self._breakers.move_to_end((node, model))
        if len(self._breakers) > _MAX_BREAKERS:
            self._breakers.popitem(last=False)
        return breaker
