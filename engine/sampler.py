"""Logits to a token: penalties, temperature, the truncations, and noise that can be repeated.

The noise of a draw is a pure function of (seed, position, token id): the same request continued
elsewhere, from the same tokens, draws the same next token. Truncations apply in the customary
order: temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

import torch

from .types import Sampling

_MASK_64 = (1 << 64) - 1


class TokenCounts:
    """How often each token stands in the prompt (seen at all) and in the answer so far."""

    def __init__(self, vocab_size: int, prompt_ids: list[int], device: torch.device) -> None:
        self.seen = torch.zeros(vocab_size, dtype=torch.bool, device=device)
        self.seen[torch.tensor(sorted(set(prompt_ids)), dtype=torch.long, device=device)] = True
        self.answered = torch.zeros(vocab_size, dtype=torch.float32, device=device)

    def add(self, token_id: int) -> None:
        self.seen[token_id] = True
        self.answered[token_id] += 1


def needs_counts(sampling: Sampling) -> bool:
    """Whether any penalty looks at the tokens so far."""
    return (
        sampling.presence_penalty != 0.0
        or sampling.frequency_penalty != 0.0
        or sampling.repetition_penalty != 1.0
    )


def choose_token(
    logits: torch.Tensor,
    sampling: Sampling,
    position: int,
    forbidden: torch.Tensor,
    counts: TokenCounts | None,
) -> int:
    """The next token id.

    logits float32 [vocab], left as they are; forbidden bool [vocab], never chosen; position is the
    index of the token in its sequence; counts are needed where `needs_counts` says so.
    """
    logits = logits.masked_fill(forbidden, float("-inf"))
    if counts is not None:
        logits = _penalised(logits, sampling, counts)
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    logits = _truncated(logits / sampling.temperature, sampling)
    return int(
        (logits + gumbel_noise(len(logits), sampling.seed, position, logits.device)).argmax()
    )


def _penalised(logits: torch.Tensor, sampling: Sampling, counts: TokenCounts) -> torch.Tensor:
    """Repetition penalty (Keskar et al., 2019) on all seen; the other two on the answer's own."""
    if sampling.repetition_penalty != 1.0:
        factor = sampling.repetition_penalty
        weakened = torch.where(logits > 0, logits / factor, logits * factor)
        logits = torch.where(counts.seen, weakened, logits)
    logits = logits - sampling.frequency_penalty * counts.answered
    return logits - sampling.presence_penalty * (counts.answered > 0)


def _truncated(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """-inf for what top-k, top-p and min-p leave out. The best token always stays."""
    if 0 < sampling.top_k < len(logits):
        kth_best = logits.topk(sampling.top_k).values[-1]
        logits = logits.masked_fill(logits < kth_best, float("-inf"))
    if sampling.top_p < 1.0:
        ordered, order = logits.sort(descending=True, stable=True)
        probabilities = ordered.softmax(dim=-1)
        # A token stays while the mass before it is below top_p.
        dropped = probabilities.cumsum(dim=-1) - probabilities >= sampling.top_p
        dropped[0] = False
        logits = logits.masked_fill(
            torch.zeros_like(dropped).scatter(0, order, dropped), float("-inf")
        )
    if sampling.min_p > 0.0:
        probabilities = logits.softmax(dim=-1)
        floor = sampling.min_p * probabilities.max()
        logits = logits.masked_fill(probabilities < floor, float("-inf"))
    return logits


def gumbel_noise(size: int, seed: int, position: int, device: torch.device) -> torch.Tensor:
    """Standard Gumbel noise, float32 [size], from a counter: -ln(-ln(u)), u in (0, 1)."""
    key = _mix(_mix(seed & _MASK_64) ^ (position & _MASK_64))
    key = key - (1 << 64) if key >= 1 << 63 else key
    counter = torch.arange(size, dtype=torch.int64, device=device) * -7046029254386353131 + key
    bits = _mix_tensor(counter)
    return _gumbel(bits)


def _gumbel(bits: torch.Tensor) -> torch.Tensor:
    """int64 random bits to float32 noise, finite whatever the bits.

    23 of them: with a half added, one more would round up to u = 1 and infinite noise.
    """
    uniform = ((bits >> 41) & 0x7FFFFF).float().add_(0.5).mul_(2.0**-23)
    return -(-uniform.log()).log()


def _mix(x: int) -> int:
    """The finaliser of SplitMix64 (Steele et al., 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK_64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return x ^ (x >> 31)


def _mix_tensor(x: torch.Tensor) -> torch.Tensor:
    """As _mix without the first addition, on int64 bits: products wrap, shifts are made logical."""
    x = (x ^ _shifted(x, 30)) * -4658895280553007687
    x = (x ^ _shifted(x, 27)) * -7723592293110705685
    return x ^ _shifted(x, 31)


def _shifted(x: torch.Tensor, bits: int) -> torch.Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)
