"""GET /jobs, one of them, its events, and DELETE: whichever peer has it, asked of any."""

from __future__ import annotations

from contextlib import aclosing

from aiohttp import web

from cortex.engine.errors import CortexError

from ..dialects import events as sse
from ..errors import to_info
from ..orders.values import Job, JobList, ListJobs
from .context import CONTROL
from .job_rendering import missing, render_error, render_job
from .queries import is_asked
from .replies import json_response
from .streaming import HEADERS


async def list_jobs(request: web.Request) -> web.Response:
    control = request.app[CONTROL]
    is_whole_fleet = is_asked(request, "fleet")
    answers = await (control.everywhere if is_whole_fleet else control.here)(ListJobs())
    view = control.view
    jobs = [job for _, answer in answers if isinstance(answer, JobList) for job in answer.jobs]
    told = {"jobs": [render_job(job, view) for job in jobs]}
    return json_response(told | (missing(answers) if is_whole_fleet else {}))


async def show_job(request: web.Request) -> web.Response:
    control = request.app[CONTROL]
    async with aclosing(control.follow(request.match_info["id"], is_followed=False)) as jobs:
        job = await anext(jobs)
    return json_response(render_job(job, control.view))


async def cancel_job(request: web.Request) -> web.Response:
    """One that has ended stays as it is."""
    control = request.app[CONTROL]
    job = await control.cancel_job(request.match_info["id"])
    return json_response(render_job(job, control.view))


async def job_events(request: web.Request) -> web.StreamResponse:
    """`job` at each change and every second, the last with its end; `error` where that is lost."""
    control = request.app[CONTROL]
    async with aclosing(control.follow(request.match_info["id"])) as jobs:
        first = await anext(jobs)
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        view = control.view

        async def tell(job: Job) -> None:
            await response.write(sse.named("job", render_job(job, view)))

        await tell(first)
        try:
            async for job in jobs:
                await tell(job)
        except CortexError as error:
            await response.write(sse.named("error", {"error": render_error(to_info(error))}))
    await response.write_eof()
    return response
