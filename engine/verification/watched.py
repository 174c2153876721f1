"""What the layers of a model put out, collected under the golden files' names.

Layers are found by their own names, which are the published ones in every architecture.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from ..layers.projections import SideBySide

_OUTPUTS = {
    r"\w+\.layers\.(\d+)": "hidden.layer.{}",
    r"\w+\.layers\.(\d+)\.(?:self_attn|linear_attn)": "mixer.layer.{}",
    r"(?:language_)?model\.norm": "hidden.final_norm",
    r"visual\.patch_embed": "vision.patch_embed",
    r"visual\.blocks\.(\d+)": "vision.block.{}",
    r"visual\.merger": "vision.merged",
}
_INPUTS = {r"\w+\.layers\.0": "hidden.embed", r"visual\.blocks\.0": "vision.blocks_in"}
_CONV_INPUTS = {r"\w+\.layers\.(\d+)\.linear_attn": "state.layer.{}.conv"}
_CONV_COLUMNS = 4


class Watched:
    """While open, every forward pass of the model leaves its layers' outputs in the dict."""

    def __init__(self, model: nn.Module) -> None:
        self._modules: dict[str, nn.Module] = dict(cast(Any, model).named_modules())
        self._handles: list[RemovableHandle] = []
        self._seen: dict[str, torch.Tensor] = {}

    def __enter__(self) -> dict[str, torch.Tensor]:
        for name, module in self._modules.items():
            if found := _name_in(_INPUTS, name):
                hook = self._input_hook(found)
                self._handles.append(module.register_forward_pre_hook(hook))
            if found := _name_in(_OUTPUTS, name):
                hook = self._output_hook(found)
                self._handles.append(module.register_forward_hook(hook))
            if found := _name_in(_CONV_INPUTS, name):
                hook = self._conv_hook(found)
                self._handles.append(module.register_forward_pre_hook(hook))
        return self._seen

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _input_hook(self, name: str) -> Callable[..., None]:
        def keep(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
            self._seen[name] = _unbatched(inputs[0])

        return keep

    def _conv_hook(self, name: str) -> Callable[..., None]:
        def keep(mixer: SideBySide, inputs: tuple[torch.Tensor, ...]) -> None:
            self._seen[name] = _last_columns(mixer.project(inputs[0])[0])

        return keep

    def _output_hook(self, name: str) -> Callable[..., None]:
        def keep(_module: object, _inputs: object, output: Any) -> None:
            if isinstance(output, tuple):
                # A layer leaves its last sum to whoever reads it.
                hidden, update = cast("tuple[torch.Tensor, torch.Tensor]", output)
                output = hidden + update
            self._seen[name] = _unbatched(output)

        return keep


def _name_in(table: dict[str, str], module_name: str) -> str | None:
    """The golden files' name for a module, or None where they have none."""
    for pattern, name in table.items():
        if match := re.fullmatch(pattern, module_name):
            return name.format(*match.groups())
    return None


def _unbatched(x: torch.Tensor) -> torch.Tensor:
    """The language model works on a batch of one, the tower on rows."""
    return x[0] if x.ndim == 3 else x


def _last_columns(x: torch.Tensor) -> torch.Tensor:
    """The last four inputs of the short convolution, oldest first, channels first."""
    padded = functional.pad(x[0], (0, 0, _CONV_COLUMNS, 0))
    return padded[-_CONV_COLUMNS:].transpose(0, 1)
