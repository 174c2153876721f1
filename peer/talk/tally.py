"""What the answers of one conversation came to."""

from __future__ import annotations

from dataclasses import dataclass

from ..units import counted
from .answer import Answer
from .words import figures


@dataclass(slots=True)
class Tally:
    num_answers: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    last: Answer | None = None

    def add(self, answer: Answer) -> None:
        self.num_answers += 1
        self.prompt_tokens += answer.prompt_tokens or 0
        self.cached_tokens += answer.cached_tokens
        self.completion_tokens += answer.completion_tokens or 0
        self.last = answer

    @property
    def context_tokens(self) -> int:
        """What the last turn filled of the model's context."""
        last = self.last
        return (last.prompt_tokens or 0) + (last.completion_tokens or 0) if last else 0

    def lines(self, context_length: int) -> list[str]:
        """In words; `context_length` 0 is an unknown one."""
        if self.last is None:
            return ["nothing was answered yet."]
        of = f" of {context_length:,}" if context_length else ""
        return [
            f"{counted(self.num_answers, 'answer')}   {self.prompt_tokens:,} tokens in,"
            f" {self.cached_tokens:,} of them reused   {self.completion_tokens:,} out",
            f"context   {self.context_tokens:,}{of} tokens",
            f"last   {'   '.join(figures(self.last))}",
        ]
