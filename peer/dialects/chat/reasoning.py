"""What a chat asks of the model's reasoning, in the names of this dialect and of other servers."""

from __future__ import annotations

from cortex.engine.types import WITHOUT_REASONING, Effort, ReasoningWish

from ..sampling import read_effort, read_max_tokens
from .body import ChatBody, ReasoningSwitch, ThinkingSwitch


def read_reasoning(asked: ChatBody) -> ReasoningWish:
    """The first effort and the first budget count. Where switches differ, or one stands
    beside an effort of none, reasoning is off.

    Raises InvalidRequest.
    """
    reasoning = asked.reasoning
    if not isinstance(reasoning, ReasoningSwitch):
        reasoning = ReasoningSwitch(enabled=reasoning)
    thinking = asked.thinking if isinstance(asked.thinking, ThinkingSwitch) else ThinkingSwitch()
    think = asked.think if isinstance(asked.think, str) else None
    efforts = map(read_effort, (asked.reasoning_effort, reasoning.effort, think))
    effort: Effort | None = next((effort for effort in efforts if effort is not None), None)
    switches = _read_switches(asked, reasoning, thinking)
    of_thinking = read_max_tokens("thinking.budget_tokens", thinking.budget_tokens)
    budgets = (
        read_max_tokens("reasoning.max_tokens", reasoning.max_tokens),
        of_thinking if thinking.type in (None, "enabled") else None,
        read_max_tokens("thinking_budget", asked.thinking_budget),
    )
    return ReasoningWish(
        effort,
        all(switches) and effort not in WITHOUT_REASONING if switches else None,
        next((budget for budget in budgets if budget is not None), None),
    )


def _read_switches(
    asked: ChatBody, reasoning: ReasoningSwitch, thinking: ThinkingSwitch
) -> list[bool]:
    typed = {"enabled": True, "disabled": False}.get(thinking.type or "")
    think = asked.think
    if isinstance(think, str):
        # What a text field of a settings page makes of a switch.
        think = {"true": True, "false": False}.get(think.lower())
    switches = (asked.enable_thinking, reasoning.enabled, typed, asked.thinking, think)
    return [switch for switch in switches if isinstance(switch, bool)]
