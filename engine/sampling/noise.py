"""Gumbel noise that can be repeated: a pure function of (seed, position, token id).

It knows nothing of the batch it is made for: one token's noise is the same number whichever other
tokens or rows are asked for beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

_MASK_64 = (1 << 64) - 1
Key = tuple[int, int]
# No noise is larger: u is at most 1 - 2**-24, see `_gumbel`.
MAX_NOISE = 16.64


def noise_key(seed: int, position: int) -> Key:
    """What (seed, position) comes to: two 32-bit halves, signed as int32 holds them."""
    key = _mix(_mix(seed & _MASK_64) ^ (position & _MASK_64))
    return _signed_32(key & 0xFFFFFFFF), _signed_32(key >> 32)


def gumbel_noise(token_ids: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
    """Standard Gumbel noise, float32 [rows, tokens]: -ln(-ln(u)), u in (0, 1).

    token_ids int32 [1 or rows, tokens]; one key a row.
    """
    return keyed_noise(token_ids, torch.tensor(keys, dtype=torch.int32, device=token_ids.device))


def keyed_noise(token_ids: torch.Tensor, halves: torch.Tensor) -> torch.Tensor:
    """`gumbel_noise` by keys in a tensor int32 [rows, 2]."""
    bits = token_ids * -1640531527 ^ halves[:, :1]
    # Rounds of the integer hash lowbias32 (C. Wellons, 2018), the second half of the key between.
    bits ^= (bits >> 16) & 0xFFFF
    bits *= 0x7FEB352D
    bits ^= (bits >> 15) & 0x1FFFF
    bits += halves[:, 1:]
    bits *= -2073254261  # 0x846ca68b
    bits ^= (bits >> 16) & 0xFFFF
    return _gumbel(bits)


def _gumbel(bits: torch.Tensor) -> torch.Tensor:
    """int32 random bits to float32 noise, finite whatever the bits.

    23 of them: with a half added, one more would round up to u = 1 and infinite noise.
    """
    uniform = ((bits >> 9) & 0x7FFFFF).float().add_(0.5).mul_(2.0**-23)
    return uniform.log_().neg_().log_().neg_()


def _mix(x: int) -> int:
    """The finaliser of SplitMix64 (Steele et al., 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK_64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return x ^ (x >> 31)


def _signed_32(half: int) -> int:
    return half - (1 << 32) if half >= 1 << 31 else half
