"""Safetensors files into a model: read by mmap, one tensor at a time, straight to its place.

Every tensor of the files is used or on the architecture's list of known extras, and every
parameter is filled; anything else is an error that names the tensor. Pickles are never opened.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from .errors import ModelInvalid

# (bytes read so far, bytes in all)
OnProgress = Callable[[int, int], None]
# Safetensors' names of them.
_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


@dataclass(frozen=True, slots=True)
class WeightNames:
    """How an architecture's file names map to parameters.

    `parameter` gives the parameter a tensor fills, or None for a known extra. Parameters whose
    name ends in one of `keep_float32` keep float32 whatever the model's dtype.
    """

    parameter: Callable[[str], str | None]
    keep_float32: tuple[str, ...]


def weight_files(model_dir: Path) -> list[Path]:
    """The safetensors files of a model folder, by its index where it is sharded.

    Raises ModelInvalid where there are none or the index names a file that is not there.
    """
    index_path = model_dir / "model.safetensors.index.json"
    if index_path.exists():
        try:
            mapping = cast("dict[str, str]", json.loads(index_path.read_text())["weight_map"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelInvalid(f"{index_path} is not a safetensors index.") from error
        files = [model_dir / name for name in sorted(set(mapping.values()))]
    else:
        files = sorted(model_dir.glob("*.safetensors"))
    if not files:
        raise ModelInvalid(f"{model_dir} holds no .safetensors file.")
    for file in files:
        if file.parent != model_dir or not file.exists():
            raise ModelInvalid(f"{index_path} names {file.name}, which is not in the folder.")
    return files


def load_weights(
    model: nn.Module,
    model_dir: Path,
    names: WeightNames,
    dtype: torch.dtype,
    device: torch.device,
    on_progress: OnProgress = lambda done, total: None,
) -> int:
    """Fill a model built on the meta device; the bytes its weights take on `device`.

    Raises ModelInvalid for a tensor nobody knows, a parameter nobody filled, or a wrong shape.
    """
    files = weight_files(model_dir)
    total_bytes = sum(f.stat().st_size for f in files)
    missing = dict(model.named_parameters())
    done_bytes = 0
    for name, tensor in _tensors(files):
        done_bytes += tensor.nbytes
        target = names.parameter(name)
        if target is None:
            continue
        expected = missing.pop(target, None)
        if expected is None:
            raise ModelInvalid(
                f"{model_dir.name}: tensor {name} has no place in this architecture.",
                "the files do not belong to the config.json beside them, or the model is newer.",
            )
        if expected.shape != tensor.shape:
            raise ModelInvalid(
                f"{model_dir.name}: tensor {name} is {list(tensor.shape)}, "
                f"config.json makes it {list(expected.shape)}."
            )
        kept = torch.float32 if target.endswith(names.keep_float32) else dtype
        _assign(model, target, tensor.to(device=device, dtype=kept))
        on_progress(min(done_bytes, total_bytes), total_bytes)
    if missing:
        raise ModelInvalid(
            f"{model_dir.name}: no tensor for {len(missing)} parameters, among them "
            f"{next(iter(missing))}."
        )
    return sum(p.nbytes for p in model.parameters())


def stored_dtype(model_dir: Path) -> tuple[torch.dtype | None, int]:
    """The dtype of most values in a model's files, and the files' bytes. Reads headers alone.

    None where it is one that no engine computes in. Raises ModelInvalid as weight_files does.
    """
    sizes: Counter[str] = Counter()
    files = weight_files(model_dir)
    for file in files:
        with _opened(file) as opened:
            for name in cast("list[str]", opened.keys()):
                tensor = opened.get_slice(name)
                sizes[tensor.get_dtype()] += prod(tensor.get_shape())
    name, _ = sizes.most_common(1)[0] if sizes else ("", 0)
    return _DTYPES.get(name), sum(file.stat().st_size for file in files)


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """All tensors of one safetensors file. Raises ModelInvalid where it is not one."""
    return dict(_tensors([file]))


def _tensors(files: list[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    for file in files:
        with _opened(file) as opened:
            for name in cast("list[str]", opened.keys()):
                yield name, cast(torch.Tensor, opened.get_tensor(name))


@contextmanager
def _opened(file: Path) -> Generator[Any]:
    try:
        with cast(Any, safe_open(str(file), framework="pt", device="cpu")) as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise ModelInvalid(f"{file} cannot be read: {error}.") from error


def _assign(model: nn.Module, name: str, tensor: torch.Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    setattr(module, leaf, nn.Parameter(tensor, requires_grad=False))
