"""What a reply with several choices cost: a prompt counts once, whatever is made of it. Pure."""

from __future__ import annotations

from cortex.engine.stream import Finished, Usage


class UsageTally:
    """Choices are numbered prompt by prompt, `num_choices` of each."""

    def __init__(self, num_choices: int) -> None:
        self._num_choices = num_choices
        self._by_choice: dict[int, Usage] = {}

    def add(self, finished: Finished) -> None:
        self._by_choice[finished.choice] = finished.usage

    @property
    def total(self) -> Usage:
        if len(self._by_choice) == 1:  # nearly always
            return next(iter(self._by_choice.values()))
        prompts: dict[int, list[Usage]] = {}
        for choice, usage in self._by_choice.items():
            prompts.setdefault(choice // self._num_choices, []).append(usage)
        return Usage(
            prompt_tokens=sum(usages[0].prompt_tokens for usages in prompts.values()),
            completion_tokens=sum(usage.completion_tokens for usage in self._by_choice.values()),
            # Choices may find what the first of them has just read: that was read all the same.
            cached_tokens=sum(
                min(usage.cached_tokens for usage in usages) for usages in prompts.values()
            ),
            reasoning_tokens=sum(usage.reasoning_tokens for usage in self._by_choice.values()),
        )
