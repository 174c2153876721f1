"""What a model can be asked for, as its folder's files say, and whether a request asks for more.

Known without an engine, so that no model makes room for one that could only refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cortex.engine.errors import VisionUnsupported, writes_no_text
from cortex.engine.types import Capability, ChatRequest, ImagePart

from ..config import EngineKind
from .folder import INDEX_FILE, loose_shards
from .look import Look

# One under a name that no architecture here has is the engine's to refuse.
_HEAD_TENSOR = b'lm_head.weight"'
# Far more than any has: a folder may hold anything.
_MAX_NAMES_BYTES = 16 * 1024 * 1024
_MAX_TOKENIZER_CONFIG_BYTES = 16 * 1024 * 1024


class _Template(msgspec.Struct):
    name: str = ""


class _TokenizerConfig(msgspec.Struct):
    chat_template: str | list[_Template] | None = None


def capabilities_of(
    described: Mapping[str, Any], folder: Path, engine: EngineKind, look: Look
) -> tuple[Capability, ...]:
    """Of a folder with that config.json; what cannot be read is the engine's to refuse."""
    if engine == "torch" and _lacks_head(described, folder, look):
        return ("embedding",)
    if not _has_template(folder, look):
        return ("completion",)
    has_preprocessor = any(
        look.is_file(folder / name)
        for name in ("preprocessor_config.json", "processor_config.json")
    )
    if isinstance(described.get("vision_config"), dict) and has_preprocessor:
        return ("text", "vision")
    return ("text",)


def check_able(
    model_id: str, capabilities: Sequence[Capability], request: ChatRequest, other: str | None
) -> None:
    """`other` is the id of a model that sees pictures, where there is one.

    Raises ModelNotSupported for text of a model without a head, and VisionUnsupported for a picture
    that the model does not see.
    """
    if "embedding" in capabilities and request.vector is None:
        raise writes_no_text(f"the model {model_id}")
    parts = (part for turn in request.messages for part in turn.content)
    if "vision" in capabilities or not any(isinstance(part, ImagePart) for part in parts):
        return
    raise VisionUnsupported(
        f"model '{model_id}' takes text only, and the request holds a picture"
        + (f"; '{other}' sees pictures" if other else ""),
        f"choose {other}" if other else "leave the pictures out",
    )


def _has_template(folder: Path, look: Look) -> bool:
    if look.is_file(folder / "chat_template.jinja"):
        return True
    try:
        return look.made(folder / "tokenizer_config.json", _names_template)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


def _names_template(path: Path) -> bool:
    """Raises OSError, or ValueError for what is no config of a tokenizer."""
    if path.stat().st_size > _MAX_TOKENIZER_CONFIG_BYTES:
        return True
    try:
        templates = msgspec.json.decode(path.read_bytes(), type=_TokenizerConfig).chat_template
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError from error
    if isinstance(templates, list):
        return any(template.name == "default" for template in templates)
    return templates is not None


def _lacks_head(described: Mapping[str, Any], folder: Path, look: Look) -> bool:
    """Whether it has neither a head of its own nor the embedding for one."""
    if described.get("tie_word_embeddings") is True:
        return False
    index = folder / INDEX_FILE
    try:
        if look.is_file(index):
            return look.made(index, _index_lacks_head)
        return all(look.made(file, _file_lacks_head) for file in loose_shards(folder, look))
    except (OSError, ValueError):
        return False


def _index_lacks_head(index: Path) -> bool:
    return index.stat().st_size <= _MAX_NAMES_BYTES and _is_lacking(index.read_bytes())


def _file_lacks_head(file: Path) -> bool:
    return _is_lacking(_header(file))


def _is_lacking(names: bytes) -> bool:
    """Told without reading the JSON, which may be long."""
    return _HEAD_TENSOR not in names


def _header(file: Path) -> bytes:
    """Of a safetensors file: what it holds, by name. Raises ValueError for what is none."""
    with file.open("rb") as opened:
        num_bytes = int.from_bytes(opened.read(8), "little")
        if not 0 < num_bytes <= _MAX_NAMES_BYTES:
            raise ValueError
        header = opened.read(num_bytes)
    if len(header) < num_bytes:
        raise ValueError
    return header
