"""The body of POST /v1/completions, as far as anything in it has an effect."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ..prompts import PromptField
from ..sampling import DecoderFields

_MAX_LOGPROBS = 5


class CompletionBody(DecoderFields, kw_only=True):
    """A prompt to be continued, without any template. Fields that are not listed are ignored."""

    prompt: Annotated[
        PromptField,
        Meta(
            description="A text begins with the mark that the model's tokenizer puts before one,"
            " and the control tokens that it spells are read as such. Token ids are taken as they"
            " are."
        ),
    ]
    logprobs: Annotated[int, Meta(ge=0, le=_MAX_LOGPROBS)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: Annotated[int, Meta(ge=1)] | None = None
