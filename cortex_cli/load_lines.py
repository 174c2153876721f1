"""What a peer says about its own models: that one comes, how far it is, that it is there, or gone.

It is told of views, and of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cortex.peer.units import memory

if TYPE_CHECKING:
    from cortex.peer.fleet.view import FleetView, PlacedModel

_BAR_CELLS = 16
# A line each; whoever waits for less does not wonder.
_BAR_EVERY_S = 2.0
_WORTH_TELLING = 1024**3 // 10


@dataclass(slots=True)
class _Known:
    state: str
    began_s: float
    told_s: float


class LoadLines:
    """The lines of each view that the one before did not give."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def of(self, view: FleetView) -> Iterator[str]:
        now_s = self._clock()
        here = {model.id for model in view.me.placed}
        for gone in [model_id for model_id in self._known if model_id not in here]:
            was = self._known.pop(gone).state
            yield f"{gone}  {'was not loaded' if was == 'loading' else 'unloaded'}"
        for model in view.me.placed:
            yield from self._line(model, now_s)

    def _line(self, model: PlacedModel, now_s: float) -> Iterator[str]:
        known = self._known.get(model.id)
        if known is None or (known.state != "loading" and model.state == "loading"):
            known = self._known[model.id] = _Known("", now_s, now_s)
        if model.state == "ready" and known.state != "ready":
            took = f"   in {now_s - known.began_s:.1f} s" if known.state == "loading" else ""
            yield f"{model.id}  ready{took}   {_computes(model)}"
        elif model.state == "loading" and known.state != "loading":
            size = f"   {memory(model.size_bytes)}" if model.size_bytes >= _WORTH_TELLING else ""
            yield f"{model.id}  loading{size}"
        elif model.state == "loading" and model.percent and now_s - known.told_s >= _BAR_EVERY_S:
            known.told_s = now_s
            yield f"{model.id}  loading   {_bar(model.percent)} {model.percent} %"
        known.state = model.state


def _computes(model: PlacedModel) -> str:
    context = f"{model.context_tokens:,} tokens of context"
    return f"{context}, {model.computes_in}" if model.computes_in else context


def _bar(percent: int) -> str:
    full = _BAR_CELLS * percent // 100
    return "█" * full + "░" * (_BAR_CELLS - full)
