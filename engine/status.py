"""What an engine process tells of its models with every heartbeat: numbers, read when they change.

The device thread makes a status after each round and puts it where others can read it, so that no
question ever waits for the device. Where the numbers go is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from .costs import MemoryPart
from .histogram import Histogram
from .memory import ENCODED_PICTURES, KEYS_AND_VALUES, RECURRENT_STATES, REMEMBERED_PREFIXES
from .messages import ModelStatus
from .recall import Recall
from .runner import Runner
from .scheduler import Scheduler


@dataclass(slots=True)
class ModelCounts:
    """What a model did since its process began, however often it was unloaded in between."""

    steps: Histogram = field(default_factory=Histogram)
    num_preemptions: int = 0
    num_drafted: int = 0
    num_accepted: int = 0
    num_replayed: int = 0
    num_foreseen: int = 0
    num_foreseen_accepted: int = 0

    def status(self, model_id: str) -> ModelStatus:
        """That of a model which holds nothing, because it is not loaded."""
        return ModelStatus(
            model_id,
            self.steps.spread,
            self.num_preemptions,
            num_drafted=self.num_drafted,
            num_accepted=self.num_accepted,
            num_replayed=self.num_replayed,
            num_foreseen=self.num_foreseen,
            num_foreseen_accepted=self.num_foreseen_accepted,
        )


def with_usage(
    counted: ModelStatus, scheduler: Scheduler, runner: Runner, recall: Recall
) -> ModelStatus:
    """A status with what the model holds at this moment."""
    num_running, num_used_pages = len(scheduler.running), scheduler.num_used_pages
    return replace(
        counted,
        num_running=num_running,
        num_waiting=len(scheduler.waiting),
        num_pages=scheduler.num_pages,
        num_used_pages=num_used_pages,
        used=(
            MemoryPart(KEYS_AND_VALUES, num_used_pages * runner.page_bytes),
            MemoryPart(RECURRENT_STATES, num_running * runner.state_bytes),
            MemoryPart(ENCODED_PICTURES, runner.encoded_bytes),
            MemoryPart(REMEMBERED_PREFIXES, recall.used_bytes),
        ),
    )
