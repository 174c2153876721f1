"""Answers that are held to something, written by the fake model's hashes: fast, and never tame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.fake_answer import Answer, HashSource
from cortex.engine.grammars.answers import bind_answer
from cortex.engine.grammars.checking import GrammarTrial
from cortex.engine.grammars.guide import Guide
from cortex.engine.grammars.matchers import Matchers
from cortex.engine.grammars.tokens import grammar_tokenizer
from cortex.engine.stream import (
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
    Usage,
)
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import (
    ChatRequest,
    FinishReason,
    Message,
    Prompt,
    ReplyFormat,
    Sampling,
    TextPart,
)

_FAKE = Path(__file__).parents[3] / "engine" / "assets" / "fake"
_IM_END = 258
_PLAIN = ReplyFormat()


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: str
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Answered:
    deltas: tuple[Delta, ...]
    token_ids: tuple[int, ...]
    finish: FinishReason
    usage: Usage

    @property
    def words(self) -> str:
        return "".join(d.text for d in self.deltas if isinstance(d, TextDelta))

    @property
    def reasoning(self) -> str:
        return "".join(d.text for d in self.deltas if isinstance(d, ReasoningDelta))

    @property
    def calls(self) -> list[Call]:
        calls: list[Call] = []
        for delta in self.deltas:
            match delta:
                case ToolCallBegin():
                    calls.append(Call(delta.name, "", is_whole=False))
                case ToolCallArguments():
                    last = calls.pop()
                    calls.append(Call(last.name, last.arguments + delta.text, is_whole=False))
                case ToolCallEnd():
                    last = calls.pop()
                    calls.append(Call(last.name, last.arguments, delta.is_whole))
                case _:
                    pass
        return calls


class Model:
    """The fake model, asked for answers to prompts of one token."""

    def __init__(self, trial: GrammarTrial) -> None:
        self.tokenizer = Tokenizer(_FAKE / "tokenizer.json")
        self.matchers = Matchers(grammar_tokenizer(self.tokenizer))
        self.trial = trial

    def prompt(self, reply: ReplyFormat = _PLAIN, seed: int = 0, **asked: Any) -> Prompt:
        message = Message("user", (TextPart("x"),))
        max_tokens, min_tokens = asked.pop("max_tokens", 4000), asked.pop("min_tokens", 0)
        stop_token_ids = () if asked.get("ignore_eos") else (_IM_END, 256)
        request = ChatRequest("m", (message,), 1, 1, **asked)
        bound = bind_answer(request, reply, self.trial.why_not)
        return Prompt(
            token_ids=(seed,),
            boundaries=(),
            images=(),
            sampling=Sampling(seed=1),
            stop=request.stop,
            stop_token_ids=stop_token_ids,
            reply=bound.reply,
            grammar=bound.grammar,
            reasoning_budget_tokens=request.reasoning.budget_tokens,
            max_tokens=max_tokens,
            min_tokens=min_tokens,
        )

    def guide(self, prompt: Prompt) -> Guide:
        matcher = self.matchers.open(prompt.grammar) if prompt.grammar else None
        return Guide(self.tokenizer, prompt, matcher)

    def answer(self, prompt: Prompt, resume: Sequence[int] = ()) -> Answered:
        source = HashSource(self.tokenizer, prompt)
        answer = Answer(self.tokenizer, prompt, source, resume, self.guide(prompt))
        deltas: list[Delta] = []
        token_ids = list(resume)
        while True:
            made = answer.step()
            deltas += made.deltas
            token_ids += made.token_ids
            if made.finish is not None:
                return Answered(tuple(deltas), tuple(token_ids), made.finish, answer.usage())

    def why_not(self, grammar: str) -> str | None:
        return self.trial.why_not(grammar)


@pytest.fixture(scope="session")
def trial() -> Iterator[GrammarTrial]:
    trial = GrammarTrial()
    yield trial
    trial.close()


@pytest.fixture(scope="session")
def model(trial: GrammarTrial) -> Model:
    return Model(trial)
