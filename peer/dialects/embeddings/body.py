"""The body of POST /v1/embeddings, as far as anything in it has an effect."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..decoding import ModelName, Priority
from ..prompts import PromptField


class EmbeddingsBody(msgspec.Struct, kw_only=True):
    """Texts to be made vectors of. Fields that are not listed are ignored."""

    model: ModelName
    input: PromptField
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    priority: Priority | None = None
    user: Any = None
    # Another server's name: refused where it asks for a cut.
    truncate_prompt_tokens: Any = None
