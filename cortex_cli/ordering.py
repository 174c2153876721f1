"""What the commands share that give orders: whom they ask, and how they wait for the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

from cortex.engine.errors import ErrorInfo
from cortex.engine.stream import Stage
from cortex.peer.errors import JobCancelled, NoPeer, from_info
from cortex.peer.onlooker.ordering import Ordering
from cortex.peer.units import memory

from .config import Invocation
from .diagnostics import standard_error
from .doors import doors_to_ask
from .progress import ProgressLine

# So many seconds a peer may need to be there again.
_MOST_SILENT_S = 20.0
# What is done about the job then, and said.
WhenInterrupted = Callable[[Ordering, dict[str, Any]], str]


def _leave(_: Ordering, job: dict[str, Any]) -> str:
    return f"the {job['kind']} goes on: cortex models shows it, cortex cancel {job['id']} ends it"


def _pause() -> None:
    time.sleep(1.0)


def orders_of(invocation: Invocation, peer: str | None) -> Ordering:
    return Ordering(doors_to_ask(invocation, peer))


def waited_for(
    invocation: Invocation,
    orders: Ordering,
    begun: dict[str, Any],
    when_interrupted: WhenInterrupted = _leave,
    pause: Callable[[], None] = _pause,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """The job as it ended, shown while it goes on. Raises what it failed with.

    Who is interrupted leaves it going, or does otherwise, and is told so. A peer that is silent is
    asked again for a while.
    """
    to = standard_error(invocation)
    line = ProgressLine(to, time.monotonic)
    job = begun

    def silent(error: NoPeer) -> None:
        line.clear()
        to.line(f"{error.message}; asking again.")

    try:
        for job in _told(orders, begun["id"], silent, pause, clock):
            if job["stage"] is not None:
                line.show(stage_of(job))
    except NoPeer:
        line.clear()
        to.line(f"perhaps {_leave(orders, job)}")
        raise
    except KeyboardInterrupt:
        line.clear()
        to.line(when_interrupted(orders, job))
        raise
    line.clear()
    if job["error"] is not None:
        told = job["error"]
        raise from_info(ErrorInfo(told["code"], told["message"], told["hint"]))
    if job["state"] == "cancelled":
        raise JobCancelled(f"the {job['kind']} was cancelled by somebody else", "order it again")
    return job


def _told(
    orders: Ordering,
    job_id: str,
    on_silence: Callable[[NoPeer], None],
    pause: Callable[[], None],
    clock: Callable[[], float],
) -> Generator[dict[str, Any]]:
    """The job at each change. `on_silence` is told once why there is none; raises NoPeer once its
    peer has been silent for too long.
    """
    heard_s, is_silent = clock(), False
    while True:
        try:
            for job in orders.job(job_id):
                heard_s, is_silent = clock(), False
                yield job
            return
        except NoPeer as error:
            if is_silent and clock() - heard_s >= _MOST_SILENT_S:
                raise
            if not is_silent:
                on_silence(error)
            is_silent = True
        pause()


def placement_lines(placement: dict[str, Any]) -> list[str]:
    """Where a model is now, and what went for it."""
    how = "was there already" if placement["was_there"] else f"in {placement['seconds']:.1f} s"
    words = [
        f"{placement['model']}   {placement['peer']}, device {placement['device']}",
        f"context {placement['context_tokens']:,}",
        f"{placement['slots']:,} at a time",
        memory(placement["reserved_bytes"]),
        how,
    ]
    return ["   ".join(words), *(f"unloaded {victim} for it" for victim in placement["evicted"])]


def stage_of(job: dict[str, Any]) -> Stage:
    return Stage(job["stage"] or job["state"], job["done"], job["total"], job["unit"], job["eta_s"])
