"""How many launches a greedy decode step is on a GPU, drawing included, counted without one.

The engine's own step of a published shape is computed with tensors that have no memory. What torch
computes counts as a launch, views and tensors that are only set aside do not, and Triton's kernels
are told and not run. A product is one, as torch's library may cut it; ours counts as it is cut.

    python -m bench.gpu_launches
"""

# What Triton's kernels are called with is without types.
# pyright: basic
from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cortex.engine.cache.place import Place
from cortex.engine.cache.pools import Pools
from cortex.engine.decoding.inputs import StepRow
from cortex.engine.decoding.keys import StepKey
from cortex.engine.decoding.step import DecodeStep
from cortex.engine.kernels.gpu import norms
from cortex.engine.kernels.gpu.drawing import draw_tokens
from cortex.engine.kernels.gpu.operations import TritonOperations
from cortex.engine.kernels.gpu.products import GpuLinear
from cortex.engine.kernels.gpu.small_product import MOST_ROWS, small_product
from cortex.engine.layers.operations import use_operations
from cortex.engine.layers.projections import SideBySide
from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import ARCHITECTURES
from cortex.engine.sampling.wishes import Truncations

from .shapes import QWEN3_5_9B, QWEN3_8B, Shape

_META = torch.device("meta")
_PAGE_TOKENS = 64
_HISTORY_TOKENS = 640
# Memory set aside, and a view that torch does not call one.
_NO_LAUNCH = ("aten::empty", "aten::new_empty", "aten::_unsafe_view")


class _Launches(TorchDispatchMode):
    """Counts by name what torch computes; views alias what they are of without writing to it."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        schema = func._schema
        is_view = any(each.alias_info and not each.alias_info.is_write for each in schema.returns)
        if not is_view and not schema.name.startswith(_NO_LAUNCH):
            self.counted[schema.name] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def _counting() -> Iterator[Counter[str]]:
    launches = _Launches()
    kernel_type: Any = type(vars(norms)["_rms_norm"])
    run = kernel_type.run

    def told(kernel: Any, *_: Any, **__: Any) -> None:
        launches.counted[kernel.fn.__name__] += 1

    kernel_type.run = told
    try:
        with launches:
            yield launches.counted
    finally:
        kernel_type.run = run


def launches(shape: Shape, *, ours: bool) -> Counter[str]:
    """Of one sequence, by name. `ours`: products are computed by our kernel and not by torch's."""
    model = _model(shape, frozenset(range(1, MOST_ROWS + 1)) if ours else frozenset())
    operations = TritonOperations(None, None)
    use_operations(model, operations)
    num_pages = _HISTORY_TOKENS // _PAGE_TOKENS + 1
    pools = Pools(
        model.shape.memory, model.dtype, _META, num_pages=num_pages, page_tokens=_PAGE_TOKENS,
        num_slots=1, operations=operations,
    )  # fmt: skip
    step = DecodeStep(model, pools, torch.zeros(1, dtype=torch.int64, device=_META), draw_tokens, 1)
    key = StepKey(1, num_pages, Truncations(False, False, False), keeps_scores=False)
    row = StepRow(7, _HISTORY_TOKENS, Place([*range(num_pages)], 0, _HISTORY_TOKENS))
    told = torch.tensor(key.layout.pack([row], _PAGE_TOKENS), device=_META)
    with torch.no_grad(), _counting() as counted:
        step(key, key.layout.views(told))
    return counted


def _model(shape: Shape, rows: frozenset[int]) -> ServableModel:
    architecture = ARCHITECTURES[shape.config["model_type"]]
    with _META:
        config = architecture.parse_config(shape.config, shape.name)
        model = architecture.build(config).to(torch.bfloat16)

    def product(weight: torch.Tensor, bias: torch.Tensor | None) -> GpuLinear:
        return GpuLinear(weight, bias, rows, small_product)

    for module in [*model.modules()]:
        if isinstance(module, SideBySide):
            module.join(product)
    for module in [*model.modules()]:
        for name, child in [*module.named_children()]:
            if isinstance(child, nn.Linear):
                setattr(module, name, product(child.weight, child.bias))
    return model


def main() -> None:
    for shape in (QWEN3_8B, QWEN3_5_9B):
        for ours in (False, True):
            counted = launches(shape, ours=ours)
            products = "ours" if ours else "torch's"
            line = {"shape": shape.name, "products": products, "launches": counted.total()}
            print(json.dumps({**line, "by_name": dict(counted.most_common())}))


if __name__ == "__main__":
    main()
