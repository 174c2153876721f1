"""What a chat asks of the model's reasoning, in the names of this dialect and of other servers."""

from __future__ import annotations

from cortex.engine.types import ReasoningWish

from ..sampling import read_effort, read_max_tokens
from .body import ChatBody, ReasoningSwitch, ThinkingSwitch


def read_reasoning(asked: ChatBody) -> ReasoningWish:
    """The first effort and the first budget count; where switches differ, the reasoning is off.

    Raises InvalidRequest.
    """
    reasoning = asked.reasoning or ReasoningSwitch()
    thinking = asked.thinking if isinstance(asked.thinking, ThinkingSwitch) else ThinkingSwitch()
    think = asked.think if isinstance(asked.think, str) else None
    efforts = map(read_effort, (asked.reasoning_effort, reasoning.effort, think))
    budgets = (
        read_max_tokens("reasoning.max_tokens", reasoning.max_tokens),
        read_max_tokens("thinking.budget_tokens", thinking.budget_tokens),
        read_max_tokens("thinking_budget", asked.thinking_budget),
    )
    return ReasoningWish(
        next((effort for effort in efforts if effort is not None), None),
        _read_switches(asked, reasoning, thinking),
        next((budget for budget in budgets if budget is not None), None),
    )


def _read_switches(
    asked: ChatBody, reasoning: ReasoningSwitch, thinking: ThinkingSwitch
) -> bool | None:
    typed = {"enabled": True, "disabled": False}.get(thinking.type or "")
    switches = (asked.enable_thinking, reasoning.enabled, typed, asked.thinking, asked.think)
    said = [switch for switch in switches if isinstance(switch, bool)]
    return all(said) if said else None
