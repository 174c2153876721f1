"""What a message of the OpenAI dialects holds: a text, or parts that are texts and pictures.

What the parts are called is their dialect's to say. Here is too what no dialect lets through: too
many pictures, and text that changes from turn to turn and says nothing to a model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, field

from cortex.engine.errors import TooManyImages, UnsupportedContent
from cortex.engine.types import ImagePart, Message, Role, TextPart

from .asked import Limits
from .data_uri import read_data_uri
from .decoding import check_count, first_char, is_absent, read_raw, refuse

Content = tuple[TextPart | ImagePart, ...]

# One agent's first system line carries a hash of the conversation: left in, it would break every
# prefix that could be reused.
_VOLATILE_LINE = "x-anthropic-billing-header"


class ImageUrl(msgspec.Struct):
    url: Annotated[Raw, Meta(description="A data: URI.", extra_json_schema={"type": "string"})] = (
        field(default_factory=Raw)
    )


class Part(msgspec.Struct):
    """A part of a message, by its type: text (of Responses input_text or output_text), refusal,
    image_url (of Responses input_image).
    """

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Annotated[
        Raw,
        Meta(
            description="A data: URI, or an object with it as its url.",
            extra_json_schema={"type": ["object", "string"]},
        ),
    ] = field(default_factory=Raw)
    file_id: Any = None


@dataclass(frozen=True, slots=True)
class PartTypes:
    """What a dialect calls its parts."""

    texts: tuple[str, ...]
    image: str


def read_content(
    content: str | list[Part] | None, types: PartTypes, role: Role, path: str, limits: Limits
) -> Content:
    """Raises InvalidRequest and friends, naming the field."""
    if content is None:
        if role in ("assistant", "tool"):
            return ()
        refuse(path, "required: a string or a list of parts")
    if isinstance(content, str):
        return (TextPart(content),)
    check_count(path, content, limits.max_parts)
    return tuple(_read_part(p, types, role, f"{path}[{i}]") for i, p in enumerate(content))


def _read_part(part: Part, types: PartTypes, role: Role, path: str) -> TextPart | ImagePart:
    if part.type in types.texts:
        return TextPart(part.text or "")
    if part.type == "refusal" and role == "assistant":
        return TextPart(part.refusal or "")
    if part.type == types.image and role in ("user", "tool"):
        return _read_image(part, f"{path}.image_url")
    raise UnsupportedContent(
        f"{path}: a part of type {part.type[:40]!r} is not taken in a {role} message",
        f"send text, and pictures as {types.image} parts of user messages",
        param=f"{path}.type",
    )


def _read_image(part: Part, path: str) -> ImagePart:
    url = part.image_url
    if first_char(url) == "{":
        url, path = read_raw(url, ImageUrl, path).url, f"{path}.url"
    if is_absent(url) and part.file_id is not None:
        raise UnsupportedContent(
            f"{path}: required, since no files are stored here",
            "send the picture itself as data:image/png;base64,…",
            param=path,
        )
    if is_absent(url):
        refuse(path, "required")
    return ImagePart(read_data_uri(url, path))


def without_volatile(content: Content) -> Content:
    return tuple(
        part
        for part in content
        if not (isinstance(part, TextPart) and part.text.startswith(_VOLATILE_LINE))
    )


def check_images(path: str, messages: Iterable[Message], limits: Limits) -> None:
    num_images = sum(isinstance(part, ImagePart) for m in messages for part in m.content)
    if num_images > limits.max_images:
        raise TooManyImages(
            f"{path}: holds {num_images} pictures, at most {limits.max_images} are taken",
            "leave older pictures out or begin a new conversation; max_images in the settings of"
            " the peer raises it",
            param=path,
        )
