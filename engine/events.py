"""What the device thread tells the main thread of an engine process."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import GenerateFailed, JobFailed, Loaded, Pooled, Progress, Unloaded, Waiting
from .tokenizer import Tokenizer
from .types import FinishReason, Prompt, TokenScores


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A model is ready; its tokenizer was read on the way, and is read only once."""

    loaded: Loaded
    tokenizer: Tokenizer


@dataclass(frozen=True, slots=True)
class Started:
    """A request's prompt was opened: who turns its tokens into text needs these.

    `prompt` has let go of its pictures.
    """

    request_id: str
    epoch: int
    model_id: str
    prompt: Prompt
    resume_token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NewToken:
    """One token of an answer, or its end without one. `num_cached` counts prompt tokens.

    `ended_by` is the token that was drawn as the end: it is no part of the answer, and `scores` are
    then its own. `prompt_scores` come once, with the first: those of all tokens of the prompt but
    its first.
    """

    request_id: str
    epoch: int
    token_id: int | None
    finish: FinishReason | None = None
    num_cached: int = 0
    scores: TokenScores | None = None
    prompt_scores: tuple[TokenScores, ...] | None = None
    ended_by: int | None = None


DeviceEvent = (
    Started
    | NewToken
    | Pooled
    | Progress
    | ModelLoaded
    | Unloaded
    | JobFailed
    | Waiting
    | GenerateFailed
)
