"""Whether Triton's kernels serve a device: looked for once, and tried before they are believed."""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.util import find_spec
from itertools import product

import torch

from ...layers.operations import Operations
from ...poison import raise_poison
from ..trial import operations_that_differ
from .complaint import complain

_log = logging.getLogger(__name__)


@lru_cache(maxsize=4)
def triton_operations(dtype: torch.dtype, device: torch.device) -> Operations | None:
    """Those for tensors of `dtype` there; None where torch's must serve: a log line says why.

    Raises DevicePoisoned where a kernel spoiled the device: torch's would fail there, too.
    """
    if find_spec("triton") is None:
        _log.info("no Triton kernels, torch's serve: triton is not installed")
        return None
    # Whoever computes on a CPU never loads Triton.
    from .fla_rule import found_fla_rule
    from .operations import TritonOperations
    from .prefill import found_varlen

    # What torch and fla-core bring is tried with ours, then each of both without the other, and
    # ours alone where nothing of it serves.
    varlens, rules = (found_varlen(), None), (found_fla_rule(), None)
    for varlen, rule in dict.fromkeys(product(varlens, rules)):
        operations = TritonOperations(varlen, rule)
        reason = _why_not(operations, dtype, device)
        if not reason:
            return operations
        complain(reason)
    return None


def _why_not(operations: Operations, dtype: torch.dtype, device: torch.device) -> str:
    try:
        wrong = operations_that_differ(operations, dtype, device)
    except Exception as error:
        # A compiler that fails on this device fails in ways of its own.
        raise_poison(error)
        return str(error)
    return f"{', '.join(wrong)} differ from torch's" if wrong else ""
