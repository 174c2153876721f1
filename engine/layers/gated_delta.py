"""The gated delta rule and its short convolution: Gated DeltaNet (Yang et al., arXiv:2412.06464).

State S [batch, value heads, key dim, value dim] in float32; per token, with k and q normalised and
q scaled:   S = exp(g) S;   u = beta (v - k^T S);   S = S + k u^T;   o = q^T S.
Two forms of the same mathematics: chunks with a triangular solve for prefill, one step for decode.
Float32 inside. Chunks are functional and safe for autograd; the step writes its state in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from .elementwise import in_whole_vectors

CHUNK_TOKENS = 64


@dataclass(slots=True)
class LinearState:
    """What a gated delta net layer remembers of a batch of sequences.

    conv [batch, kernel - 1, channels]: the last inputs of the short convolution, oldest first.
    recurrent [batch, value heads, key dim, value dim], float32.
    """

    conv: torch.Tensor
    recurrent: torch.Tensor


# As gated_delta_rule.
DeltaRule = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    tuple[torch.Tensor, torch.Tensor],
]


class DeltaWeights(NamedTuple):
    """What a mixer has of its own between its projections, and how its heads are cut.

    conv [key, key and value channels, kernel]; a_log, dt_bias [value heads]; norm [value dim].
    """

    conv: torch.Tensor
    a_log: torch.Tensor
    dt_bias: torch.Tensor
    norm: torch.Tensor
    eps: float
    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int


class DeltaInputs(NamedTuple):
    """What a mixer's projections make of its tokens.

    qkv [batch, tokens, channels], z [batch, tokens, value heads * value dim]; b, a [batch, tokens,
    value heads].
    """

    qkv: torch.Tensor
    z: torch.Tensor
    b: torch.Tensor
    a: torch.Tensor

    def rows(self, rows: slice) -> DeltaInputs:
        return DeltaInputs(*(each[rows] for each in self))

    def token(self, index: int) -> DeltaInputs:
        """One token of every row."""
        return DeltaInputs(*(each[:, index : index + 1] for each in self))

    def as_tokens(self) -> DeltaInputs:
        """Rows of one token each as the tokens of one row."""
        return DeltaInputs(*(each.transpose(0, 1) for each in self))


def move_on(
    kept: LinearState,
    rows: slice | torch.Tensor,
    mix: Callable[[LinearState], tuple[torch.Tensor, LinearState]],
) -> torch.Tensor:
    """What `mix` makes of some rows of the kept states, which are then what it leaves them."""
    state = LinearState(kept.conv[rows], kept.recurrent[rows])
    out, after = mix(state)
    kept.conv[rows] = after.conv
    # Where rows follow on it was given a view, and may have written there.
    is_view = isinstance(rows, slice)
    if not is_view or after.recurrent.data_ptr() != state.recurrent.data_ptr():
        kept.recurrent[rows] = after.recurrent
    return out


def gated_delta_mix(
    weights: DeltaWeights,
    inputs: DeltaInputs,
    state: LinearState,
    rule: DeltaRule | None = None,
) -> tuple[torch.Tensor, LinearState]:
    """Convolution, delta rule and gated norm.

    Returns [batch, tokens, value heads, value dim], and the state after the tokens.
    `rule` in place of gated_delta_rule.
    """
    qkv, z, b, a = inputs
    mixed, conv = causal_conv_silu(qkv, weights.conv, state.conv)
    key_size = weights.key_heads * weights.key_dim
    q, k, v = mixed.tensor_split((key_size, 2 * key_size), dim=-1)
    beta = in_whole_vectors(torch.sigmoid, b)
    # A_log stays float32 whatever the model's dtype: rounding it changes every decay.
    step_size = a.float() + weights.dt_bias.float()
    g = -weights.a_log.float().exp() * in_whole_vectors(functional.softplus, step_size)
    out, recurrent = (rule or gated_delta_rule)(
        _heads(q, weights.key_heads),
        _heads(k, weights.key_heads),
        _heads(v, weights.value_heads),
        g, beta, state.recurrent,
    )  # fmt: skip
    gate = _heads(z, weights.value_heads)
    out = gated_rms_norm(out.to(qkv.dtype), gate, weights.norm, weights.eps)
    return out, LinearState(conv, recurrent)


def _heads(x: torch.Tensor, num_heads: int) -> torch.Tensor:
    """[..., heads * dim] to [..., heads, dim]."""
    return x.reshape(*x.shape[:-1], num_heads, -1)


def gated_rms_norm(
    x: torch.Tensor, gate: torch.Tensor, weight: torch.Tensor, eps: float
) -> torch.Tensor:
    """weight * x / rms(x) in the gate's dtype, then times silu(gate) in float32; like gate."""
    dtype = gate.dtype
    normed = functional.rms_norm(x.float(), (x.shape[-1],), None, eps)
    weighted = weight * normed.to(dtype)
    return (weighted * functional.silu(gate.float())).to(dtype)


def causal_conv_silu(
    x: torch.Tensor, weight: torch.Tensor, previous: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Depthwise causal convolution over time, then SiLU.

    x [batch, tokens, channels]; weight [channels, kernel], its last column on the current token;
    previous [batch, kernel - 1, channels], the inputs before x (zeros at the start).
    Returns y like x, and the inputs to keep for the next call.
    """
    kernel, tokens = weight.shape[1], x.shape[1]
    window = torch.cat((previous, x), dim=1)
    weight = weight.to(x.dtype)
    y = window[:, :tokens] * weight[:, 0]
    for j in range(1, kernel):
        y = y + window[:, j : j + tokens] * weight[:, j]
    return functional.silu(y), window[:, tokens:]


class ShortConvolution(nn.Module):
    """Its weight [channels, 1, kernel], named and drawn as nn.Conv1d's."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        bound = kernel**-0.5
        self.weight = nn.Parameter(torch.empty(channels, 1, kernel).uniform_(-bound, bound))


def gated_delta_rule(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    g: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the rule over tokens: chunked, or the single step for one token.

    q, k [batch, tokens, key heads, key dim] before normalisation; v [batch, tokens, value heads,
    value dim]; g (log decay, <= 0) and beta [batch, tokens, value heads]; state as above.
    Value head j uses key head j // (value heads / key heads).
    Returns o like v in float32, and the state after the last token.
    """
    with torch.autocast(q.device.type, enabled=False):
        repeat = v.shape[2] // q.shape[2]
        q = _l2_normalise(q.float()) * q.shape[-1] ** -0.5
        k = _l2_normalise(k.float())
        q, k = (x.repeat_interleave(repeat, dim=2) if repeat > 1 else x for x in (q, k))
        q, k, v, g, beta = (x.float().transpose(1, 2) for x in (q, k, v, g, beta))
        form = _step if q.shape[2] == 1 else _chunks
        out, state = form(q, k, v, g, beta, state)
        return out.transpose(1, 2), state


def _l2_normalise(x: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.square().sum(dim=-1, keepdim=True) + 1e-6)


def _step(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    g: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token: q, k, v [batch, heads, 1, dim]. The state, large and read at every token, is
    overwritten; what q reads of the new one is reckoned from the old.
    """
    batch, heads, _, key_dim = k.shape
    state.mul_(g.exp()[..., None])
    u = beta[..., None] * (v - k @ state)  # [batch, heads, 1, value dim]
    out = q @ state + (q * k).sum(dim=-1, keepdim=True) * u
    each = state.view(batch * heads, key_dim, -1)
    each.baddbmm_(k.reshape(batch * heads, key_dim, 1), u.reshape(batch * heads, 1, -1))
    return out, state


def _chunks(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    g: torch.Tensor,
    beta: torch.Tensor,
    state: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Many tokens, a chunk at a time; inputs [batch, heads, tokens, ...].

    The tail is padded with zeros in k, v, beta and g, which leaves the state as it is.
    """
    tokens = q.shape[2]
    size = min(CHUNK_TOKENS, tokens)
    pad = -tokens % size

    def cut(x: torch.Tensor) -> torch.Tensor:  # [batch, heads, chunks, size, ...]
        if pad:
            x = functional.pad(x, (0, 0, 0, pad) if x.ndim == 4 else (0, pad))
        return x.reshape(*x.shape[:2], -1, size, *x.shape[3:])

    q, k, v, g, beta = cut(q), cut(k), cut(v), cut(g), cut(beta)

    decay_sum = g.cumsum(dim=-1)  # G [batch, heads, chunks, size]
    lower = torch.ones(size, size, dtype=torch.bool, device=q.device).tril()
    # The exponent is masked before exp: above the diagonal it is positive and may overflow.
    exponent = decay_sum[..., :, None] - decay_sum[..., None, :]
    decay = exponent.masked_fill(~lower, float("-inf")).exp()
    from_start = decay_sum.exp()[..., None]

    k_beta, v_beta = k * beta[..., None], v * beta[..., None]
    within = ((k_beta @ k.transpose(-1, -2)) * decay).tril(-1)
    # (I + within) [U | W] = [v_beta | k_beta exp(G)]: forward substitution for the unit vectors,
    # and products for the rest.
    unit = torch.eye(size, dtype=q.dtype, device=q.device).expand_as(within)
    solver = cast(
        torch.Tensor,
        torch.linalg.solve_triangular(within, unit, upper=False, unitriangular=True),
    )
    u, w = solver @ v_beta, solver @ (k_beta * from_start)

    scores = (q @ k.transpose(-1, -2)) * decay
    q_decayed = q * from_start
    last = decay_sum[..., -1:]
    k_to_end = k * (last - decay_sum).exp()[..., None]
    carry = last.exp()[..., None]
    outs: list[torch.Tensor] = []
    # Unbound at once: the gradient of an index is as large as all chunks together.
    by_chunk = (x.unbind(2) for x in (u, w, scores, q_decayed, k_to_end, carry))
    for u_n, w_n, scores_n, q_n, k_n, carry_n in zip(*by_chunk, strict=True):
        new_v = u_n - w_n @ state
        outs.append(q_n @ state + scores_n @ new_v)
        state = state * carry_n + k_n.transpose(-1, -2) @ new_v
    return torch.cat(outs, dim=2)[:, :, :tokens], state
