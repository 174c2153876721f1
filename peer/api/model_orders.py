"""POST /models/load, plan, unload, pull, pin and unpin: on whichever peer, asked of any."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import msgspec
from aiohttp import web

from ..dialects.decoding import read_body
from ..errors import HostLost, JobCancelled, from_info
from ..orders.values import Job
from ..placement.rendering import render_planned
from .asking import room_for
from .context import ABOUT, CONTROL
from .errors import About
from .job_rendering import render_job, render_placement
from .order_bodies import LoadBody, PinBody, PlanBody, PullBody, UnloadBody
from .queries import is_asked
from .replies import json_response

B = TypeVar("B", bound=msgspec.Struct)
M = TypeVar("M", LoadBody, PlanBody, UnloadBody, PinBody)


async def load(request: web.Request) -> web.Response:
    body = await _of_model(request, LoadBody)
    control = request.app[CONTROL]
    if is_asked(request, "dry_run"):
        told = await control.plan(body.model, body.peer, body.context, body.slots, as_load=True)
        return json_response(render_planned(*told))
    extent = body.context, body.slots
    jobs = await control.load(body.model, body.peer, *extent, is_forced=bool(body.force))
    return await _carried_out(request, jobs, waits=body.wait is not False)


async def plan(request: web.Request) -> web.Response:
    """A plan is an answer too where there is none: then it says why."""
    body = await _of_model(request, PlanBody)
    told = await request.app[CONTROL].plan(body.model, body.peer, body.context, body.slots)
    return json_response(render_planned(*told))


async def unload(request: web.Request) -> web.Response:
    body = await _of_model(request, UnloadBody)
    jobs = await request.app[CONTROL].unload(body.model, body.peer, is_forced=bool(body.force))
    return await _carried_out(request, jobs, waits=body.wait is not False)


async def pull(request: web.Request) -> web.Response:
    body = await body_of(request, PullBody)
    request[ABOUT] = About(body.model)
    jobs = request.app[CONTROL].pull(body.model, body.revision, body.peer)
    return await _carried_out(request, jobs, waits=body.wait is not False)


async def pin(request: web.Request) -> web.Response:
    return await _pinned(request, is_pinned=True)


async def unpin(request: web.Request) -> web.Response:
    return await _pinned(request, is_pinned=False)


async def body_of(request: web.Request, cls: type[B]) -> B:
    with room_for(request) as room:
        return read_body(await room.read(request.content), cls)


async def _of_model(request: web.Request, cls: type[M]) -> M:
    body = await body_of(request, cls)
    request[ABOUT] = About(body.model)
    return body


async def _pinned(request: web.Request, *, is_pinned: bool) -> web.Response:
    body = await _of_model(request, PinBody)
    peer = await request.app[CONTROL].pin(body.model, body.peer, is_pinned=is_pinned)
    return json_response({"model": body.model, "peer": peer.name, "pinned": is_pinned})


async def _carried_out(
    request: web.Request, jobs: AsyncGenerator[Job], *, waits: bool
) -> web.Response:
    """What was done, or with `waits` false the job. Raises what it failed with."""
    async with aclosing(jobs):
        job = await anext(jobs)  # there is one at once
        while waits and not job.is_over and (later := await anext(jobs, None)):
            job = later
    view = request.app[CONTROL].view
    _check(job)
    if not waits:
        return json_response(render_job(job, view), status=200 if job.is_over else 202)
    if not job.is_over:
        raise HostLost(f"in words of a newer peer the {job.kind} of '{job.model}' is {job.state}")
    return json_response({"status": f"{job.kind}ed", **render_placement(job, view)})


def _check(job: Job) -> None:
    """Raises what it failed with."""
    if job.error is not None:
        raise from_info(job.error)
    if job.state == "cancelled":
        raise JobCancelled(
            f"the {job.kind} of '{job.model}' was cancelled by somebody else", "order it again"
        )
