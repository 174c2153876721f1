"""The plain dense decoder, which several families are but for a switch or two.

Pre-norm layers of grouped attention and SwiGLU, plain RMS norms, one position a token. A family's
own file reads its config and says which switches it sets. Knows nothing of tokenizers or sampling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from ..errors import ModelInvalid
from ..layers.attention import GroupedAttention
from ..layers.mlp import SwiGLU
from ..layers.norms import RMSNorm
from ..layers.rotary import RopeConfig, cos_sin, inverse_frequencies
from ..weights import WeightNames
from .base import Head, ModelShape, ServableModel
from .fields import ConfigFields
from .memory import AttentionShape, MemoryShape, StepMemory
from .rope_fields import read_rope


@dataclass(frozen=True, slots=True)
class PlainConfig:
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    attention: AttentionShape
    rms_norm_eps: float
    rope: RopeConfig
    head: Head
    qkv_bias: bool
    has_head_norms: bool


def take_plain_config(
    fields: ConfigFields,
    *,
    head_dim: int | None = None,
    qkv_bias: bool = False,
    has_head_norms: bool = False,
) -> PlainConfig:
    """The fields that all these families share; the caller takes its own and then calls done.

    `head_dim` is given by families that always state it; the others may leave it to the division.
    """
    fields.expect("hidden_act", "silu")
    hidden_size, num_heads = fields.take_int("hidden_size"), fields.take_int("num_attention_heads")
    head_dim = head_dim or fields.take_int("head_dim", hidden_size // num_heads)
    config = PlainConfig(
        vocab_size=fields.take_int("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=fields.take_int("intermediate_size"),
        num_layers=fields.take_int("num_hidden_layers"),
        num_heads=num_heads,
        attention=AttentionShape(fields.take_int("num_key_value_heads"), head_dim),
        rms_norm_eps=fields.take_number("rms_norm_eps"),
        rope=read_rope(fields, head_dim),
        head="tied" if fields.take_flag("tie_word_embeddings", False) else "own",
        qkv_bias=qkv_bias,
        has_head_norms=has_head_norms,
    )
    if config.num_heads % config.attention.kv_heads:
        raise ModelInvalid(
            f"{fields.where}: num_attention_heads = {config.num_heads} is no multiple of "
            f"num_key_value_heads = {config.attention.kv_heads}."
        )
    layer_types = fields.take_list("layer_types", None)
    if layer_types is not None and layer_types != ["full_attention"] * config.num_layers:
        fields.refuse("layer_types", layer_types)
    return config


def without_plain_head(config: PlainConfig) -> PlainConfig:
    return replace(config, head="none") if config.head == "own" else config


class PlainLayer(nn.Module):
    """h + attention(norm(h)), then h + mlp(norm(h))."""

    def __init__(self, config: PlainConfig, index: int) -> None:
        super().__init__()
        self.index = index
        norm = partial(RMSNorm, eps=config.rms_norm_eps)
        self.self_attn = GroupedAttention(
            config.hidden_size,
            config.num_heads,
            config.attention,
            qkv_bias=config.qkv_bias,
            head_norm=norm if config.has_head_norms else None,
        )
        self.mlp = SwiGLU(config.hidden_size, config.intermediate_size)
        self.input_layernorm = norm(config.hidden_size)
        self.post_attention_layernorm = norm(config.hidden_size)

    def forward(
        self,
        hidden: torch.Tensor,
        update: torch.Tensor | None,
        cos: torch.Tensor,
        sin: torch.Tensor,
        memory: StepMemory | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reads hidden + update, and gives such a pair back: whoever norms a sum adds it up."""
        hidden, x = self.input_layernorm.of_sum(hidden, update)
        update = self.self_attn(x, cos, sin, self.index, memory)
        hidden, x = self.post_attention_layernorm.of_sum(hidden, update)
        return hidden, self.mlp(x)


class PlainDecoder(nn.Module):
    """Embeddings, layers and the final norm."""

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(PlainLayer(config, i) for i in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        # Not a buffer: it must stay float32 and never travel with the weights.
        self._inv_freq = inverse_frequencies(config.rope)

    def forward(
        self, embeddings: torch.Tensor, positions: torch.Tensor, memory: StepMemory | None
    ) -> torch.Tensor:
        self._inv_freq = self._inv_freq.to(embeddings.device)
        cos, sin = cos_sin(positions, self._inv_freq, self.config.rope)
        cos, sin = (x.to(embeddings.dtype)[:, :, None] for x in (cos, sin))  # [b, t, 1, dim]
        hidden, update = embeddings, None
        for layer in self.layers:
            hidden, update = layer(hidden, update, cos, sin, memory)
        return self.norm(hidden, update)


class PlainModel(ServableModel):
    """The whole checkpoint: decoder and head."""

    def __init__(self, config: PlainConfig) -> None:
        attention = {i: config.attention for i in range(config.num_layers)}
        memory = MemoryShape(attention, linear={})
        super().__init__(
            ModelShape(
                config.vocab_size, config.hidden_size, memory,
                has_head=config.head != "none", num_heads=config.num_heads,
            )
        )  # fmt: skip
        self.model = PlainDecoder(config)
        self.lm_head = (
            nn.Linear(config.hidden_size, config.vocab_size, bias=False)
            if config.head == "own"
            else None
        )

    @property
    def embedding(self) -> nn.Module:
        return self.model.embed_tokens

    def forward(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        memory: StepMemory | None = None,
    ) -> torch.Tensor:
        return self.model(embeddings, positions, memory)


def plain_weight_names(config: PlainConfig) -> WeightNames:
    """Parameters are named as the tensors are; a tied head may lie in the files all the same."""

    def parameter(name: str) -> str | None:
        is_extra = config.head == "tied" and name == "lm_head.weight"
        # Older files hold the rotary frequencies, which follow from the config.
        if is_extra or name.endswith(".rotary_emb.inv_freq"):
            return None
        # Files of embedding models hold the decoder alone, without the name of the whole around it.
        return name if name.startswith(("model.", "lm_head.")) else f"model.{name}"

    return WeightNames(parameter, keep_float32=())
