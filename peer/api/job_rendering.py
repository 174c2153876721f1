"""Jobs and requests as the API tells them. Values in, plain JSON out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortex.engine.errors import CortexError, ErrorInfo

from ..errors import to_info
from ..fleet.view import FleetView, PeerView
from ..orders.values import Job, Report, RequestReport
from ..units import rounded


def render_job(job: Job, view: FleetView) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "peer": _name(job, view),
        "model": job.model or None,
        "device": None if job.placed is None else job.placed.device,
        "stage": job.stage or None,
        "done": job.done,
        "total": job.total,
        "unit": job.unit,
        "rate_per_s": rounded(job.rate_per_s),
        "eta_s": rounded(job.eta_s),
        "seconds": job.seconds,
        "error": None if job.error is None else render_error(job.error),
        "placement": None if job.placed is None else render_placement(job, view),
    }


def render_placement(job: Job, view: FleetView) -> dict[str, Any]:
    """Where a model is now, and what that took."""
    told = {"model": job.model, "peer": _name(job, view), "job": job.id, "seconds": job.seconds}
    placed = job.placed
    if placed is None:
        return told
    return told | {
        "device": placed.device,
        "context_tokens": placed.context_tokens,
        "slots": placed.num_slots,
        "reserved_bytes": placed.num_bytes,
        "evicted": list(placed.victims),
        "was_there": placed.was_there,
    }


def render_error(error: ErrorInfo) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "hint": error.hint}


def missing(answers: Sequence[tuple[PeerView, Report | CortexError]]) -> dict[str, Any]:
    """The peers that did not say."""
    told = [
        {"peer": peer.name, "error": render_error(to_info(answer))}
        for peer, answer in answers
        if isinstance(answer, CortexError)
    ]
    return {"missing": told}


def render_request(report: RequestReport, peer: PeerView) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": report.id,
        "peer": peer.name,
        "host": report.host or peer.name,
        "model": report.model,
        "dialect": report.dialect,
        "key": report.key,
        "stage": report.stage,
        "prompt_tokens": report.prompt_tokens,
        "cached_tokens": report.cached_tokens,
        "completion_tokens": report.completion_tokens,
        "seconds": report.seconds,
        "first_token_s": rounded(report.first_token_s, 3),
        "start": report.start or None,
        "queue_s": rounded(report.queue_s, 3),
        "evicted": list(report.evicted),
        "failovers": report.num_failovers,
    }
    if report.total or report.done:
        told |= {"done": report.done, "total": report.total, "unit": report.unit}
    return told


def _name(job: Job, view: FleetView) -> str:
    node = job.host or job.node
    peer = view.peer(node)
    return node.hex() if peer is None else peer.name
