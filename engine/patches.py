"""Resized pictures to the flattened patches that the vision tower reads."""

from __future__ import annotations

import torch

from .types import PreparedImage


def image_patches(image: PreparedImage, patch: int, merge: int, temporal: int) -> torch.Tensor:
    """float32 [patches, 3 * temporal * patch * patch], in merge-block order, values in -1..1.

    Normalised as published for Qwen3.5 (mean and standard deviation 0.5); a still picture's one
    frame stands for all `temporal` frames of its patch.
    """
    _, rows, columns = image.grid_thw
    rgb = torch.frombuffer(bytearray(image.rgb), dtype=torch.uint8)
    rgb = rgb.view(rows * patch, columns * patch, 3)
    return pixels_to_patches(rgb, patch, merge, temporal)


def pixels_to_patches(rgb: torch.Tensor, patch: int, merge: int, temporal: int) -> torch.Tensor:
    """As image_patches, from uint8 [height, width, 3], both sides multiples of patch * merge."""
    height, width, _ = rgb.shape
    # Dividing in float64 and rounding once is what the reference does.
    values = ((rgb.double() / 255).float() - 0.5) / 0.5
    blocks = values.view(
        height // (patch * merge), merge, patch, width // (patch * merge), merge, patch, 3
    )  # [block rows, in-block rows, y, block columns, in-block columns, x, channel]
    ordered = blocks.permute(0, 3, 1, 4, 6, 2, 5)  # [..., channel, y, x]
    frames = ordered.unsqueeze(5).expand(*ordered.shape[:5], temporal, patch, patch)
    return frames.reshape(-1, 3 * temporal * patch * patch)
