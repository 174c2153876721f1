"""Blocks of a message, inwards: what each says, in order.

It knows every type of block and where it may stand. How the blocks of a turn become messages is
`turns.py`'s to say. What no model here understands is skipped.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from msgspec import Raw

from cortex.engine.errors import InvalidRequest, UnsupportedContent
from cortex.engine.types import ImagePart, TextPart, ToolCall

from ..asked import Limits
from ..content import Content
from ..data_uri import read_base64, read_data_uri
from ..decoding import check_count, first_char, is_absent, object_text, read_raw, refuse
from . import block_bodies as bodies
from .signatures import hidden_text

logger = logging.getLogger(__name__)

_LINE_BREAK = "\n"
# What other dialects call these parts. Skipped, a picture would be missing and nobody would know.
_OTHER_NAMES = {
    "image_url": "image",
    "input_image": "image",
    "input_text": "text",
    "output_text": "text",
    "file": "document",
    "input_file": "document",
}
# Claude Code sends a refused PDF again with each turn, unless the refusal has these words.
_KNOWN_OF_PDFS = "The PDF specified was not valid"
# What names of block types look like: nothing else of a client's goes into the log.
_TYPE_NAME = re.compile(r"[a-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning of an earlier answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    parts: Content


Item = TextPart | ImagePart | Thought | ToolCall | ToolResult
_Reader = Callable[[Raw, str, Limits], tuple[Item, ...]]


def read_content(content: Raw, role: str, path: str, limits: Limits) -> tuple[Item, ...]:
    """What a message of this role says: its text, or its blocks.

    Raises InvalidRequest and friends, naming the field.
    """
    return _read(content, _READERS[role], f"{role} message", path, limits)


def joined(parts: Content, separator: str) -> Content:
    """The same with texts that stand side by side made one, and empty ones left out.

    The separator parts them where no white space does: blocks are words of their own.
    """
    whole: list[TextPart | ImagePart] = []
    # The text that is being made: put together once, however many blocks it was cut into.
    texts: list[str] = []
    for part in parts:
        if isinstance(part, ImagePart):
            whole += _texts("".join(texts))
            whole.append(part)
            texts.clear()
        elif part.text:
            is_parted = not texts or texts[-1][-1].isspace() or part.text[0].isspace()
            texts.append(part.text if is_parted else separator + part.text)
    whole += _texts("".join(texts))
    return tuple(whole)


def _read(
    content: Raw, readers: Mapping[str, _Reader], where: str, path: str, limits: Limits
) -> tuple[Item, ...]:
    if is_absent(content):
        refuse(path, "required: a string or a list of blocks")
    if first_char(content) == '"':
        return (TextPart(read_raw(content, str, path)),)
    if first_char(content) != "[":
        refuse(path, "must be a string or a list of blocks")
    blocks = read_raw(content, list[Raw], path)
    check_count(path, blocks, limits.max_parts)
    items: list[Item] = []
    for index, block in enumerate(blocks):
        items += _read_block(block, readers, where, f"{path}[{index}]", limits)
    return tuple(items)


def _read_block(
    block: Raw, readers: Mapping[str, _Reader], where: str, path: str, limits: Limits
) -> tuple[Item, ...]:
    kind = read_raw(block, bodies.Typed, path).type
    if kind in readers:
        return readers[kind](block, path, limits)
    if any(kind in known for known in _READERS.values()):
        taken = ", ".join(readers)
        raise InvalidRequest(
            f"{path}.type: {kind} blocks do not stand in a {where}",
            f"it takes {taken}",
            param=f"{path}.type",
        )
    if (own_name := _OTHER_NAMES.get(kind)) is not None:
        raise UnsupportedContent(
            f"{path}.type: {kind!r} is what another dialect calls it",
            f"send a block of type {own_name!r}, as the Messages API has it",
            param=f"{path}.type",
        )
    shown = kind if _TYPE_NAME.fullmatch(kind) else "?"
    logger.debug("block skipped type=%s", shown)
    return ()


def _read_text(block: Raw, path: str, limits: Limits) -> tuple[Item, ...]:
    return (TextPart(read_raw(block, bodies.TextBody, path).text),)


def _read_image(block: Raw, path: str, limits: Limits) -> tuple[Item, ...]:
    source = read_raw(block, bodies.ImageBody, path).source
    path = f"{path}.source"
    if source.type == "base64":
        _require(source.data, f"{path}.data")
        return (ImagePart(read_base64(source.data, f"{path}.data")),)
    if source.type == "url":
        _require(source.url, f"{path}.url")
        return (ImagePart(read_data_uri(source.url, f"{path}.url")),)
    _refuse_source(source, path, "send the picture itself, as base64")


def _read_document(block: Raw, path: str, limits: Limits) -> tuple[Item, ...]:
    document = read_raw(block, bodies.DocumentBody, path)
    source, path = document.source, f"{path}.source"
    if source.type == "text":
        _require(source.data, f"{path}.data")
        told: tuple[Item, ...] = (TextPart(read_raw(source.data, str, f"{path}.data")),)
    elif source.type == "content":
        told = _read(source.content, _DOCUMENT_READERS, "document", f"{path}.content", limits)
    else:
        known = f" ({_KNOWN_OF_PDFS})" if source.type == "base64" else ""
        _refuse_source(source, path, f"send the document's text{known}")
    return (*_texts(document.title, document.context), *told)


def _read_search_result(block: Raw, path: str, limits: Limits) -> tuple[Item, ...]:
    found = read_raw(block, bodies.SearchResultBody, path)
    told = _read(found.content, _SYSTEM_READERS, "search_result", f"{path}.content", limits)
    return (*_texts(found.title, found.source), *told)


def _read_tool_use(block: Raw, path: str, limits: Limits) -> tuple[Item, ...]:
    call = read_raw(block, bodies.ToolUseBody, path)
    _require(call.input, f"{path}.input")
    return (ToolCall(call.id, call.name, object_text(call.input, f"{path}.input")),)


def _read_tool_result(block: Raw, path: str, limits: Limits) -> tuple[Item, ...]:
    result = read_raw(block, bodies.ToolResultBody, path)
    items: tuple[Item, ...] = ()
    if not is_absent(result.content):
        path = f"{path}.content"
        items = _read(result.content, _RESULT_READERS, "tool_result", path, limits)
    if result.is_error:
        items = (TextPart("Error: "), *items)
    parts = tuple(item for item in items if isinstance(item, TextPart | ImagePart))
    return (ToolResult(result.tool_use_id, joined(parts, _LINE_BREAK) or (TextPart(""),)),)


def _read_tool_reference(block: Raw, path: str, limits: Limits) -> tuple[Item, ...]:
    return (TextPart(read_raw(block, bodies.ToolReferenceBody, path).tool_name),)


def _read_thinking(block: Raw, path: str, limits: Limits) -> tuple[Item, ...]:
    thinking = read_raw(block, bodies.ThinkingBody, path)
    signature = thinking.signature if isinstance(thinking.signature, str) else ""
    return (Thought(thinking.thinking or hidden_text(signature)),)


def _refuse_source(source: bodies.Source, path: str, hint: str) -> NoReturn:
    raise UnsupportedContent(
        f"{path}: a source of type {source.type[:40]!r} is not taken", hint, param=f"{path}.type"
    )


def _texts(*texts: str | None) -> tuple[TextPart, ...]:
    return tuple(TextPart(text) for text in texts if text)


def _require(raw: Raw, path: str) -> None:
    if is_absent(raw):
        refuse(path, "required")


_SYSTEM_READERS: dict[str, _Reader] = {"text": _read_text}
_DOCUMENT_READERS: dict[str, _Reader] = {"text": _read_text, "image": _read_image}
_RESULT_READERS: dict[str, _Reader] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "search_result": _read_search_result,
    "tool_reference": _read_tool_reference,
}
_READERS: dict[str, dict[str, _Reader]] = {
    "system": _SYSTEM_READERS,
    "user": {
        "text": _read_text,
        "image": _read_image,
        "document": _read_document,
        "search_result": _read_search_result,
        "tool_result": _read_tool_result,
    },
    "assistant": {
        "text": _read_text,
        "thinking": _read_thinking,
        "tool_use": _read_tool_use,
    },
}
