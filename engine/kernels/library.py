"""The C functions of the folder `c`, for one dtype: compiled, loaded and typed."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import platformdirs
import torch

from .compiling import NotCompiled, compiled

_FOLDER = Path(__file__).with_name("c")
_DEFINITIONS = {torch.float32: (), torch.bfloat16: ("BFLOAT16",)}
_P, _L, _F, _I = ctypes.c_void_p, ctypes.c_long, ctypes.c_float, ctypes.c_int
_SIGNATURES: dict[str, list[Any]] = {
    "panel_shape": [ctypes.POINTER(_L)] * 2,
    "pack": [_P, _L, _L, _P, _I],
    "product": [_P] * 4 + [_L] * 3 + [_I],
    "rms_norm": [_P, _L, _P, _F, _F, _L, _L, _P, _I],
    "silu_times": [_P, _L, _P, _L, _L, _L, _P, _I],
    "norm_rotate": [_P, _L, _L, _P, _F, _F, _P, _P, _L, _L, _L, _L, _P, _I],
    "attend_chunk": [_P] * 4 + [_L] * 6 + [_F, _P, _P, _I],
    "attend_step": [_P] * 7 + [_L] * 7 + [_F, _P, _P, _I],
    "gated_delta": [_P] * 4 + [_L] + [_P] * 4 + [_F] + [_P] * 4 + [_L] * 7 + [_I],
}


class Library:
    """Its functions take addresses and sizes, as `c/*.c` says, for tensors of `dtype`.

    A weight lies in panels of `panel_rows`, of which `step` columns lie together; 0 where this
    processor has no product of ours. A sequence is attended to in parts of `part_tokens`.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """Raises NotCompiled."""
        if dtype not in _DEFINITIONS:
            raise NotCompiled(f"there are none for {dtype}")
        cache_dir = platformdirs.user_cache_path("cortex", appauthor=False) / "kernels"
        path = compiled(_FOLDER, _DEFINITIONS[dtype], cache_dir)
        try:
            functions = ctypes.CDLL(str(path))
        except OSError as error:
            raise NotCompiled(str(error)) from error
        for name, types in _SIGNATURES.items():
            if not hasattr(functions, name):
                continue  # made of panels, where there are none
            function = getattr(functions, name)
            function.argtypes, function.restype = types, None
        self.dtype = dtype
        self.functions = functions
        panel, step = _L(), _L()
        functions.panel_shape(panel, step)
        self.panel_rows, self.step = panel.value, step.value
        functions.part_tokens.restype = _L
        self.part_tokens: int = functions.part_tokens()
