"""Triton's interpreter, made to multiply, and to round to bfloat16, as GPUs do.

By itself it keeps bits of bfloat16, multiplies those, and cuts off what does not fit. And by the
processor's library, which sums a row in an order that may depend on where the row lies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cortex.engine.kernels.gpu.operations import TritonOperations


@pytest.fixture(scope="session", autouse=True)
def interpreted_as_on_a_gpu() -> None:
    import triton.language as tl
    from triton.runtime import interpreter

    assert type(_kernel()).__name__ == "InterpretedFunction", "Triton was imported too early"
    builder: Any = interpreter.InterpreterBuilder
    widen: Any = vars(interpreter)["_convert_float"]

    def wide(x: Any) -> Any:
        if x.dtype != tl.bfloat16:
            return x
        data = widen(x.data, tl.bfloat16, tl.float32, None).view("float32")
        return interpreter.TensorHandle(data, tl.float32)

    def create_dot(self: Any, a: Any, b: Any, total: Any, *_: object) -> Any:
        rows, columns = wide(a).data[..., :, None, :], wide(b).data[..., None, :, :]
        product = np.matmul(rows, columns)[..., 0, :]
        return interpreter.TensorHandle(product + total.data, total.dtype.scalar)

    cut_off = builder.create_fp_trunc

    def create_fp_trunc(self: Any, x: Any, to: Any) -> Any:
        if (x.dtype.scalar, to.scalar) != (tl.float32, tl.bfloat16):
            return cut_off(self, x, to)
        rounded = torch.tensor(x.data).to(torch.bfloat16).view(torch.uint16).numpy()
        return interpreter.TensorHandle(rounded, tl.bfloat16)

    builder.create_dot = create_dot
    builder.create_fp_trunc = create_fp_trunc


def _kernel() -> Any:
    from cortex.engine.kernels.gpu import delta_step

    return vars(delta_step)["_delta_step"]


@pytest.fixture(scope="session")
def operations() -> TritonOperations:
    """Without what only a GPU has."""
    return TritonOperations(None, None)


@pytest.fixture
def source() -> torch.Generator:
    return torch.Generator().manual_seed(0)
