"""What tables say of a model of the fleet, and sentences on one of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cortex.engine.stream import Stage

from ..talk.words import describe
from ..units import about, memory
from ..units import tokens as few_tokens
from .aligning import align
from .job_pictures import JobPicture
from .model_pictures import ModelPicture, WarmPicture
from .model_rows import ModelRow
from .wording import NOTHING


def size(row: ModelRow) -> str:
    return memory(row.model.size_bytes) if row.model.size_bytes else NOTHING


def context(row: ModelRow) -> str:
    return few_tokens(row.model.context_tokens) if row.model.context_tokens else NOTHING


def state(row: ModelRow) -> str:
    """warm, warm, pinned, loading 74%, pull 31%, waiting, unloading, failed, disk, no room."""
    if row.percent is not None:
        return f"{row.state} {row.percent}%"
    return "warm, pinned" if row.state == "warm" and row.is_pinned else row.state


def where(row: ModelRow) -> str:
    """Who has it in an engine, or is about to; else who has it on a disk, or why it is nowhere."""
    if row.state == "no room":
        return f"needs {memory(row.model.size_bytes)}"
    if row.state in ("pull", "waiting", "failed") and row.job is not None:
        return row.job.peer
    if not row.model.warm:
        return ", ".join(dict.fromkeys(place.peer for place in row.model.cold)) or NOTHING
    devices: dict[str, list[str]] = {}
    for place in row.model.warm:
        devices.setdefault(place.peer, []).append(str(place.device))
    if len(devices) > 1:
        return ", ".join(devices)
    [(peer, numbers)] = devices.items()
    return f"{peer} {','.join(numbers)}"


def load_time(row: ModelRow) -> str:
    return NOTHING if row.eta_s is None else about(row.eta_s)


def requests(row: ModelRow) -> str:
    """9, or 9+2 where two wait."""
    if not row.model.warm:
        return ""
    return f"{row.running}+{row.waiting}" if row.waiting else str(row.running)


def counts(rows: Iterable[ModelRow]) -> list[str]:
    """2 warm, 1 loading, 2 on disk: of what there is none is not said, but of warm ones."""
    states = [row.state for row in rows]
    told = ["loading", "pull", "waiting", "unloading", "failed", "no room"]
    found = [f"{states.count(word)} {word}" for word in told if word in states]
    return [f"{states.count('warm')} warm", *found, f"{states.count('disk')} on disk"]


def detail(row: ModelRow) -> Iterator[str]:
    """Sentences on one of them: what it is, each of its places, what is done with it."""
    model = row.model
    yield ", ".join(_of_itself(model))
    if model.warm:
        places = [_place(place) for place in model.warm]
        yield from align([""] * len(places[0]), places)[1:]
    if model.cold:
        cold = [
            place.peer if place.eta_s is None else f"{place.peer} ({about(place.eta_s)} to load)"
            for place in model.cold
        ]
        yield f"on disk  {', '.join(cold)}"
    if row.state == "no room":
        yield "larger than any device of this fleet"
    if row.job is not None:
        yield from job_lines(row.job)


def job_lines(job: JobPicture) -> Iterator[str]:
    """How far it is; of one that failed the cause, and what to do."""
    if job.error is not None:
        yield f"{job.kind} on {job.peer} failed: {job.error.message}"
        if job.error.hint:
            yield f"hint: {job.error.hint}"
        return
    stage = Stage(job.stage or job.state, job.done, job.total, job.unit, job.eta_s)
    yield f"{job.kind} on {job.peer}: {describe(stage, job.rate_per_s)}"


def _of_itself(model: ModelPicture) -> Iterator[str]:
    if model.size_bytes:
        yield memory(model.size_bytes)
    if model.context_tokens:
        yield f"{model.context_tokens:,} tokens of context"
    if model.is_somewhere:
        yield "sees images" if model.sees_images else "text alone"
    if model.weights:
        yield f"weights {model.weights[:8]}"
    if model.aliases:
        yield f"also called {', '.join(model.aliases)}"


def _place(place: WarmPicture) -> tuple[str, ...]:
    """Where it is, in which state, how large, with how much room, and what it is doing."""
    percent = "" if place.percent is None or place.state == "ready" else f" {place.percent}%"
    does = [] if place.running is None else [f"{place.running:,} running"]
    if place.waiting:
        does.append(f"{place.waiting:,} waiting")
    return (
        f"{place.peer} {place.device}",
        f"{place.state}{percent}{', pinned' * place.is_pinned}",
        memory(place.reserved_bytes) if place.reserved_bytes else NOTHING,
        f"{few_tokens(place.context_tokens)} x {place.num_slots}" if place.context_tokens else "",
        ", ".join(does),
    )
