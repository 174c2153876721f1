"""A model folder to a service: weights, pools and scheduler put together for one device.

The one place that knows all the parts. What they do with each other is in `service.py`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import torch

from .cache.encoded import EncoderCache
from .cache.pages import PageAllocator
from .cache.pools import KeyValues, Pools
from .costs import MemoryPart, ModelCosts
from .guiding import Guiding
from .kernels.linear import can_pack
from .kernels.native import NativeOperations
from .memory import PAGE_TOKENS, plan_memory
from .models.base import ModelShape, ServableModel
from .models.registry import LoadedModel, load_model
from .precision import Stored, choose_precision
from .recall import HostStore, Recall
from .runner import Runner
from .scheduler import Scheduler
from .service import ModelService
from .tokenizer import Tokenizer
from .weights import OnProgress, stored_dtype, weight_files
from .wishes import Wishes

# Grid of a prompt's chunks: a long chunk holds everyone else's next token up, on a CPU for long.
_GRID_TOKENS = {"cpu": 256, "cuda": 2048}
_STEP_TOKENS = 512
MAX_RUNNING = 64
# Where a config does not say.
_CONTEXT_TOKENS = 32_768
# The largest picture that the operator's budget lets through (docs/decisions/0001).
_MAX_IMAGE_TOKENS = 1024
# Float32 values that a step holds at once for each token and each hidden value, with room to spare:
# projections, heads, the two halves of the feed-forward block, and the chunks of the delta rule.
_WORK_VALUES = 64
# Keys and values, with room for the sums of their parts.
_HEAD_COPIES = 3
# Copies of the scores that sampling makes of a row.
_SCORE_COPIES = 4


@dataclass(frozen=True, slots=True)
class LoadedService:
    """`computes_in` says in words in which mode, numbers and kernels."""

    service: ModelService
    tokenizer: Tokenizer
    computes_in: str
    weight_bytes: int
    memory: tuple[MemoryPart, ...]
    num_slots: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much one model may remember on its device. `step_tokens` bounds the work of a step."""

    num_pages: int
    num_slots: int
    grid_tokens: int
    encoder_bytes: int
    page_tokens: int = PAGE_TOKENS
    step_tokens: int = _STEP_TOKENS


def load_service(
    model_dir: Path,
    device: torch.device,
    store: HostStore,
    memory_bytes: int,
    wishes: Wishes,
    on_progress: OnProgress = lambda done, total: None,
) -> LoadedService:
    """Load a model folder and share out `memory_bytes` of the device among its needs.

    What `store` remembers of the same files is of use again. Raises ModelInvalid for what cannot
    be served exactly, InsufficientVram for what cannot run in that memory.
    """
    stored = Stored(*stored_dtype(model_dir))
    precision = choose_precision(wishes, stored, device.type, has_bfloat16(device))
    loaded = load_model(
        model_dir, precision.dtype, device, on_progress,
        exact=precision.is_exact, kernels=wishes.kernels,
    )  # fmt: skip
    tokenizer = Tokenizer(model_dir / "tokenizer.json")
    grid_tokens = _GRID_TOKENS[device.type]
    budget = plan_memory(
        _costs(loaded, grid_tokens), memory_bytes, MAX_RUNNING,
        host_bytes=store.stats.budget_bytes,
    )  # fmt: skip
    capacity = Capacity(budget.num_pages, budget.num_sequences, grid_tokens, budget.encoder_bytes)
    identity = (_files(model_dir), str(precision.dtype))
    service = make_service(
        loaded.model, tokenizer.vocab_size, device, capacity, store, identity,
        is_exact=precision.is_exact, guiding=Guiding(tokenizer),
    )  # fmt: skip
    whose = "own" if isinstance(loaded.model.operations, NativeOperations) else "torch's"
    computes_in = f"{precision}, {whose} kernels"
    return LoadedService(
        service, tokenizer, computes_in, loaded.weight_bytes, budget.parts(), budget.num_sequences
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 by itself."""
    return can_pack(torch.bfloat16) if device.type == "cpu" else True


def _costs(loaded: LoadedModel, grid_tokens: int) -> ModelCosts:
    shape, dtype = loaded.model.shape, loaded.model.dtype
    row_bytes = _WORK_VALUES * shape.hidden_size * torch.float32.itemsize
    scores_bytes = _SCORE_COPIES * MAX_RUNNING * shape.vocab_size * torch.float32.itemsize
    # A chunk attends to a copy of one head's keys and values at a time.
    head_dims = [each.head_dim for each in shape.memory.attention.values()]
    head_bytes = _HEAD_COPIES * max(head_dims, default=0) * dtype.itemsize
    context_tokens = loaded.context_tokens or _CONTEXT_TOKENS
    image_tokens, patches = 0, 0
    if shape.vision is not None:
        image_tokens = _MAX_IMAGE_TOKENS
        patches = image_tokens * shape.vision.merge_size**2
    return ModelCosts(
        weights_bytes=loaded.weight_bytes,
        workspace_bytes=grid_tokens * row_bytes + scores_bytes + context_tokens * head_bytes,
        kv_bytes_per_token=shape.memory.token_bytes(dtype),
        context_tokens=context_tokens,
        state_bytes=shape.memory.state_bytes(dtype),
        vision_peak_bytes=patches * row_bytes // 4,
        image_bytes_per_token=shape.hidden_size * dtype.itemsize if image_tokens else 0,
        max_image_tokens=image_tokens,
    )


def make_service(
    model: ServableModel,
    num_tokens: int,
    device: torch.device,
    capacity: Capacity,
    store: HostStore,
    identity: Hashable,
    *,
    is_exact: bool = True,
    guiding: Guiding | None = None,
) -> ModelService:
    """`num_tokens` is the tokenizer's size: the embedding may be padded beyond it.

    Without `guiding` nothing can be asked of answers.

    `identity` names all that results depend on beside the mode: what was remembered under it is
    believed.
    """
    pools = Pools(
        model.shape.memory,
        model.dtype,
        device,
        num_pages=capacity.num_pages,
        page_tokens=capacity.page_tokens,
        num_slots=capacity.num_slots,
        operations=model.operations,
    )
    scheduler = Scheduler(
        PageAllocator(capacity.num_pages),
        page_tokens=capacity.page_tokens,
        num_slots=capacity.num_slots,
        step_tokens=capacity.step_tokens,
    )
    is_recurrent = bool(model.shape.memory.linear)
    tree = store.tree((identity, is_exact), None if is_recurrent else KeyValues.split)
    return ModelService(
        Runner(model, pools, EncoderCache(capacity.encoder_bytes)),
        Recall(pools, store, tree, is_exact=is_exact),
        scheduler,
        capacity_tokens=capacity.num_pages * capacity.page_tokens,
        token_bytes=pools.token_bytes,
        picture_bytes=capacity.encoder_bytes,
        grid_tokens=capacity.grid_tokens,
        forbidden_ids=_forbidden_ids(model.shape, num_tokens).to(device),
        guiding=guiding,
    )


def _files(model_dir: Path) -> tuple[tuple[str, int, int], ...]:
    """Which files a model was read from: by path, time and size."""
    files = [model_dir / "config.json", *weight_files(model_dir)]
    stats = [(str(file.resolve()), file.stat()) for file in files]
    return tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def _forbidden_ids(shape: ModelShape, num_tokens: int) -> torch.Tensor:
    """Ids that are no tokens (padding of the embedding), and the picture places."""
    padding = range(num_tokens, shape.vocab_size)
    places = (shape.image_token_id, shape.video_token_id)
    forbidden = sorted({*padding, *(p for p in places if p is not None)})
    return torch.tensor(forbidden, dtype=torch.long)
