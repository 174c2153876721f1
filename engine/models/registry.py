"""Which architecture a model folder holds, and how to build it.

The one place in the engine that knows which architectures there are. A peer, which loads none of
them, has a list of its own, and a test holds that to this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from ..errors import ModelInvalid
from ..kernels.gpu.found import triton_operations
from ..kernels.gpu.products import GpuPacker, gpu_packer
from ..kernels.linear import LinearPacker, replace_linears
from ..kernels.native import NativeOperations
from ..kernels.own import own_kernels
from ..kernels.panels import PanelEmbedding, PanelLinear
from ..layers.operations import use_operations
from ..layers.projections import SideBySide
from ..model_files import read_json_object
from ..weights import (
    OnProgress,
    Progress,
    WeightNames,
    filled_bytes,
    hold_weights,
    load_weights,
    tensor_names,
    weight_files,
)
from ..wishes import KernelsWish
from .base import Architecture, ServableModel
from .llama import LLAMA
from .qwen2 import QWEN2
from .qwen3 import QWEN3
from .qwen3_5 import QWEN3_5

_HEAD_TENSOR = "lm_head.weight"
# By the model_type of config.json.
ARCHITECTURES: Mapping[str, Architecture[Any]] = {
    "llama": LLAMA,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "qwen3_5": QWEN3_5,
    "qwen3_5_text": QWEN3_5,
}


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model on the meta device, and where its weights come from.

    `context_tokens` is None where the config does not say how long a context may be.
    """

    model: ServableModel
    names: WeightNames
    context_tokens: int | None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """`context_tokens` as in BuiltModel."""

    model: ServableModel
    weight_bytes: int
    context_tokens: int | None


def build_model(model_dir: Path, *, drafts: bool = False) -> BuiltModel:
    """The model of a folder without its weights, with its draft head if it `drafts` and has one.

    Which heads there are its files say. Raises ModelInvalid for its config, or for what are none.
    """
    architecture, config, context_tokens = read_config(model_dir)
    held = tensor_names(model_dir)
    if _HEAD_TENSOR not in held:
        config = architecture.without_head(config)
    with torch.device("meta"), _Unfilled():
        if drafts and architecture.with_draft_head is not None:
            config = architecture.with_draft_head(config, held)
        model = architecture.build(config)
    return BuiltModel(model, architecture.weight_names(config), context_tokens)


def read_config(model_dir: Path) -> tuple[Architecture[Any], Any, int | None]:
    """Of what architecture a folder is, its config for that, and `context_tokens` as in BuiltModel.

    Raises ModelInvalid.
    """
    path = model_dir / "config.json"
    raw = read_json_object(path)
    architecture = _architecture(raw.get("model_type"), path)
    return architecture, architecture.parse_config(raw, str(path)), _context_tokens(raw)


def make_packer(
    dtype: torch.dtype, device: torch.device, *, exact: bool, kernels: KernelsWish
) -> LinearPacker | GpuPacker | None:
    """What packs the linear layers; None where they stay as they are."""
    if device.type == "cuda" and kernels == "auto":
        return gpu_packer(dtype)
    if device.type != "cpu":
        return None
    return LinearPacker(exact, own_kernels(dtype) if kernels == "auto" else None)


def weights_bytes(
    built: BuiltModel, dtype: torch.dtype, packer: LinearPacker | GpuPacker | None
) -> int:
    """What the weights take once they are loaded, and packed if they are to be."""
    num_bytes = filled_bytes(built.model, built.names, dtype)
    if packer is None:
        return num_bytes
    for shape in _product_shapes(built.model):
        copy_bytes = packer.copy_bytes(shape, dtype)
        if copy_bytes is not None:
            num_bytes += copy_bytes - shape.numel() * dtype.itemsize
    if built.model.has_tied_head:
        (table,) = built.model.embedding.parameters()
        copy_bytes = packer.copy_bytes(table.shape, dtype) or 0
        is_shared = packer.has_panels(table.shape, dtype)
        num_bytes += copy_bytes - (table.numel() * dtype.itemsize if is_shared else 0)
    return num_bytes


def _product_shapes(model: ServableModel) -> Iterator[torch.Size]:
    """[out, in] of each product that `_pack` makes, but for that of a tied head."""
    joined: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, SideBySide):
            maps = module.maps()
            joined.update(maps)
            yield torch.Size([sum(each.out_features for each in maps), maps[0].in_features])
    for module in model.modules():
        if type(module) is nn.Linear and module not in joined:
            yield module.weight.shape


def load_model(
    model_dir: Path,
    dtype: torch.dtype,
    device: torch.device,
    on_progress: OnProgress = lambda done, total: None,
    *,
    exact: bool = True,
    kernels: KernelsWish = "auto",
    drafts: bool = False,
) -> LoadedModel:
    """The model of a folder in the published layout, its weights in `dtype` on `device`.

    `exact`: on the CPU, linear layers give a row the same bits in any company. `kernels` says what
    computes there, and `drafts` whether it is to have its draft head.
    Raises ModelInvalid for a config or a tensor that cannot be served exactly.
    """
    built = build_model(model_dir, drafts=drafts)
    packer = make_packer(dtype, device, exact=exact, kernels=kernels)
    num_bytes = weights_bytes(built, dtype, packer)
    fill_model(built, model_dir, dtype, device, packer, on_progress)
    use_gpu_kernels(built.model, dtype, device, kernels)
    return LoadedModel(built.model, num_bytes, built.context_tokens)


def fill_model(
    built: BuiltModel,
    model_dir: Path,
    dtype: torch.dtype,
    device: torch.device,
    packer: LinearPacker | GpuPacker | None,
    on_progress: OnProgress = lambda done, total: None,
) -> None:
    """Give a model its weights, ready to compute with. What `on_progress` raises ends it between
    two of them. Raises ModelInvalid for a tensor that cannot be served exactly.
    """
    progress = Progress(weight_files(model_dir), on_progress)
    model = built.model
    mapped = load_weights(model, model_dir, built.names, dtype, device, progress.add)
    model.eval()
    if packer is not None:
        # Of what lies in the files still it is this that reads them.
        _pack(model, packer, lambda weight: progress.add(weight.nbytes if mapped else 0))
        if packer.library is not None:
            use_operations(model, NativeOperations(packer.library))
    hold_weights(model, mapped, progress.add)
    progress.finish()


def use_gpu_kernels(
    model: ServableModel, dtype: torch.dtype, device: torch.device, kernels: KernelsWish
) -> None:
    """On a GPU a filled model computes with our kernels, where they serve it."""
    if device.type == "cuda" and kernels == "auto":
        operations = triton_operations(dtype, device)
        if operations is not None:
            use_operations(model, operations)


def _context_tokens(raw: Mapping[str, Any]) -> int | None:
    inner: Mapping[str, Any] = raw.get("text_config") or {}
    tokens = inner.get("max_position_embeddings") or raw.get("max_position_embeddings")
    return tokens if isinstance(tokens, int) and tokens > 0 else None


_DRAWS = (init.normal_, init.uniform_, init.kaiming_uniform_, torch.Tensor.uniform_)


class _Unfilled(TorchFunctionMode):
    """Modules are made without drawing first weights, which nobody would see.

    On the meta device drawing them is not free either: torch imports its compiler to do it, which
    takes longer than to load a small model.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named: dict[str, Any] = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _pack(
    model: ServableModel,
    packer: LinearPacker | GpuPacker,
    on_packed: Callable[[torch.Tensor], None],
) -> None:
    """Linear layers as the device likes them; `on_packed` hears of each weight.

    A tied head is read whole for every token, and packed a CPU reads it at twice the speed. In
    panels the embedding's rows can be looked up; oneDNN's order is its own, and the head a copy.
    """

    def packed(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module | None:
        made = packer.packed(weight, bias)
        on_packed(weight)
        return made

    for module in list(model.modules()):
        if isinstance(module, SideBySide):
            module.join(packed)
    replace_linears(model, packed)
    if not model.has_tied_head:
        return
    embedding = model.embedding
    (table,) = embedding.parameters()
    head = packed(table, None)
    model.lm_head = head
    if isinstance(head, PanelLinear):
        modules = cast("Iterator[tuple[str, nn.Module]]", model.named_modules())
        name = next(name for name, module in modules if module is embedding)
        model.set_submodule(name, PanelEmbedding(head))


def _architecture(model_type: object, path: Path) -> Architecture[Any]:
    known = ARCHITECTURES.get(model_type) if isinstance(model_type, str) else None
    if known is None:
        raise ModelInvalid(
            f"{path}: model_type {model_type!r} is not one this engine knows.",
            f"known: {', '.join(sorted(ARCHITECTURES))}.",
        )
    return known
