"""The Qwen3.5 language model, dense: gated delta net layers and gated full attention.

Modules are named as the published tensors are, so that loading is a matter of names. Without a
step's memory the forward pass is functional (training: [batch, tokens], padded on the right); with
one, each batch row is a sequence that goes on from what the memory holds of it.
It knows nothing of tokenizers, templates or sampling.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ..layers.attention import GroupedAttention
from ..layers.gated_delta import DeltaInputs, DeltaWeights, LinearState, ShortConvolution
from ..layers.mlp import SwiGLU
from ..layers.norms import GatedRMSNorm, ZeroCentredRMSNorm
from ..layers.operations import Operating
from ..layers.projections import SideBySide
from ..layers.rotary import cos_sin, inverse_frequencies
from ..weights import WeightNames
from .base import Architecture, ModelShape, ServableModel, VisionShape
from .memory import AttentionShape, LinearShape, MemoryShape, StepMemory
from .qwen3_5_config import LayerType, Qwen35Config, TextConfig, parse_config
from .qwen3_5_vision import VisionTower


class GatedDeltaNet(SideBySide, Operating):
    """The linear-attention mixer; no positions."""

    names = ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a")

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        hidden, heads = config.hidden_size, config.linear_value_heads
        value_size = heads * config.linear_value_dim
        channels = 2 * config.linear_key_heads * config.linear_key_dim + value_size
        self.in_proj_qkv = nn.Linear(hidden, channels, bias=False)
        self.in_proj_z = nn.Linear(hidden, value_size, bias=False)
        self.in_proj_b = nn.Linear(hidden, heads, bias=False)
        self.in_proj_a = nn.Linear(hidden, heads, bias=False)
        self.conv1d = ShortConvolution(channels, config.conv_kernel)
        # Decay rates from 1 to 16, evenly by their logarithm.
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(0, math.log(16)))
        self.dt_bias = nn.Parameter(torch.ones(heads))
        self.norm = GatedRMSNorm(config.linear_value_dim, config.rms_norm_eps)
        self.out_proj = nn.Linear(value_size, hidden, bias=False)

    def start(self, x: torch.Tensor) -> LinearState:
        """The state before the first token, for inputs like x [batch, tokens, hidden]."""
        shape = linear_shape(self.config)
        return LinearState(
            x.new_zeros(x.shape[0], *shape.conv),
            x.new_zeros(x.shape[0], *shape.recurrent, dtype=torch.float32),
        )

    @property
    def weights(self) -> DeltaWeights:
        c = self.config
        return DeltaWeights(
            self.conv1d.weight.squeeze(1), self.A_log, self.dt_bias, self.norm.weight,
            c.rms_norm_eps,
            c.linear_key_heads, c.linear_value_heads, c.linear_key_dim, c.linear_value_dim,
        )  # fmt: skip

    def forward(self, x: torch.Tensor, layer: int, memory: StepMemory | None) -> torch.Tensor:
        """x [batch, tokens, hidden]; like x."""
        inputs = DeltaInputs(*self.project(x))
        if memory is None:
            mix = self.operations.gated_delta_mix
            out, _ = mix(self.weights, inputs, self.start(x))
        else:
            out = memory.mix(layer, self.weights, inputs)
        return self.out_proj(out.flatten(-2))


def linear_shape(config: TextConfig) -> LinearShape:
    """What one gated delta net layer remembers of a sequence."""
    c = config
    key_size = c.linear_key_heads * c.linear_key_dim
    channels = 2 * key_size + c.linear_value_heads * c.linear_value_dim
    return LinearShape(
        conv=(c.conv_kernel - 1, channels),
        recurrent=(c.linear_value_heads, c.linear_key_dim, c.linear_value_dim),
    )


def memory_shape(config: TextConfig, *, has_draft_head: bool) -> MemoryShape:
    """What the whole model remembers, by layer; the draft head's comes after all others."""
    attention = AttentionShape(config.num_kv_heads, config.head_dim)
    layers: list[tuple[int, LayerType]] = list(enumerate(config.layer_types))
    if has_draft_head:
        layers.append((len(layers), "full_attention"))
    return MemoryShape(
        attention={i: attention for i, kind in layers if kind == "full_attention"},
        linear={i: linear_shape(config) for i, kind in layers if kind == "linear_attention"},
    )


class DecoderLayer(nn.Module):
    """h + mixer(norm(h)), then h + mlp(norm(h)). Exactly one of the two mixers exists."""

    def __init__(self, config: TextConfig, index: int, kind: LayerType) -> None:
        super().__init__()
        self.index = index
        norm = partial(ZeroCentredRMSNorm, eps=config.rms_norm_eps)
        self.is_linear = kind == "linear_attention"
        if self.is_linear:
            self.linear_attn = GatedDeltaNet(config)
        else:
            self.self_attn = GroupedAttention(
                config.hidden_size,
                config.num_heads,
                AttentionShape(config.num_kv_heads, config.head_dim),
                head_norm=norm,
                has_gate=True,
            )
        self.input_layernorm = norm(config.hidden_size)
        self.post_attention_layernorm = norm(config.hidden_size)
        self.mlp = SwiGLU(config.hidden_size, config.intermediate_size)

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
        if self.is_linear:
            update = self.linear_attn(x, self.index, memory)
        else:
            update = self.self_attn(x, cos, sin, self.index, memory)
        hidden, x = self.post_attention_layernorm.of_sum(hidden, update)
        return hidden, self.mlp(x)


class LanguageModel(nn.Module):
    """Embeddings, layers and the final norm."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            DecoderLayer(config, i, kind) for i, kind in enumerate(config.layer_types)
        )
        self.norm = ZeroCentredRMSNorm(config.hidden_size, config.rms_norm_eps)
        # Not a buffer: it must stay float32 and never travel with the weights.
        self._inv_freq = inverse_frequencies(config.rope)

    def forward(
        self, embeddings: torch.Tensor, positions: torch.Tensor, memory: StepMemory | None
    ) -> torch.Tensor:
        """Hidden states [batch, tokens, hidden] after the final norm.

        embeddings [batch, tokens, hidden]; positions int [3, batch, tokens].
        """
        cos, sin = self.rotation(positions, embeddings)
        hidden, update = embeddings, None
        for layer in self.layers:
            hidden, update = layer(hidden, update, cos, sin, memory)
        return self.norm(hidden, update)

    def rotation(self, positions: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """cos and sin [batch, tokens, 1, rotary dim] of positions, of the kind of `like`."""
        self._inv_freq = self._inv_freq.to(like.device)
        cos, sin = cos_sin(positions, self._inv_freq, self.config.rope)
        return cos.to(like.dtype)[:, :, None], sin.to(like.dtype)[:, :, None]


class DraftHead(nn.Module):
    """One more layer, which says what comes behind the token after.

    It reads the final hidden state of a token and the embedding of the next one. What it gives is
    like the final hidden state of that next token, for the model's own head or for its next turn.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        norm = partial(ZeroCentredRMSNorm, config.hidden_size, config.rms_norm_eps)
        self.pre_fc_norm_embedding = norm()
        self.pre_fc_norm_hidden = norm()
        self.fc = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        index = len(config.layer_types)
        self.layers = nn.ModuleList([DecoderLayer(config, index, "full_attention")])
        self.norm = norm()

    def forward(
        self,
        embeddings: torch.Tensor,
        hidden: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        memory: StepMemory | None,
    ) -> torch.Tensor:
        """embeddings, hidden [batch, tokens, hidden]; like them."""
        both = self.pre_fc_norm_embedding(embeddings), self.pre_fc_norm_hidden(hidden)
        x, update = self.fc(torch.cat(both, dim=-1)), None
        for layer in self.layers:
            x, update = layer(x, update, cos, sin, memory)
        return self.norm(x, update)


def without_head(config: Qwen35Config) -> Qwen35Config:
    text = config.text
    return replace(config, text=replace(text, head="none")) if text.head == "own" else config


def with_draft_head(config: Qwen35Config, tensor_names: Collection[str]) -> Qwen35Config:
    """For files that hold the draft head whole, and nothing in it that is not known here.

    What config.json says of it outlives the weights: many who train a model on leave them out. Its
    drafts go through the model's own head.
    """
    known = {f"mtp.{name}" for name, _ in DraftHead(config.text).named_parameters()}
    held = {name for name in tensor_names if name.startswith("mtp.")}
    return replace(config, has_draft_head=held == known and config.text.head != "none")


def model_shape(config: Qwen35Config) -> ModelShape:
    vision = config.vision
    return ModelShape(
        vocab_size=config.text.vocab_size,
        hidden_size=config.text.hidden_size,
        memory=memory_shape(config.text, has_draft_head=config.has_draft_head),
        vision=VisionShape(vision.patch_size, vision.merge_size, vision.temporal_patch_size)
        if vision
        else None,
        image_token_id=config.image_token_id,
        video_token_id=config.video_token_id,
        has_head=config.text.head != "none",
        has_draft_head=config.has_draft_head,
        num_heads=config.text.num_heads,
    )


class Qwen35(ServableModel):
    """The whole checkpoint: language model, head, and the vision tower where there is one."""

    def __init__(self, config: Qwen35Config) -> None:
        super().__init__(model_shape(config))
        self.config = config
        self.language_model = LanguageModel(config.text)
        self.visual = VisionTower(config.vision) if config.vision else None
        self.lm_head = (
            nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)
            if config.text.head == "own"
            else None
        )
        self.mtp = DraftHead(config.text) if config.has_draft_head else None

    @property
    def embedding(self) -> nn.Module:
        return self.language_model.embed_tokens

    @property
    def slow_parts(self) -> Iterable[nn.Module]:
        # A large picture takes minutes on a CPU.
        return () if self.visual is None else self.visual.blocks

    def encode_images(
        self, patches: torch.Tensor, grids: list[tuple[int, int, int]]
    ) -> torch.Tensor:
        assert self.visual is not None, "a text-only checkpoint never gets a prompt with images"
        return self.visual(patches, grids)

    def forward(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        memory: StepMemory | None = None,
    ) -> torch.Tensor:
        return self.language_model(embeddings, positions, memory)

    def foresee(
        self,
        embeddings: torch.Tensor,
        hidden: torch.Tensor,
        positions: torch.Tensor,
        memory: StepMemory,
    ) -> torch.Tensor:
        assert self.mtp is not None, "only of a model that has a draft head"
        cos, sin = self.language_model.rotation(positions, embeddings)
        return self.mtp(embeddings, hidden, cos, sin, memory)


def weight_names(config: Qwen35Config) -> WeightNames:
    """Published names say `model.language_model.`, or `model.` where the file is flat. Files of
    the decoder alone leave the `model.` out.
    """

    def parameter(name: str) -> str | None:
        if name.startswith("mtp."):
            return name if config.has_draft_head else None
        if name == "lm_head.weight":
            return None if config.text.head == "tied" else name
        inner = name.removeprefix("model.")
        if inner.startswith("visual."):
            return inner if config.vision else None
        return inner if inner.startswith("language_model.") else f"language_model.{inner}"

    return WeightNames(parameter, ("linear_attn.A_log", "linear_attn.norm.weight"))


QWEN3_5 = Architecture(parse_config, Qwen35, weight_names, without_head, with_draft_head)
