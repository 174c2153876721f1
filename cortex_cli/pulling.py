"""What the command line says of models on their way to a disk."""

from __future__ import annotations

from typing import Any

from cortex.engine.errors import CortexError
from cortex.peer.onlooker.job_pictures import OVER
from cortex.peer.onlooker.ordering import Ordering
from cortex.peer.talk.words import describe
from cortex.peer.units import memory

from .config import Invocation
from .doors import find_doors
from .ordering import stage_of


def pulls_under_way(
    invocation: Invocation, answered: str | None
) -> tuple[list[dict[str, Any]], bool]:
    """As jobs, and whether there are no others: a peer of the fleet that does not answer keeps its
    own to itself, and none tells them to whoever may not ask. `answered` is the address of the peer
    that did just now; where none did, none is asked again.
    """
    doors = find_doors(invocation, answered)
    if answered is None:
        return [], not doors  # only peers pull
    try:
        told = Ordering(doors).call("GET", "/jobs?fleet=1")
    except CortexError:
        return [], False
    pulls = [job for job in told["jobs"] if job["kind"] == "pull" and job["state"] not in OVER]
    return pulls, not told["missing"]


def pull_line(job: dict[str, Any]) -> str:
    return f"{job['model']} on {job['peer']}: {describe(stage_of(job), job['rate_per_s'])}"


def outcome(job: dict[str, Any]) -> str:
    size = memory(job["total"])
    if job["stage"] == "checking":
        return f"{job['model']} is whole on {job['peer']} already   {size}"
    return f"{job['model']} is on {job['peer']}   {size}   in {job['seconds']:.1f} s"


def stop(orders: Ordering, job: dict[str, Any]) -> str:
    """End it, and say what is left to do."""
    try:
        job = orders.call("DELETE", f"/jobs/{job['id']}")
    except CortexError as error:
        return f"{error.message}: the pull goes on, and cortex cancel {job['id']} ends it"
    left = f", {memory(max(job['total'] - job['done'], 0))} before its end" * bool(job["total"])
    return f"stopped{left}; the next pull of it goes on from here"
