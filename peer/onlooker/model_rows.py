"""What becomes of each model of a fleet, out of where it is and of what was ordered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from .job_pictures import JobPicture
from .model_pictures import ModelPicture
from .pictures import FleetPicture

# "no room" is a model larger than any device of the fleet.
ModelWord = Literal["warm", "loading", "pull", "waiting", "unloading", "failed", "disk", "no room"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """`job` is the load, unload or pull under way or, of one that failed, the one that did."""

    model: ModelPicture
    state: ModelWord
    job: JobPicture | None = None

    @property
    def percent(self) -> int | None:
        """How far its load is, or its pull."""
        if self.state not in ("loading", "pull"):
            return None
        told = [place.percent for place in self.model.warm if place.percent is not None]
        if told:
            return min(100, max(told))
        if self.job is None or not self.job.total:
            return None
        return min(100, 100 * self.job.done // self.job.total)

    @property
    def eta_s(self) -> float | None:
        """How long until it is there: of a load under way, or of one that would begin now."""
        if self.state in ("loading", "pull", "waiting"):
            return None if self.job is None else self.job.eta_s
        known = [place.eta_s for place in self.model.cold if place.eta_s is not None]
        return min(known, default=None) if self.state == "disk" else None

    @property
    def running(self) -> int:
        return sum(place.running or 0 for place in self.model.warm)

    @property
    def waiting(self) -> int:
        return sum(place.waiting or 0 for place in self.model.warm)

    @property
    def is_pinned(self) -> bool:
        return any(place.is_pinned for place in self.model.warm)


def model_rows(
    models: Iterable[ModelPicture], jobs: Sequence[JobPicture], largest_bytes: int | None
) -> tuple[ModelRow, ...]:
    """`jobs` are each peer's, the oldest first; `largest_bytes` is what the largest device holds,
    None where nobody tells. A model that is on its way to a disk has a row before any peer has it.
    """
    pulls = {job.model: job for job in jobs if job.kind == "pull"}
    rows = [_row(model, jobs, largest_bytes, pulls.pop(model.id, None)) for model in models]
    return (*rows, *(row for job in pulls.values() for row in _coming(job)))


def largest_device_bytes(picture: FleetPicture) -> int | None:
    """None where a peer that may load tells of no device: what it has room for is not known."""
    peers = [one for one in picture.peers if not one.is_gone and one.stored]
    if not all(peer.devices for peer in peers):
        return None
    devices = (device for peer in peers for device in peer.devices)
    return max((device.memory_bytes for device in devices), default=None)


def _coming(pull: JobPicture) -> Iterator[ModelRow]:
    """Of a model that no peer has: until it is there, and where it failed."""
    model = ModelPicture(pull.model, "", (), pull.total, 0, False, (), ())
    if not pull.is_over or pull.state == "failed":
        yield ModelRow(model, "failed" if pull.is_over else "pull", pull)


def _row(
    model: ModelPicture,
    jobs: Sequence[JobPicture],
    largest_bytes: int | None,
    pull: JobPicture | None,
) -> ModelRow:
    last = _last_jobs(model, jobs)
    under_way = next((job for job in last if not job.is_over), None)
    states = {place.state for place in model.warm}
    if "loading" in states or (under_way is not None and _has_begun_loading(under_way)):
        return ModelRow(model, "loading", under_way)
    if under_way is not None and under_way.kind == "load":
        return ModelRow(model, "waiting", under_way)
    if "ready" in states:
        return ModelRow(model, "warm", under_way)
    if "unloading" in states:
        return ModelRow(model, "unloading", under_way)
    if pull is not None and not pull.is_over:
        return ModelRow(model, "pull", pull)
    failed = next((job for job in last if job.kind == "load" and job.state == "failed"), None)
    if failed is not None:
        return ModelRow(model, "failed", failed)
    is_too_large = largest_bytes is not None and model.size_bytes > largest_bytes
    return ModelRow(model, "no room" if is_too_large else "disk")


def _last_jobs(model: ModelPicture, jobs: Sequence[JobPicture]) -> list[JobPicture]:
    """Each holder's last job with it. A peer calls it by its own name, which another one may call
    other weights by: then the fleet's id ends with `@` and its weights.
    """
    name = model.id.rpartition("@")[0] or model.id
    holders = {place.peer for place in (*model.warm, *model.cold)}
    own = [job for job in jobs if job.model in (model.id, name) and job.kind != "pull"]
    return list({job.peer: job for job in own if job.peer in holders}.values())


def _has_begun_loading(job: JobPicture) -> bool:
    return job.kind == "load" and job.stage in ("starting", "loading")
