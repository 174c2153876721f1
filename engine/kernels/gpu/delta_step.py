"""One token of the gated delta net for each sequence, in one Triton kernel.

Convolution, SiLU, norms of q and k, gates, delta rule and gated norm (the mathematics is told in
`layers/gated_delta.py`), float32 inside. States lie in slots and are written in place, each number
read once and written once. A row whose slot is negative is padding: it touches no state.
"""

# What is decorated is in a language of its own, without Python's types.
# pyright: basic
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ...layers.gated_delta import DeltaWeights, LinearState


@triton.jit
def _convolved(
    x, states, weights, channel, is_channel, channels, taps: tl.constexpr, block_taps: tl.constexpr
):
    """SiLU of the convolution of some channels, whose inputs move on by one."""
    tap = tl.arange(0, block_taps)[:, None]
    place = states + tap * channels + channel[None, :]
    is_there = (tap < taps - 1) & is_channel[None, :]
    old = tl.load(place, mask=is_there, other=0.0)
    newest = tl.load(x + channel, mask=is_channel, other=0.0)
    old_weights = tl.load(weights + channel[None, :] * taps + tap, mask=is_there, other=0.0)
    weight = tl.load(weights + channel * taps + taps - 1, mask=is_channel, other=0.0)
    y = newest.to(tl.float32) * weight.to(tl.float32)
    y += tl.sum(old.to(tl.float32) * old_weights.to(tl.float32), 0)
    # Several threads may have read the same number: none is moved before all have.
    tl.debug_barrier()
    tl.store(place - channels, old, mask=is_there & (tap > 0))
    tl.store(states + (taps - 2) * channels + channel, newest, mask=is_channel)
    return y * tl.sigmoid(y)


@triton.jit
def _delta_step(
    qkv, z, b, a, slots, conv_states, states, conv_weights, a_logs, dt_biases, norm_weights, outs,
    qkv_stride, z_stride, b_stride, a_stride, eps,
    key_heads: tl.constexpr, value_heads: tl.constexpr, key_dim: tl.constexpr,
    value_dim: tl.constexpr, taps: tl.constexpr, block_taps: tl.constexpr,
    block_key: tl.constexpr, block_value: tl.constexpr,
):  # fmt: skip
    """A program is one head of keys with the heads of values that share it: whoever moves a
    channel's inputs on must be the only one that reads them.
    """
    row, key_head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    slot = tl.load(slots + row).to(tl.int64)
    if slot < 0:
        return
    key_size: tl.constexpr = key_heads * key_dim
    channels: tl.constexpr = 2 * key_size + value_heads * value_dim
    shared: tl.constexpr = value_heads // key_heads
    i, j = tl.arange(0, block_key), tl.arange(0, block_value)
    is_key, is_value = i < key_dim, j < value_dim
    x = qkv + row * qkv_stride
    window = conv_states + slot * (taps - 1) * channels
    q_channel = key_head * key_dim + i
    q = _convolved(x, window, conv_weights, q_channel, is_key, channels, taps, block_taps)
    k = _convolved(
        x, window, conv_weights, key_size + q_channel, is_key, channels, taps, block_taps
    )
    q *= tl.rsqrt(tl.sum(q * q, 0) + 1e-6) * (key_dim**-0.5)
    k *= tl.rsqrt(tl.sum(k * k, 0) + 1e-6)
    norm_weight = tl.load(norm_weights + j, mask=is_value, other=0.0).to(tl.float32)
    for n in tl.static_range(shared):
        head = key_head * shared + n
        v_channel = 2 * key_size + head * value_dim + j
        v = _convolved(x, window, conv_weights, v_channel, is_value, channels, taps, block_taps)
        beta = tl.sigmoid(tl.load(b + row * b_stride + head).to(tl.float32))
        step = tl.load(a + row * a_stride + head).to(tl.float32)
        step += tl.load(dt_biases + head).to(tl.float32)
        step = tl.where(step > 20.0, step, tl.log(1.0 + tl.exp(tl.minimum(step, 20.0))))
        decay = tl.exp(-tl.exp(tl.load(a_logs + head).to(tl.float32)) * step)
        place = states + (slot * value_heads + head) * key_dim * value_dim
        place += i[:, None] * value_dim + j[None, :]
        is_there = is_key[:, None] & is_value[None, :]
        state = tl.load(place, mask=is_there, other=0.0) * decay
        u = beta * (v - tl.sum(k[:, None] * state, 0))
        state += k[:, None] * u[None, :]
        tl.store(place, state, mask=is_there)
        o = tl.sum(q[:, None] * state, 0)
        o *= tl.rsqrt(tl.sum(o * o, 0) / value_dim + eps) * norm_weight
        gate = tl.load(z + row * z_stride + head * value_dim + j, mask=is_value, other=0.0)
        gate = gate.to(tl.float32)
        y = o * gate * tl.sigmoid(gate)
        to = outs + (row * value_heads + head) * value_dim + j
        tl.store(to, y.to(outs.dtype.element_ty), mask=is_value)


_KERNEL: Any = _delta_step


def delta_step(
    weights: DeltaWeights,
    qkv: torch.Tensor,
    z: torch.Tensor,
    b: torch.Tensor,
    a: torch.Tensor,
    kept: LinearState,
    slots: torch.Tensor,
) -> torch.Tensor:
    """qkv, z, b, a [rows, 1, ...] as in gated_delta_mix; `kept` the states of all slots; slots
    [rows]. Returns [rows, 1, value heads, value dim]: nothing that can be used for a negative slot.
    """
    w = weights
    out = torch.empty(
        qkv.shape[0], 1, w.value_heads, w.value_dim, dtype=qkv.dtype, device=qkv.device
    )
    _KERNEL[(qkv.shape[0], w.key_heads)](
        qkv, z, b, a, slots, kept.conv, kept.recurrent, w.conv, w.a_log, w.dt_bias, w.norm, out,
        qkv.stride(0), z.stride(0), b.stride(0), a.stride(0), w.eps,
        w.key_heads, w.value_heads, w.key_dim, w.value_dim,
        w.conv.shape[1], triton.next_power_of_2(w.conv.shape[1] - 1),
        triton.next_power_of_2(w.key_dim), triton.next_power_of_2(w.value_dim), num_warps=8,
    )  # fmt: skip
    return out
