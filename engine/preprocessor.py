"""What a checkpoint says about its pictures: patch sizes and limits, checked against what we do.

Reads the `image_processor` part of processor_config.json, or else preprocessor_config.json, as
transformers does: whoever saves a model again may leave the older file as it was. What the engine
would not do exactly as written there is refused by the field's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .errors import ModelInvalid
from .model_files import read_json_object
from .wishes import MOST_PIXELS, USUAL_PIXELS, PixelWishes

_BICUBIC = 3
_MEAN_AND_STD = [0.5, 0.5, 0.5]
_KNOWN_TYPES = {
    *("Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast"),
    *("Qwen3VLImageProcessor", "Qwen3VLImageProcessorFast"),
}
# Fields that change pixels, and the only values under which the engine does what they say.
_REQUIRED_VALUES: dict[str, Any] = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_convert_rgb": True,
    "do_center_crop": False,
    "do_pad": False,
    "resample": _BICUBIC,
    "rescale_factor": 1 / 255,
}


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Sizes in pixels; `min_pixels` and `max_pixels` are areas."""

    patch_size: int
    merge_size: int
    temporal_patch_size: int
    min_pixels: int
    max_pixels: int

    @property
    def factor(self) -> int:
        """The side of what becomes one prompt token."""
        return self.patch_size * self.merge_size


@dataclass(frozen=True, slots=True)
class PixelBudget:
    min_pixels: int
    max_pixels: int


def read_preprocessor(model_dir: Path) -> Preprocessor | None:
    """The folder's picture settings, or None where it has none.

    Raises ModelInvalid for a setting that cannot be honoured.
    """
    path = model_dir / "processor_config.json"
    if path.exists() and "image_processor" in (whole := read_json_object(path)):
        return _parse(path, _object(path, whole, "image_processor"))
    path = model_dir / "preprocessor_config.json"
    return _parse(path, read_json_object(path)) if path.exists() else None


def pixel_budget(preprocessor: Preprocessor, wishes: PixelWishes = USUAL_PIXELS) -> PixelBudget:
    """What the operator wishes, else a maximum of our own, within the checkpoint's limits; these
    alone where that leaves nothing.
    """
    min_pixels = max(preprocessor.min_pixels, wishes.min_pixels or 0)
    max_pixels = min(preprocessor.max_pixels, wishes.max_pixels or MOST_PIXELS)
    if min_pixels <= max_pixels:
        return PixelBudget(min_pixels, max_pixels)
    if wishes is not USUAL_PIXELS:
        return pixel_budget(preprocessor)
    return PixelBudget(preprocessor.min_pixels, preprocessor.max_pixels)


def _parse(path: Path, fields: Mapping[str, Any]) -> Preprocessor:
    kind = fields.get("image_processor_type")
    if kind is not None and kind not in _KNOWN_TYPES:
        raise _refused(path, "image_processor_type", kind)
    for name, required in _REQUIRED_VALUES.items():
        if fields.get(name, required) not in (required, None):
            raise _refused(path, name, fields[name])
    for name in ("image_mean", "image_std"):
        if fields.get(name) != _MEAN_AND_STD:
            raise _refused(path, name, fields.get(name))
    size = _object(path, fields, "size") if fields.get("size") is not None else {}
    preprocessor = Preprocessor(
        patch_size=_positive(path, fields, "patch_size"),
        merge_size=_positive(path, fields, "merge_size"),
        temporal_patch_size=_positive(path, fields, "temporal_patch_size"),
        min_pixels=_limit(path, fields, "min_pixels", size, "shortest_edge"),
        max_pixels=_limit(path, fields, "max_pixels", size, "longest_edge"),
    )
    if preprocessor.min_pixels > preprocessor.max_pixels:
        raise _refused(path, "min_pixels", preprocessor.min_pixels)
    return preprocessor


def _limit(
    path: Path, fields: Mapping[str, Any], name: str, size: Mapping[str, Any], size_name: str
) -> int:
    """An area: in these files the "edges" of `size` are pixel counts, and the old names win."""
    if fields.get(name) is not None:
        return _positive(path, fields, name)
    return _positive(path, size, size_name)


def _positive(path: Path, fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _refused(path, name, value)
    return value


def _object(path: Path, fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise _refused(path, name, value)
    return cast(dict[str, Any], value)


def _refused(path: Path, name: str, value: Any) -> ModelInvalid:
    return ModelInvalid(
        f"{path}: {name} = {value!r} cannot be honoured",
        "pictures are resized with bicubic filtering and normalised with mean and std 0.5",
        param=name,
    )
