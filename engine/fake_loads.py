"""The models of a fake engine: what they would take if it computed anything, and their loads.

A config.json with "weights_bytes", and "load_s", "kv_bytes_per_token", "state_bytes" or
"workspace_bytes" beside it, makes a model of any size, which loads for as long as it says and
reserves memory as a real one does. Without them a model is as small as its tokenizer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .child import Send
from .costs import ModelCosts
from .errors import CortexError, LoadCancelled, ModelInvalid, to_info
from .memory import MAX_SEQUENCES, MemoryBudget, Share, check_promised, plan_share
from .messages import Estimate, Estimated, JobFailed, Load, Loaded, Progress
from .model_files import read_json_object
from .stream import Stage
from .tokenizer import Tokenizer

_CONTEXT_TOKENS = 32_768
_MOST_LOAD_S = 3600
_PROGRESS_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class FakeModel:
    costs: ModelCosts
    load_s: float


def read_fake_model(model_dir: Path) -> FakeModel:
    """Raises ModelInvalid for a folder that is not whole, or a number that is none."""
    tokenizer = model_dir / "tokenizer.json"
    if not tokenizer.exists():
        raise ModelInvalid(f"{tokenizer} is missing", "download the model again")
    path = model_dir / "config.json"
    config = read_json_object(path) if path.exists() else {}

    def taken(name: str, default: float, most: float = 1 << 50) -> float:
        value = config.get(name, default)
        if not isinstance(value, int | float) or not 0 <= value <= most:
            raise ModelInvalid(f"{path}: {name} = {value!r} is not a number that could be")
        return value

    costs = ModelCosts(
        weights_bytes=int(taken("weights_bytes", tokenizer.stat().st_size)),
        workspace_bytes=int(taken("workspace_bytes", 0)),
        kv_bytes_per_token=int(taken("kv_bytes_per_token", 1)),
        context_tokens=int(taken("max_position_embeddings", _CONTEXT_TOKENS)) or _CONTEXT_TOKENS,
        state_bytes=int(taken("state_bytes", 0)),
        precision="hashes",
    )
    return FakeModel(costs, taken("load_s", 0.0, _MOST_LOAD_S))


@dataclass(frozen=True, slots=True)
class _Begun:
    """A load under way. `budget` is None where the device has no end, and nobody says how much."""

    load: Load
    tokenizer: Tokenizer
    model: FakeModel
    budget: MemoryBudget | None


class FakeLoads:
    """`memory_bytes` is what all models may reserve, None without end. `on_loaded` is called before
    a load is told to be done.
    """

    def __init__(
        self, memory_bytes: int | None, send: Send, on_loaded: Callable[[str], None]
    ) -> None:
        self._memory_bytes = memory_bytes
        self._send = send
        self._on_loaded = on_loaded
        self.tokenizers: dict[str, Tokenizer] = {}
        # Of the models that are loaded or on their way.
        self._begun: dict[str, _Begun] = {}
        # By the job, those that take their time.
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def weights_bytes(self) -> int:
        return sum(begun.model.costs.weights_bytes for begun in self._begun.values())

    def capacity_tokens(self, model_id: str) -> int | None:
        """What one sequence may fill; None without end."""
        budget = self._begun[model_id].budget
        return None if budget is None else budget.num_pages * budget.page_tokens

    def estimate(self, job: Estimate) -> None:
        try:
            costs = read_fake_model(Path(job.model_dir)).costs
        except CortexError as error:
            self._send(JobFailed(job.job_id, to_info(error)))
            return
        self._send(Estimated(job.job_id, costs, MAX_SEQUENCES))

    def load(self, load: Load) -> None:
        """Its memory is reserved at once; a model that takes its time does so beside the others."""
        try:
            begun = self._begin(load)
        except CortexError as error:
            self._send(JobFailed(load.job_id, to_info(error)))
            return
        self._begun[load.model_id] = begun
        self._tell_progress(begun, 0.0)
        if begun.model.load_s == 0:
            self._finish(begun)
            return
        self._tasks[load.job_id] = asyncio.create_task(self._load_slowly(begun))

    def cancel(self, job_id: str) -> None:
        """Nothing where the load has ended."""
        if job_id not in self._tasks:
            return
        self._tasks.pop(job_id).cancel()
        self._begun = {id: each for id, each in self._begun.items() if each.load.job_id != job_id}
        error = LoadCancelled("the load was cancelled", "order it again")
        self._send(JobFailed(job_id, to_info(error)))

    def unload(self, model_id: str) -> None:
        self.tokenizers.pop(model_id, None)
        self._begun.pop(model_id, None)

    def close(self) -> None:
        for loading in self._tasks.values():
            loading.cancel()

    def _begin(self, load: Load) -> _Begun:
        folder = Path(load.model_dir)
        tokenizer, model = Tokenizer(folder / "tokenizer.json"), read_fake_model(folder)
        num_bytes, free_bytes = load.memory_bytes, self._free_bytes()
        if num_bytes is not None and free_bytes is not None:
            check_promised(load.model_id, num_bytes, free_bytes)
        given_bytes = free_bytes if num_bytes is None else num_bytes
        if given_bytes is None:
            return _Begun(load, tokenizer, model, None)
        share = Share(given_bytes, load.context_tokens, load.max_sequences, load.learned)
        return _Begun(load, tokenizer, model, plan_share(model.costs, share, host_bytes=0))

    def _free_bytes(self) -> int | None:
        """None where the device has no end."""
        if self._memory_bytes is None:
            return None
        budgets = (begun.budget for begun in self._begun.values() if begun.budget is not None)
        return self._memory_bytes - sum(budget.used_bytes for budget in budgets)

    async def _load_slowly(self, begun: _Begun) -> None:
        load_s = begun.model.load_s
        num_parts = max(1, round(load_s / _PROGRESS_INTERVAL_S))
        for part in range(1, num_parts + 1):
            await asyncio.sleep(load_s / num_parts)
            self._tell_progress(begun, part / num_parts)
        del self._tasks[begun.load.job_id]
        self._finish(begun)

    def _tell_progress(self, begun: _Begun, share: float) -> None:
        size_bytes = begun.model.costs.weights_bytes
        stage = Stage("loading", int(share * size_bytes), size_bytes, "bytes")
        self._send(Progress(begun.load.job_id, stage))

    def _finish(self, begun: _Begun) -> None:
        load, model, budget = begun.load, begun.model, begun.budget
        self.tokenizers[load.model_id] = begun.tokenizer
        self._on_loaded(load.model_id)
        self._tell_progress(begun, 1.0)
        self._send(
            Loaded(
                load.job_id, load.model_id, model.costs.weights_bytes, model.load_s, "hashes",
                () if budget is None else budget.parts(), load.max_sequences or 0,
            )
        )  # fmt: skip
