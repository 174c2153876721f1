"""Safetensors files into a model: read by mmap, one tensor at a time, straight to its place.

Every tensor of the files is used or on the architecture's list of known extras, and every
parameter is filled; anything else is an error that names the tensor. Pickles are never opened.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
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
# Of a sharded model's files an error names so many.
_MOST_NAMED = 3
# Safetensors' names of them.
_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


class Progress:
    """How much of a model's files has been read, as it is told to `on_progress`."""

    def __init__(self, files: Sequence[Path], on_progress: OnProgress) -> None:
        self._total_bytes = sum(file.stat().st_size for file in files)
        self._done_bytes = 0
        self._on_progress = on_progress

    def add(self, num_bytes: int) -> None:
        # One byte is left for the end: it is told once, and means that all is done.
        self._done_bytes = min(self._done_bytes + num_bytes, self._total_bytes - 1)
        self._on_progress(self._done_bytes, self._total_bytes)

    def finish(self) -> None:
        self._on_progress(self._total_bytes, self._total_bytes)


@dataclass(frozen=True, slots=True)
class WeightNames:
    """How an architecture's file names map to parameters.

    `parameter` gives the parameter a tensor fills, or None for a known extra. Parameters whose
    name ends in one of `keep_float32` keep float32 whatever the model's dtype.
    """

    parameter: Callable[[str], str | None]
    keep_float32: tuple[str, ...]

    def dtype(self, parameter: str, dtype: torch.dtype) -> torch.dtype:
        """Of one parameter of a model in `dtype`."""
        return torch.float32 if parameter.endswith(self.keep_float32) else dtype


def weight_files(model_dir: Path) -> list[Path]:
    """The safetensors files of a model folder, by its index where it is sharded.

    Raises ModelInvalid where there are none or the index names a file that is not there.
    """
    index_path = model_dir / "model.safetensors.index.json"
    if index_path.exists():
        try:
            mapping = cast("dict[str, str]", json.loads(index_path.read_text())["weight_map"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelInvalid(
                f"{index_path} is not a safetensors index.", "download the model again."
            ) from error
        files = [model_dir / name for name in sorted(set(mapping.values()))]
    else:
        files = sorted(model_dir.glob("*.safetensors"))
    if not files:
        raise ModelInvalid(f"{model_dir} holds no .safetensors file.")
    for file in files:
        if file.parent != model_dir:
            raise ModelInvalid(f"{index_path} names {file.name}, which is not in the folder.")
        if not file.is_file():  # whoever opens a pipe may wait for ever
            why = "is no file" if file.exists() else "is not there, or a link to what is gone"
            raise ModelInvalid(f"{file} {why}", "download the model again")
    return files


def load_weights(
    model: nn.Module,
    model_dir: Path,
    names: WeightNames,
    dtype: torch.dtype,
    device: torch.device,
    on_read: Callable[[int], None] = lambda num_bytes: None,
) -> Mapping[str, int]:
    """Fill a model built on the meta device; the parameters that lie in the files, and where. For
    each tensor `on_read` hears how many bytes were read, none for one that lies there still.

    Raises ModelInvalid for a tensor nobody knows, a parameter nobody filled, or a wrong shape.
    """
    files = weight_files(model_dir)
    places = _Places(model, files, names)
    mapped: dict[str, int] = {}
    for file, name, tensor in _tensors(files):
        target = places.take(file, name, tuple(tensor.shape))
        if target is None:
            continue
        placed = tensor.to(device=device, dtype=names.dtype(target, dtype))
        if placed is tensor:
            mapped[target] = tensor.data_ptr()
        _assign(model, target, placed)
        on_read(0 if placed is tensor else tensor.nbytes)
    places.check_filled()
    return mapped


def hold_weights(
    model: nn.Module,
    mapped: Mapping[str, int],
    on_read: Callable[[int], None] = lambda num_bytes: None,
) -> None:
    """Copy what still lies in the files, which may change or go while the model is served."""
    for name, parameter in list(model.named_parameters()):
        if mapped.get(name) == parameter.data_ptr():
            _assign(model, name, parameter.detach().clone())
            on_read(parameter.nbytes)


def check_weights(model: nn.Module, model_dir: Path, names: WeightNames) -> None:
    """Whether `load_weights` would fill the model, by the headers of the files alone.

    Raises ModelInvalid as that does.
    """
    files = weight_files(model_dir)
    places = _Places(model, files, names)
    for file, name, header in _headers(files):
        places.take(file, name, header.shape)
    places.check_filled()


def tensor_names(model_dir: Path) -> set[str]:
    """Of all tensors in a model's files. Raises ModelInvalid as weight_files does."""
    return {name for _, name, _ in _headers(weight_files(model_dir))}


def filled_bytes(model: nn.Module, names: WeightNames, dtype: torch.dtype) -> int:
    """What the parameters of a model on the meta device take once they are filled."""
    parameters = model.named_parameters()
    return sum(p.numel() * names.dtype(name, dtype).itemsize for name, p in parameters)


def stored_dtype(model_dir: Path) -> tuple[torch.dtype | None, int]:
    """The dtype of most values in a model's files, and the files' bytes. Reads headers alone.

    None where it is one that no engine computes in. Raises ModelInvalid as weight_files does.
    """
    sizes: Counter[str] = Counter()
    files = weight_files(model_dir)
    for _, _, header in _headers(files):
        sizes[header.dtype] += prod(header.shape)
    name, _ = sizes.most_common(1)[0] if sizes else ("", 0)
    return _DTYPES.get(name), sum(file.stat().st_size for file in files)


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """All tensors of one safetensors file. Raises ModelInvalid where it is not one."""
    return {name: tensor for _, name, tensor in _tensors([file])}


class _Places:
    """The parameters of a model, each to be filled by one tensor. Raises ModelInvalid."""

    def __init__(self, model: nn.Module, files: Sequence[Path], names: WeightNames) -> None:
        self._missing = {name: tuple(p.shape) for name, p in model.named_parameters()}
        self._files, self._names = files, names

    def take(self, file: Path, name: str, shape: tuple[int, ...]) -> str | None:
        """The parameter that a tensor fills; None for a known extra."""
        target = self._names.parameter(name)
        if target is None:
            return None
        expected = self._missing.pop(target, None)
        if expected is None:
            raise ModelInvalid(
                f"{file.parent.name}: tensor {name} {list(shape)} of {file.name} has no place in"
                " this architecture.",
                "the files do not belong to the config.json beside them, or the model is newer.",
            )
        if expected != shape:
            raise ModelInvalid(
                f"{file.parent.name}: tensor {name} of {file.name} is {list(shape)}, where"
                f" config.json makes it {list(expected)}.",
                "the files do not belong to the config.json beside them: download the model again.",
            )
        return target

    def check_filled(self) -> None:
        if self._missing:
            name, shape = next(iter(self._missing.items()))
            named = [file.name for file in self._files[:_MOST_NAMED]]
            if len(self._files) > _MOST_NAMED:
                named.append("…")
            raise ModelInvalid(
                f"{self._files[0].parent.name}: no tensor for {len(self._missing)} parameters in"
                f" {', '.join(named)}, among them {name} {list(shape)}.",
                "a file is missing or another model's: download the model again.",
            )


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of a tensor, the dtype in safetensors' word."""

    dtype: str
    shape: tuple[int, ...]


def _headers(files: list[Path]) -> Iterator[tuple[Path, str, _Header]]:
    for file in files:
        with _opened(file) as opened:
            for name in cast("list[str]", opened.keys()):
                tensor = opened.get_slice(name)
                yield file, name, _Header(tensor.get_dtype(), tuple(tensor.get_shape()))


def _tensors(files: list[Path]) -> Iterator[tuple[Path, str, torch.Tensor]]:
    for file in files:
        with _opened(file) as opened:
            for name in cast("list[str]", opened.keys()):
                yield file, name, cast(torch.Tensor, opened.get_tensor(name))


@contextmanager
def _opened(file: Path) -> Generator[Any]:
    try:
        with cast(Any, safe_open(str(file), framework="pt", device="cpu")) as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        why = str(error).removeprefix("Error while deserializing header: ").rstrip(".")
        raise ModelInvalid(f"{file} cannot be read: {why}", "download the model again") from error


def _assign(model: nn.Module, name: str, tensor: torch.Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    setattr(module, leaf, nn.Parameter(tensor, requires_grad=False))
