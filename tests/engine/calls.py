"""What some work asks of torch, counted: what it would tell a device, and where it would wait."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# Numbers would go to a device by one of these, and the host waits for it in the others.
TOLD: set[Any] = {torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.cuda}
WAITED: set[Any] = {torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.__bool__}


class Calls(TorchFunctionMode):
    """While it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[Any] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.counted[func] += 1
        return func(*args, **(kwargs or {}))
