"""Small models whose steps hold to tensors alone, and graphs of them without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.nn import functional
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from cortex.engine.attention.tables import StepSlots, StepTables
from cortex.engine.decoding.graphs import Capture
from cortex.engine.layers.gated_delta import DeltaInputs, DeltaWeights, LinearState
from cortex.engine.layers.operations import Operations, use_operations
from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import build_model, fill_model
from cortex.engine.sampling.noise import keyed_noise
from cortex.engine.sampling.wishes import (
    KEY_HIGH,
    KEY_LOW,
    MASK,
    TEMPERATURE,
    TOP_K,
    DrawTokens,
    Truncations,
)


class StaticOperations(Operations):
    """Decode steps from tensors alone, as Triton's kernels compute them, but by torch.

    Where something is kept it is looked for in all places of a pool, each of which takes what is
    new of the row that is its own, or stays: what padding would write goes nowhere.
    """

    def mix_kept(
        self, weights: DeltaWeights, inputs: DeltaInputs, kept: LinearState, slots: StepSlots
    ) -> torch.Tensor:
        if inputs.qkv.shape[1] > 1:
            return super().mix_kept(weights, inputs, kept, slots)
        numbers = slots.numbers
        state = LinearState(kept.conv[numbers], kept.recurrent[numbers])
        out, after = self.gated_delta_mix(weights, inputs, state)
        _keep(kept.conv, numbers, after.conv)
        _keep(kept.recurrent, numbers, after.recurrent)
        return out

    def attend(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        tables: StepTables,
        scale: float,
    ) -> torch.Tensor:
        if q.shape[1] > 1:
            return super().attend(q, k, v, keys, values, tables, scale)
        pages, lengths, size = tables.pages, tables.lengths[:, None], tables.page_tokens
        at = (lengths - 1).clamp(min=0)
        new = torch.where(lengths > 0, pages.gather(1, at // size) * size + at % size, -1)[:, 0]
        _keep(keys, new, k[:, 0])
        _keep(values, new, v[:, 0])
        sees = torch.arange(pages.shape[1] * size)[None, :] < lengths
        out = functional.scaled_dot_product_attention(
            q.transpose(1, 2), _seen(keys, pages, sees), _seen(values, pages, sees),
            attn_mask=sees[:, None, None], scale=scale, enable_gqa=True,
        )  # fmt: skip
        return out.transpose(1, 2)


def _seen(pool: torch.Tensor, pages: torch.Tensor, sees: torch.Tensor) -> torch.Tensor:
    """[rows, kv heads, positions, dim]; zeros where nothing is seen: nobody may have written."""
    of_pages = pool.view(-1, sees.shape[1] // pages.shape[1], *pool.shape[1:])[pages]
    return torch.where(sees[:, :, None, None], of_pages.flatten(1, 2), 0.0).transpose(1, 2)


def _keep(pool: torch.Tensor, places: torch.Tensor, new: torch.Tensor) -> None:
    """In place: pool [places, ...] where one of places [rows] says so, from new [rows, ...]."""
    is_of_row = torch.arange(len(pool))[:, None] == places[None, :]
    of_each = new[is_of_row.int().argmax(dim=1)]
    is_new = is_of_row.any(dim=1).view(-1, *[1] * (pool.ndim - 1))
    pool.copy_(torch.where(is_new, of_each, pool))


def draw_statically(
    logits: torch.Tensor, masks: torch.Tensor, wishes: torch.Tensor, truncations: Truncations
) -> torch.Tensor:
    """See DrawTokens: by torch, with masks and top-k and without the other truncations."""
    assert not (truncations.top_p or truncations.min_p)
    temperature = wishes[:, TEMPERATURE, None].contiguous().view(torch.float32)
    scores = torch.where(temperature == 0.0, logits, logits / temperature)
    vocab = torch.arange(logits.shape[1], dtype=torch.int32)[None]
    if masks.shape[1] * 32 >= logits.shape[1]:
        place = wishes[:, MASK, None].long()
        words = masks[place.clamp(min=0), vocab // 32]
        is_free = (place < 0) | ((words >> (vocab % 32)) & 1 == 1)
        scores = torch.where(is_free, scores, float("-inf"))
    if truncations.top_k:
        top_k = wishes[:, TOP_K, None].long()
        floor = scores.sort(dim=1, descending=True).values.gather(1, (top_k - 1).clamp(min=0))
        scores = torch.where((top_k > 0) & (scores < floor), float("-inf"), scores)
    noise = keyed_noise(vocab, wishes[:, KEY_LOW : KEY_HIGH + 1])
    best = torch.where(temperature == 0.0, scores, scores + noise).max(dim=1)
    return torch.where(best.values.isfinite(), best.indices, -1)


@pytest.fixture(scope="module", params=["qwen3_5", "qwen3"])
def model(request: pytest.FixtureRequest, golden: Path) -> ServableModel:
    """With recurrent states, and with attention alone; its products torch's, as on a GPU."""
    folder = golden / request.param
    built = build_model(folder)
    fill_model(built, folder, torch.float32, torch.device("cpu"), None)
    use_operations(built.model, StaticOperations())
    return built.model


@pytest.fixture(scope="module")
def model_with_draft_head(golden: Path) -> ServableModel:
    folder = golden / "qwen3_5"
    built = build_model(folder, drafts=True)
    fill_model(built, folder, torch.float32, torch.device("cpu"), None)
    use_operations(built.model, StaticOperations())
    return built.model


@pytest.fixture
def draw_tokens() -> DrawTokens:
    return draw_statically


class Recording:
    """Operations of torch and launches of Triton, in order, to be done again to the same memory.

    As with a CUDA graph, what a number of the host was is what it stays, and what lay in a tensor
    is looked for there anew. Unlike there, capturing computes as well.
    """

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def replay(self) -> None:
        for again in self.work:
            again()


class Recorder(TorchDispatchMode):
    """Refuses what no CUDA graph can hold: numbers that come from the host, and waiting for it."""

    _REFUSED = frozenset(
        {
            torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default,
            torch.ops.aten.lift_fresh.default, torch.ops.aten.equal.default,
        }
    )  # fmt: skip

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._work = recording.work

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in self._REFUSED:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        named: dict[str, Any] = kwargs or {}
        result = func(*args, **named)
        given = {_storage(x) for x in pytree.tree_leaves((args, named)) if _is_tensor(x)}
        made = [x for x in pytree.tree_leaves(result) if _is_tensor(x)]
        if func._schema.is_mutable:
            self._work.append(lambda: func(*args, **named))
        elif not all(_storage(x) in given for x in made):
            self._work.append(lambda: _compute_into(made, lambda: func(*args, **named)))
        return result


def _compute_into(made: list[torch.Tensor], compute: Callable[[], Any]) -> None:
    found = [x for x in pytree.tree_leaves(compute()) if _is_tensor(x)]
    for to, x in zip(made, found, strict=True):
        to.copy_(x)


def _is_tensor(x: object) -> bool:
    return isinstance(x, torch.Tensor)


def _storage(x: torch.Tensor) -> int:
    return x.untyped_storage().data_ptr()


class RecordedCapture:
    """See graphs.Capture."""

    has_room = True

    def __init__(self) -> None:
        self.num_captured = 0

    def __call__(self, work: Callable[[], None]) -> Recording:
        from triton.runtime.interpreter import InterpretedFunction

        self.num_captured += 1
        recording = Recording()
        function: Any = InterpretedFunction
        launch = function.run
        recorder = Recorder(recording)

        def run(kernel: Any, *args: Any, **named: Any) -> None:
            recorder.__exit__(None, None, None)
            launch(kernel, *args, **named)
            recorder.__enter__()
            recording.work.append(lambda: launch(kernel, *args, **named))

        function.run = run
        try:
            with recorder:
                work()
        finally:
            function.run = launch
        return recording


@pytest.fixture
def capture() -> Capture:
    return RecordedCapture()


class Arrivals:
    """See Arrive: tokens come when they are read, and what was launched by then is counted."""

    def __init__(self) -> None:
        self.num_launched = 0
        self.num_ahead = 0

    def __call__(self, drawn: torch.Tensor) -> Callable[[], list[int]]:
        self.num_launched += 1
        number, copy = self.num_launched, drawn.clone()

        def read() -> list[int]:
            self.num_ahead += self.num_launched - number
            return cast("list[int]", copy.tolist())

        return read


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals()
