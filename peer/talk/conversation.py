"""What has been said so far, and the request that the next turn makes of it.

Values and bookkeeping only: no terminal, no peer. A turn that came to nothing leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    InvalidImage,
    TooManyImages,
    VisionUnsupported,
)
from cortex.engine.types import (
    ChatRequest,
    ImagePart,
    Message,
    ReasoningWish,
    SamplingWish,
    TextPart,
)

from ..errors import RequestTooLarge

SEED_BITS = 63
_PICTURE_REFUSED = (
    InvalidImage,
    TooManyImages,
    VisionUnsupported,
    ContextLengthExceeded,
    RequestTooLarge,
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asked for, the same for every turn; None leaves it to the model.

    Without a `seed` each answer is drawn afresh.
    """

    model: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    thinks: bool | None = None


@dataclass(slots=True)
class Conversation:
    """`pictures` go with the next prompt. `unanswered` is the last one where nothing came of it;
    its pictures go with the next one still.
    """

    wishes: Wishes
    turns: list[Message] = field(default_factory=list[Message])
    pictures: list[ImagePart] = field(default_factory=list[ImagePart])
    unanswered: str | None = None

    @property
    def shows_pictures(self) -> bool:
        """Whether earlier turns do: these go with every prompt."""
        return any(isinstance(part, ImagePart) for turn in self.turns for part in turn.content)

    def detach(self) -> bool:
        """Let go of the pictures for the next prompt; whether there were any."""
        had_pictures = bool(self.pictures)
        self.pictures.clear()
        return had_pictures

    def ask(self, prompt: str, *, model: str, seed: int, now_s: int) -> ChatRequest:
        """The request for the next answer; pictures stand before the words about them. `now_s` is
        what the clock on the wall says.
        """
        self.unanswered = prompt
        wishes, content = self.wishes, (*self.pictures, TextPart(prompt))
        opening = () if wishes.system is None else (Message("system", (TextPart(wishes.system),)),)
        return ChatRequest(
            model=model,
            messages=(*opening, *self.turns, Message("user", content)),
            seed=seed if wishes.seed is None else wishes.seed,
            now_s=now_s,
            sampling=SamplingWish(temperature=wishes.temperature),
            reasoning=_reasoning(wishes.thinks),
            max_tokens=wishes.max_tokens,
        )

    def keep(self, request: ChatRequest, answer: str, reasoning: str) -> None:
        """Remember a turn that was answered, wholly or in part.

        How much of the reasoning its model is shown again is for the model's template to say.
        """
        answered = Message("assistant", (TextPart(answer),), reasoning=reasoning)
        self.turns += [request.messages[-1], answered]
        self.pictures.clear()
        self.unanswered = None

    def take_back(self) -> str | None:
        """The prompt that was not answered; else forget the last turn and give its prompt, with its
        pictures attached again.
        """
        if self.unanswered is not None or not self.turns:
            return self.unanswered
        asked = self.turns[-2]
        del self.turns[-2:]
        self.pictures[:] = [part for part in asked.content if isinstance(part, ImagePart)]
        return text_of(asked)

    def begin_anew(self) -> None:
        self.turns.clear()
        self.pictures.clear()
        self.unanswered = None


def may_be_pictures(error: CortexError) -> bool:
    """Whether a prompt may have been refused for its pictures, and so would every one after it."""
    return isinstance(error, _PICTURE_REFUSED)


def text_of(message: Message) -> str:
    return "".join(part.text for part in message.content if isinstance(part, TextPart))


def transcript(conversation: Conversation) -> str:
    """All that was said, as Markdown; of pictures the names."""
    return "\n\n".join(_written(conversation)) + "\n"


def _written(conversation: Conversation) -> Iterator[str]:
    if conversation.wishes.system is not None:
        yield f"## system\n\n{conversation.wishes.system}"
    for message in conversation.turns:
        yield f"## {'you' if message.role == 'user' else message.role}"
        names = [part.name for part in message.content if isinstance(part, ImagePart)]
        yield from (f"*picture: {name}*" for name in names)
        yield text_of(message).strip("\n")


def _reasoning(thinks: bool | None) -> ReasoningWish:
    """An effort is what every dialect can say, and turns thinking on in every template that has a
    switch for it; the middle one is what most that have levels take where nobody says any.
    """
    return ReasoningWish() if thinks is None else ReasoningWish("medium" if thinks else "none")
