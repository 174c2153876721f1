"""What has been said so far, and the request that the next turn makes of it.

Values and bookkeeping only: no terminal, no peer. A turn that came to nothing leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cortex.engine.types import ChatRequest, ImagePart, Message, SamplingWish, TextPart


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for, the same for every turn; None leaves it to the model."""

    model: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(slots=True)
class Conversation:
    wishes: Wishes
    turns: list[Message] = field(default_factory=list[Message])
    pictures: list[ImagePart] = field(default_factory=list[ImagePart])

    def attach(self, picture: ImagePart) -> None:
        """Send a picture along with the next prompt."""
        self.pictures.append(picture)

    def ask(self, prompt: str, *, model: str, seed: int, now_s: int) -> ChatRequest:
        """The request for the next answer; pictures stand before the words about them."""
        content = (*self.pictures, TextPart(prompt))
        system = self.wishes.system
        opening = () if system is None else (Message("system", (TextPart(system),)),)
        return ChatRequest(
            model=model,
            messages=(*opening, *self.turns, Message("user", content)),
            seed=seed,
            now_s=now_s,
            sampling=SamplingWish(temperature=self.wishes.temperature),
            max_tokens=self.wishes.max_tokens,
        )

    def keep(self, request: ChatRequest, answer: str, reasoning: str) -> None:
        """Remember a turn that was answered, wholly or in part.

        How much of the reasoning its model is shown again is for the model's template to say.
        """
        answered = Message("assistant", (TextPart(answer),), reasoning=reasoning)
        self.turns += [request.messages[-1], answered]
        self.pictures.clear()
