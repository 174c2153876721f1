"""What a model folder would cost on a device, from its config and the headers of its files.

The model is built without weights, as a load builds it, and refused where a load would refuse it.
What serving needs beside weights follows from the model's shape; `serving.py` shares memory out by
the same sum. Computes on no device, which is its thread's: asks it at most what it is.
"""

from __future__ import annotations

from pathlib import Path

import torch

from .costs import ModelCosts
from .kernels.linear import can_pack
from .models.base import ModelShape
from .models.registry import build_model, make_packer, weights_bytes
from .precision import Precision, Stored, choose_precision
from .preprocessor import pixel_budget, read_preprocessor
from .speculation.head import MOST_UNREAD_TOKENS
from .weights import check_weights, stored_dtype
from .wishes import USUAL_PIXELS, PixelWishes, Wishes

# Grid of a prompt's chunks: a long chunk holds everyone else's next token up, on a CPU for long.
_GRID_TOKENS = {"cpu": 256, "cuda": 2048}
# Where a config does not say.
_CONTEXT_TOKENS = 32_768
# Float32 values that a step holds at once for each token and each hidden value, with room to spare:
# projections, heads, the two halves of the feed-forward block, and the chunks of the delta rule.
_WORK_VALUES = 64
# Keys and values, with room for the sums of their parts.
_HEAD_COPIES = 3
# Copies of the scores that sampling makes of a row.
_SCORE_COPIES = 4
# What a tokenizer keeps of a token, and of a byte of its file, for the merges in it: measured of
# tables from 300 to 248,000 tokens.
_BYTES_PER_TOKEN, _TOKENIZER_COPIES = 200, 3


def estimate(
    model_dir: Path, device: torch.device, wishes: Wishes, pixels: PixelWishes = USUAL_PIXELS
) -> ModelCosts:
    """`pixels` is how large pictures are made. Raises ModelInvalid for what cannot be served
    exactly, and for files that are not whole.
    """
    precision = precision_of(model_dir, device, wishes)
    built = build_model(model_dir, drafts=wishes.speculation == "auto")
    check_weights(built.model, model_dir, built.names)
    exact, kernels = precision.is_exact, wishes.kernels
    packer = make_packer(precision.dtype, device, exact=exact, kernels=kernels)
    num_bytes = weights_bytes(built, precision.dtype, packer)
    shape = built.model.shape
    return costs_of(model_dir, shape, precision, device, num_bytes, built.context_tokens, pixels)


def precision_of(model_dir: Path, device: torch.device, wishes: Wishes) -> Precision:
    """In what the model of a folder is computed there. Raises ModelInvalid."""
    stored = Stored(*stored_dtype(model_dir))
    return choose_precision(wishes, stored, device.type, has_bfloat16(device))


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 by itself. GPUs do since compute capability 8.0; torch
    makes older ones do it as well, in several steps.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return can_pack(torch.bfloat16) if device.type == "cpu" else True


def told_of(device: torch.device) -> str:
    """What is to be said of a device before it serves slowly; of most there is nothing."""
    if device.type != "cuda" or has_bfloat16(device):
        return ""
    major, minor = torch.cuda.get_device_capability(device)
    return (
        f"{torch.cuda.get_device_name(device)} (compute capability {major}.{minor}) has no bfloat16"
        " of its own: models are computed in float32, slowly and in twice the memory;"
        " --dtype bfloat16 takes less of it"
    )


def grid_tokens(device: torch.device) -> int:
    return _GRID_TOKENS[device.type]


def costs_of(
    model_dir: Path,
    shape: ModelShape,
    precision: Precision,
    device: torch.device,
    num_bytes: int,
    context_tokens: int | None,
    pixels: PixelWishes = USUAL_PIXELS,
) -> ModelCosts:
    """`num_bytes` is what the weights take; `context_tokens` None where the config says nothing."""
    dtype = precision.dtype
    row_bytes = _WORK_VALUES * shape.hidden_size * torch.float32.itemsize
    # A chunk attends to a copy of one head's keys and values at a time.
    head_dims = [each.head_dim for each in shape.memory.attention.values()]
    scores_bytes = _SCORE_COPIES * shape.vocab_size * torch.float32.itemsize
    unread_bytes = MOST_UNREAD_TOKENS * shape.hidden_size * dtype.itemsize
    is_cpu = device.type == "cpu"
    image_tokens = 0 if shape.vision is None else _largest_picture(model_dir, pixels)
    patches = image_tokens * shape.vision.merge_size**2 if shape.vision is not None else 0
    return ModelCosts(
        weights_bytes=num_bytes,
        workspace_bytes=grid_tokens(device) * row_bytes,
        workspace_bytes_per_token=_HEAD_COPIES * max(head_dims, default=0) * dtype.itemsize,
        workspace_bytes_per_sequence=scores_bytes + (unread_bytes if shape.has_draft_head else 0),
        kv_bytes_per_token=shape.memory.token_bytes(dtype),
        context_tokens=context_tokens or _CONTEXT_TOKENS,
        state_bytes=shape.memory.state_bytes(dtype),
        vision_peak_bytes=patches * row_bytes // 4,
        image_bytes_per_token=shape.hidden_size * dtype.itemsize if image_tokens else 0,
        max_image_tokens=image_tokens,
        grid_tokens=grid_tokens(device),
        tokenizer_bytes=_tokenizer_bytes(model_dir, shape.vocab_size) if is_cpu else 0,
        precision=str(precision),
    )


def _largest_picture(model_dir: Path, pixels: PixelWishes) -> int:
    """Its tokens, in the budget that the text process keeps to; 0 where none are taken."""
    preprocessor = read_preprocessor(model_dir)
    if preprocessor is None:
        return 0
    budget = pixel_budget(preprocessor, pixels)
    return budget.max_pixels // preprocessor.factor**2


def _tokenizer_bytes(model_dir: Path, vocab_size: int) -> int:
    path = model_dir / "tokenizer.json"
    file_bytes = path.stat().st_size if path.exists() else 0
    return _BYTES_PER_TOKEN * vocab_size + _TOKENIZER_COPIES * file_bytes
