"""What an endpoint is asked: prompts of a wished length, and the bodies they travel in.

Pure. Every prompt begins differently, so that no cache of prefixes answers for the engine; the same
seed gives the same prompts again.
"""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass
from typing import Any, Literal

WayKind = Literal["completions", "chat"]

# Ids that every vocabulary has, the smallest included, and that mean text in those made of bytes.
_IDS = range(32, 250)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORD_LETTERS = 5


@dataclass(frozen=True, slots=True)
class Question:
    """One request. The prompt is token ids, or text where the endpoint takes none."""

    prompt: tuple[int, ...] | str
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Way:
    """How an endpoint is asked.

    `has_extras`: it takes fields beyond OpenAI's, which fix the length of an answer and ask for
    token ids. In chat a prompt of n words has `overhead_tokens + n * tokens_per_word` tokens.
    """

    kind: WayKind
    has_extras: bool
    overhead_tokens: float = 0.0
    tokens_per_word: float = 1.0

    @property
    def path(self) -> str:
        return "completions" if self.kind == "completions" else "chat/completions"

    def question(self, source: random.Random, prompt_tokens: int, output_tokens: int) -> Question:
        if self.kind == "completions":
            return Question(random_ids(source, prompt_tokens), output_tokens)
        num_words = round((prompt_tokens - self.overhead_tokens) / self.tokens_per_word)
        return Question(random_words(source, max(1, num_words)), output_tokens)

    def body(self, model: str, question: Question, image: bytes | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "seed": 0,
            "max_tokens": question.output_tokens,
        }
        if self.has_extras:
            body |= {"ignore_eos": True, "return_token_ids": True}
        if isinstance(question.prompt, tuple):
            return body | {"prompt": list(question.prompt)}
        return body | {"messages": [{"role": "user", "content": _content(question.prompt, image)}]}


def random_ids(source: random.Random, num_tokens: int) -> tuple[int, ...]:
    return tuple(source.choices(_IDS, k=num_tokens))


def random_words(source: random.Random, num_words: int) -> str:
    return " ".join("".join(source.choices(_LETTERS, k=_WORD_LETTERS)) for _ in range(num_words))


def fit_words(short: tuple[int, int], long: tuple[int, int]) -> tuple[float, float]:
    """The tokens that come with any prompt, and those of a word, from two (words, tokens) seen."""
    tokens_per_word = (long[1] - short[1]) / (long[0] - short[0])
    # An endpoint that counts strangely must not make prompts of endless length.
    tokens_per_word = max(1.0, tokens_per_word)
    return short[1] - short[0] * tokens_per_word, tokens_per_word


def _content(prompt: str, image: bytes | None) -> str | list[dict[str, Any]]:
    if image is None:
        return prompt
    data = base64.b64encode(image).decode("ascii")
    # The declared type is not looked at: the bytes decide.
    url = f"data:image/png;base64,{data}"
    return [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": prompt},
    ]
