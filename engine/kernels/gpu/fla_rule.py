"""The gated delta rule over a prompt's tokens by the Triton kernels of fla-core, if installed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from ...layers.gated_delta import DeltaRule

_log = logging.getLogger(__name__)


def found_fla_rule() -> DeltaRule | None:
    """In place of gated_delta_rule; None without fla-core."""
    try:
        module = import_module("fla.ops.gated_delta_rule")
    except ImportError:
        _log.info("prompts of recurrent models are read by torch: fla-core is not installed")
        return None
    chunk: Callable[..., Any] = module.chunk_gated_delta_rule

    def rule(
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        g: torch.Tensor,
        beta: torch.Tensor,
        state: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # All are given in one dtype, but for the decays and states; norms and scale are its own.
        q, k, v = (x.contiguous() for x in (q, k, v))
        return chunk(
            q, k, v, g.float(), beta.to(q.dtype), initial_state=state, output_final_state=True,
            use_qk_l2norm_in_kernel=True,
        )  # fmt: skip

    return rule
