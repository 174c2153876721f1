"""What the commands share that give orders: whom they ask, and how they wait for the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cortex.engine.errors import ErrorInfo
from cortex.engine.stream import Stage
from cortex.peer.errors import JobCancelled, from_info
from cortex.peer.onlooker.ordering import Ordering
from cortex.peer.units import memory

from .config import Invocation
from .diagnostics import standard_error
from .doors import doors_to_ask
from .progress import ProgressLine

# What is done about the job then, and said.
WhenInterrupted = Callable[[Ordering, dict[str, Any]], str]


def _leave(_: Ordering, job: dict[str, Any]) -> str:
    return f"the {job['kind']} goes on: cortex models shows it, cortex cancel {job['id']} ends it"


def orders_of(invocation: Invocation, peer: str | None) -> Ordering:
    return Ordering(doors_to_ask(invocation, peer))


def waited_for(
    invocation: Invocation,
    orders: Ordering,
    begun: dict[str, Any],
    when_interrupted: WhenInterrupted = _leave,
) -> dict[str, Any]:
    """The job as it ended, shown while it goes on. Raises what it failed with.

    Who is interrupted leaves it going, or does otherwise, and is told so.
    """
    to = standard_error(invocation)
    line = ProgressLine(to, time.monotonic)
    job = begun
    try:
        for job in orders.job(begun["id"]):
            if job["stage"] is not None:
                line.show(stage_of(job))
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
