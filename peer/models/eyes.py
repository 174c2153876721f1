"""Whether a model sees what a request shows it. Pure."""

from __future__ import annotations

from cortex.engine.errors import VisionUnsupported
from cortex.engine.types import ChatRequest, ImagePart


def check_sees(
    model_id: str, request: ChatRequest, other: str | None, *, sees_images: bool
) -> None:
    """`other` is the id of a model that sees pictures, where there is one.

    Raises VisionUnsupported for a picture that the model does not see.
    """
    parts = (part for turn in request.messages for part in turn.content)
    if sees_images or not any(isinstance(part, ImagePart) for part in parts):
        return
    raise VisionUnsupported(
        f"model '{model_id}' takes text only, and the request holds a picture"
        + (f"; '{other}' sees pictures" if other else ""),
        f"choose {other}" if other else "leave the pictures out",
    )
