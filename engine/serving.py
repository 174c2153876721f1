"""A model folder to a service: weights, pools and scheduler put together for one device.

The one place that knows all the parts. What they do with each other is in `service.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from .cache.encoded import EncoderCache
from .cache.pages import PageAllocator
from .cache.pools import KeyValues, Pools
from .decoding.arriving import Arrive, arrive_from_cuda
from .decoding.cuda_graphs import CudaCapture
from .decoding.draw_graphs import DrawGraphs
from .decoding.graphs import Capture
from .decoding.steps import open_steps
from .estimating import costs_of, grid_tokens, precision_of, told_of
from .guiding import Guiding
from .heap import give_freed_memory_back
from .intake import Intake
from .kernels.gpu.tried import step_drawing, triton_drawing
from .memory import PAGE_TOKENS, MemoryBudget, Share, plan_share
from .models.base import ModelShape, ServableModel
from .models.registry import build_model, fill_model, make_packer, use_gpu_kernels, weights_bytes
from .precision import Precision
from .recall import HostStore, Recall
from .runner import Runner
from .sampler import DrawUsual, choose_tokens
from .sampling.wishes import DrawTokens
from .scheduler import Scheduler
from .service import ModelService
from .speculation.guesses import Drafter
from .speculation.head import HeadDrafts
from .speculation.lookup import PromptLookup
from .speculation.paying import choices_that_pay
from .speculation.speculator import ChooseGuesses, Speculator
from .tokenizer import Tokenizer
from .weights import OnProgress, weight_files
from .wishes import USUAL_PIXELS, PixelWishes, Wishes

_STEP_TOKENS = 512

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedService:
    """`computes_in` says in words in which mode, numbers and kernels."""

    service: ModelService
    tokenizer: Tokenizer
    computes_in: str
    budget: MemoryBudget


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A model on its device that has no memory yet to serve with. `identity` names its files, as
    they were when they were read, what is computed in, and whether its draft head is there.
    `speculates`: whether answers may be computed ahead. `draw_usual` and `draw_tokens`: what draws
    tokens on its device, if not torch, and if there are any to draw.
    """

    model: ServableModel
    tokenizer: Tokenizer
    budget: MemoryBudget
    precision: Precision
    identity: Hashable
    speculates: bool
    draw_usual: DrawUsual | None
    draw_tokens: DrawTokens | None


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
    model_dir: Path, device: torch.device, store: HostStore, share: Share, wishes: Wishes
) -> LoadedService:
    """`read_model` and `open_service`, one after the other. Raises what these raise."""
    read = read_model(model_dir, device, share, store.budget_bytes, wishes)
    return open_service(read, device, store)


def read_model(
    model_dir: Path,
    device: torch.device,
    share: Share,
    host_bytes: int,
    wishes: Wishes,
    pixels: PixelWishes = USUAL_PIXELS,
    on_progress: OnProgress = lambda done, total: None,
) -> ReadModel:
    """All of a load that takes long: may be done beside the steps of other models. `pixels` is how
    large pictures are made, `host_bytes` what is remembered beside the share.

    Raises ModelInvalid for what cannot be served exactly, InsufficientVram before anything is read
    for what cannot run with that share, and what `on_progress` raises to end it.
    """
    precision = precision_of(model_dir, device, wishes)
    is_chosen = wishes.dtype == "auto" and precision.dtype == torch.float32
    if is_chosen and (words := told_of(device)):
        _log.warning(words)
    files = _files(model_dir)
    speculates = wishes.speculation == "auto"
    built = build_model(model_dir, drafts=speculates)
    identity = (files, str(precision.dtype), built.model.shape.has_draft_head)
    packer = make_packer(precision.dtype, device, exact=precision.is_exact, kernels=wishes.kernels)
    costs = costs_of(
        model_dir, built.model.shape, precision, device,
        weights_bytes(built, precision.dtype, packer), built.context_tokens, pixels,
    )  # fmt: skip
    budget = plan_share(costs, share, host_bytes)
    fill_model(built, model_dir, precision.dtype, device, packer, on_progress)
    use_gpu_kernels(built.model, precision.dtype, device, wishes.kernels)
    # Pools that lie where weights were made ready would have pages before anybody uses them.
    give_freed_memory_back()
    if device.type == "cuda":
        # So would weights from before they were joined, and what was measured with.
        torch.cuda.empty_cache()
    tokenizer = Tokenizer(model_dir / "tokenizer.json")
    shape = built.model.shape
    draws_on_gpu = device.type == "cuda" and wishes.kernels == "auto" and shape.has_head
    return ReadModel(
        built.model, tokenizer, budget, precision, identity, speculates,
        triton_drawing(device, shape.vocab_size) if draws_on_gpu else None,
        step_drawing(device, shape.vocab_size) if draws_on_gpu else None,
    )  # fmt: skip


def open_service(read: ReadModel, device: torch.device, store: HostStore) -> LoadedService:
    """Give a model its memory. What `store` remembers of the same files is of use again."""
    budget = read.budget
    capacity = Capacity(
        budget.num_pages, budget.num_sequences, grid_tokens(device), budget.encoder_bytes
    )
    service = make_service(
        read.model, read.tokenizer.vocab_size, device, capacity, store, read.identity,
        is_exact=read.precision.is_exact, guiding=Guiding(read.tokenizer),
        make_drafter=PromptLookup if read.speculates else None, asks_head=read.speculates,
        draw_usual=read.draw_usual, draw_tokens=read.draw_tokens,
        capture=None if read.draw_tokens is None else CudaCapture(device),
        arrive=None if read.draw_tokens is None else arrive_from_cuda,
    )  # fmt: skip
    computes_in = f"{read.precision}, {read.model.operations.whose} kernels"
    return LoadedService(service, read.tokenizer, computes_in, budget)


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
    make_drafter: Callable[[], Drafter] | None = None,
    asks_head: bool = False,
    choose_guesses: ChooseGuesses = choices_that_pay,
    draw_usual: DrawUsual | None = None,
    draw_tokens: DrawTokens | None = None,
    capture: Capture | None = None,
    arrive: Arrive | None = None,
) -> ModelService:
    """`num_tokens` is the tokenizer's size: the embedding may be padded beyond it.

    Without `guiding` nothing can be asked of answers, without drafters none is computed ahead; a
    model's own draft head is one of them where it `asks_head`. With `draw_tokens` decode steps draw
    within, with `capture` they become graphs, and draws beside them too, and with `arrive` one is
    launched before the tokens of the last are known.

    `identity` names all that results depend on beside the mode: what was remembered under it is
    believed.
    """
    if draw_usual is not None and draw_tokens is not None and capture is not None:
        draw_usual = DrawGraphs(
            draw_usual, draw_tokens, capture, model.shape.vocab_size, capacity.num_slots, device
        )
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
    forbidden_ids = _forbidden_ids(model.shape, num_tokens).to(device)
    choose = partial(choose_tokens, forbidden_ids=forbidden_ids, draw_usual=draw_usual)
    head = HeadDrafts(model, pools, choose) if asks_head and model.shape.has_draft_head else None
    runner = Runner(model, pools, EncoderCache(capacity.encoder_bytes), head)
    intake = Intake(
        runner, guiding,
        capacity_tokens=capacity.num_pages * capacity.page_tokens,
        picture_bytes=capacity.encoder_bytes, grid_tokens=capacity.grid_tokens,
    )  # fmt: skip
    steps = None
    if draw_tokens is not None:
        steps = open_steps(
            model, pools, forbidden_ids, draw_tokens, capture, capacity.num_slots, head, arrive
        )
    return ModelService(
        runner,
        Recall(pools, store, tree, grid_tokens=capacity.grid_tokens, is_exact=is_exact),
        scheduler,
        intake,
        forbidden_ids=forbidden_ids,
        speculator=Speculator(
            make_drafter,
            num_slots=capacity.num_slots,
            page_tokens=capacity.page_tokens,
            head=head,
            choose_guesses=choose_guesses,
        ),
        draw_usual=draw_usual,
        steps=steps,
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
