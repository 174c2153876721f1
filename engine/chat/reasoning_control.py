"""A client's wish about reasoning in the words of the model's chat template.

Templates know such wishes under names of their own. Which of these a template uses, and which
efforts it tells apart, is found out by rendering. What it has no word for is left out: such a wish
is ignored. The budget of a model whose template knows none is the engine's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import InvalidRequest
from ..template import ChatTemplate
from ..types import WITHOUT_REASONING, Effort, ReasoningWish

Switch = Literal["enable_thinking", "thinking"]
_SWITCHES: tuple[Switch, ...] = get_args(Switch)
_EFFORT = "reasoning_effort"
_BUDGET = "thinking_budget"
# From the least to the most.
_EFFORTS: tuple[Effort, ...] = get_args(Effort)
# What a template knows that takes any word for an effort: the three that all models learn.
_COMMON_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high")
_NO_EFFORT = "unheard-of"


@dataclass(frozen=True, slots=True)
class ReasoningControls:
    """What a template can be told. `efforts` rise; `takes_budget` is for a number of tokens."""

    switch: Switch | None = None
    efforts: tuple[Effort, ...] = ()
    takes_budget: bool = False

    def options(self, wish: ReasoningWish) -> dict[str, Any]:
        """What the template is given; nothing where nothing was wished, or can be told."""
        if wish.thinks is False or (not wish.thinks and wish.effort in WITHOUT_REASONING):
            return self._off()
        if wish.thinks is None and wish.effort is None and wish.budget_tokens is None:
            return {}
        options: dict[str, Any] = {} if self.switch is None else {self.switch: True}
        if wish.effort is not None and (effort := self._known(wish.effort)):
            options[_EFFORT] = effort
        if self.takes_budget and wish.budget_tokens is not None:
            options[_BUDGET] = wish.budget_tokens
        return options

    def _known(self, wished: Effort) -> Effort | None:
        """The effort itself, or `high` for more than the template knows. Where efforts are the only
        switch, the next one above that it knows, or its highest: nothing would leave it off.
        """
        if wished in self.efforts:
            return wished
        if wished in ("xhigh", "max") and "high" in self.efforts:
            return "high"
        reasoning: list[Effort] = [e for e in self.efforts if e not in WITHOUT_REASONING]
        if self.switch is not None or not reasoning:
            return None
        least = _EFFORTS.index(wished)
        above: list[Effort] = [e for e in reasoning if _EFFORTS.index(e) > least]
        return (above or reasoning[-1:])[0]

    def _off(self) -> dict[str, Any]:
        if self.switch is not None:
            return {self.switch: False}
        if self.takes_budget:
            return {_BUDGET: 0}
        return {_EFFORT: self.efforts[0]} if self.efforts else {}


def find_controls(template: ChatTemplate) -> ReasoningControls:
    switch: Switch | None = next(
        (name for name in _SWITCHES if _tells_apart(template, name, True, False)), None
    )
    on = {} if switch is None else {switch: True}
    return ReasoningControls(
        switch=switch,
        efforts=_efforts(template, on),
        takes_budget=_tells_apart(template, _BUDGET, 512, 0),
    )


def _efforts(template: ChatTemplate, on: Mapping[str, Any]) -> tuple[Effort, ...]:
    if _EFFORT not in template.names:
        return ()
    unheard = _rendered(template, {**on, _EFFORT: _NO_EFFORT})
    rendered = {effort: _rendered(template, {**on, _EFFORT: effort}) for effort in _EFFORTS}
    if unheard is not None and _NO_EFFORT in unheard:
        return _COMMON_EFFORTS
    return tuple(e for e in _EFFORTS if rendered[e] is not None and rendered[e] != unheard)


def _tells_apart(template: ChatTemplate, name: str, one: object, other: object) -> bool:
    if name not in template.names:
        return False
    first, second = (_rendered(template, {name: value}) for value in (one, other))
    return first is not None and second is not None and first != second


def _rendered(template: ChatTemplate, options: Mapping[str, Any]) -> str | None:
    try:
        return template.render([{"role": "user", "content": "Why?"}], now_s=0, options=options)
    except InvalidRequest:
        return None
