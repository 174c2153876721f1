"""Whether Triton draws tokens on a device: looked for once, and tried before it is believed."""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.util import find_spec

import torch

from ...poison import raise_poison
from ...sampler import DrawUsual, SamplingRow, choose_tokens
from ...sampling.wishes import DrawTokens
from ...types import Sampling
from .complaint import complain

_log = logging.getLogger(__name__)


@lru_cache(maxsize=4)
def triton_drawing(device: torch.device, vocab_tokens: int) -> DrawUsual | None:
    """From as many scores: kernels are compiled for that. None where torch must draw: a log line
    says why.

    Raises DevicePoisoned where a kernel spoiled the device: torch would draw nothing there either.
    """
    if find_spec("triton") is None:
        _log.info("tokens are drawn by torch: triton is not installed")
        return None
    # Whoever computes on a CPU never loads Triton.
    from .drawing import draw_usual

    try:
        is_right = draws_alike(draw_usual, device, vocab_tokens)
    except Exception as error:
        # A compiler that fails on this device fails in ways of its own.
        raise_poison(error)
        complain(str(error))
        return None
    if not is_right:
        complain("it draws other tokens")
        return None
    return draw_usual


def step_drawing(device: torch.device, vocab_tokens: int) -> DrawTokens | None:
    """The same from tensors alone, for steps that draw their tokens themselves."""
    if triton_drawing(device, vocab_tokens) is None:
        return None
    from .drawing import draw_tokens

    return draw_tokens


def draws_alike(draw_usual: DrawUsual, device: torch.device, vocab_tokens: int) -> bool:
    """Whether rows of each kind get the same tokens as by torch."""
    samplings = (
        Sampling(1, temperature=0.0), Sampling(2), Sampling(3, temperature=0.7, min_p=0.05),
        Sampling(4, top_k=20), Sampling(5, top_p=0.9), Sampling(6, 0.6, 20, 0.95, 0.01),
        Sampling(7, top_k=vocab_tokens // 4),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(len(samplings), vocab_tokens, generator=generator)).to(device)
    words = torch.randint(-(2**31), 2**31, (-(-vocab_tokens // 32),), generator=generator)
    mask = words.int()
    nothing = torch.tensor([], dtype=torch.long, device=device)
    with torch.inference_mode():
        for rows in (
            [SamplingRow(s, position) for position, s in enumerate(samplings)],
            [SamplingRow(s, 9, mask=mask) for s in samplings],
            [SamplingRow(s, 5) for s in samplings[:2]],
        ):
            scores = logits[: len(rows)]
            if choose_tokens(scores, rows, nothing, draw_usual) != choose_tokens(
                scores, rows, nothing
            ):
                return False
    return True
