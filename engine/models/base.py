"""What the engine asks of every model, and what an architecture has to say to become one.

Pools, budget, scheduler, sampler and verification know models by this alone; which architectures
there are is the registry's to know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import nn
from torch.nn import functional

from ..layers.operations import Operating
from ..weights import WeightNames
from .memory import MemoryShape, StepMemory

Config = TypeVar("Config")
# Where the weights come from that make scores of hidden states: tensors of its own, the embedding,
# or nowhere. The last is not config.json's to say.
Head = Literal["own", "tied", "none"]


@dataclass(frozen=True, slots=True)
class VisionShape:
    """How a picture is cut: square patches, of which merge x merge become one cell."""

    patch_size: int
    merge_size: int
    temporal_patch_size: int


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a model is made for. `vision` is None where it sees no pictures, and `num_heads` are
    those of queries in a layer with attention.

    The embedding may be padded: ids from the tokenizer's size up to `vocab_size` are no tokens. A
    model without vision may still have picture tokens in its vocabulary. With a draft head it can
    `foresee`; without a head it gives hidden states, and no `logits`.
    """

    vocab_size: int
    hidden_size: int
    memory: MemoryShape
    vision: VisionShape | None = None
    image_token_id: int | None = None
    video_token_id: int | None = None
    has_head: bool = True
    has_draft_head: bool = False
    num_heads: int = 1


class ServableModel(Operating, ABC):
    """A language model in steps. Modules are named as the published tensors are.

    Calling it gives final hidden states [batch, tokens, hidden] of embeddings of that shape, for
    positions int [3, batch, tokens] (time, height, width; one and the same for text, and models
    with one position a token read the first). What came before is in `memory`; without one, the
    tokens are the beginning, and nothing is remembered (training).
    """

    # None where the head is tied, its weights the embedding's, and where there is none.
    lm_head: nn.Module | None

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape

    @property
    @abstractmethod
    def embedding(self) -> nn.Module:
        """Token ids [...] to [..., hidden]. Its one parameter is the table, in some order."""

    @property
    def has_tied_head(self) -> bool:
        """Whether scores are made with the embedding as it lies."""
        return self.lm_head is None and self.shape.has_head

    @property
    def dtype(self) -> torch.dtype:
        """Of activations; single weights may be kept in a wider one."""
        return self._table.dtype

    @property
    def _table(self) -> torch.Tensor:
        return next(iter(self.embedding.parameters()))

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """[...] token ids to [..., hidden]."""
        return self.embedding(token_ids)

    def encode_images(
        self, patches: torch.Tensor, grids: list[tuple[int, int, int]]
    ) -> torch.Tensor:
        """[patches, patch values] of all images, merge-block order, to [merged cells, hidden]."""
        raise AssertionError("a model without vision never gets a prompt with images")

    @property
    def slow_parts(self) -> Iterable[nn.Module]:
        """What may compute so long within a step that each of them counts as progress."""
        return ()

    def foresee(
        self,
        embeddings: torch.Tensor,
        hidden: torch.Tensor,
        positions: torch.Tensor,
        memory: StepMemory,
    ) -> torch.Tensor:
        """About the final hidden states of the tokens behind those at `positions`, like `hidden`.

        Of final hidden states, computed or foreseen, and embeddings of the tokens behind them:
        [batch, tokens, hidden]. The head remembers them as its own layer of the memory.
        """
        raise AssertionError("a model without a draft head is never asked to foresee")

    @abstractmethod
    def forward(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        memory: StepMemory | None = None,
    ) -> torch.Tensor: ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., hidden] to float32 [..., vocab]."""
        assert self.shape.has_head, "a model without a head is asked for vectors alone"
        if self.lm_head is None:
            return functional.linear(hidden, self._table).float()
        return self.lm_head(hidden).float()


@dataclass(frozen=True, slots=True)
class Architecture(Generic[Config]):
    """How a folder of one architecture becomes a model.

    `parse_config` takes config.json's object and its name for errors, and raises ModelInvalid for
    what cannot be served exactly; `build` makes a model without weights; `weight_names` says where
    each tensor of the files belongs, and which are known extras. `without_head` makes of a config
    that of the same model whose files hold the decoder alone, where its head would not be tied.
    `with_draft_head` makes of one that with its draft head, where tensors of these names hold one.
    """

    parse_config: Callable[[Mapping[str, Any], str], Config]
    build: Callable[[Config], ServableModel]
    weight_names: Callable[[Config], WeightNames]
    without_head: Callable[[Config], Config]
    with_draft_head: Callable[[Config, Collection[str]], Config] | None = None
