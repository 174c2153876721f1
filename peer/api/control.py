"""Routes that look at what peers are doing, and end it. Who may is decided before."""

from __future__ import annotations

from aiohttp import web

from ..orders.values import ListRequests, RequestList
from .context import CONTROL
from .job_rendering import missing, render_job, render_request
from .model_orders import body_of
from .order_bodies import DrainBody
from .queries import is_asked
from .replies import json_response

# How a peer that answers calls what came to it from another one, which calls it by its own name.
_FROM_OTHERS = "hop"


async def list_requests(request: web.Request) -> web.Response:
    """Those of this peer, whoever asked; of the fleet what clients asked, each where it came to."""
    control = request.app[CONTROL]
    is_whole_fleet = is_asked(request, "fleet")
    answers = await (control.everywhere if is_whole_fleet else control.here)(ListRequests())
    told = [
        render_request(one, peer)
        for peer, answer in answers
        if isinstance(answer, RequestList)
        for one in answer.requests
        if not (is_whole_fleet and one.dialect == _FROM_OTHERS)
    ]
    return json_response({"requests": told} | (missing(answers) if is_whole_fleet else {}))


async def cancel_request(request: web.Request) -> web.Response:
    """Answers when the request has been told; it ends a moment later."""
    request_id = request.match_info["id"]
    control = request.app[CONTROL]
    peer = await control.cancel_request(request_id, request.query.get("peer"))
    return json_response({"id": request_id, "peer": peer.name, "status": "cancelled"})


async def drain(request: web.Request) -> web.Response:
    """Take nothing new from now on; what is under way goes on."""
    body = await body_of(request, DrainBody) if request.body_exists else DrainBody()
    control = request.app[CONTROL]
    job = await control.drain(body.peer)
    told = render_job(job, control.view)
    num_live = job.total - job.done
    answer = {"status": "draining", "peer": told["peer"], "live_requests": num_live, "job": told}
    return json_response(answer, status=202)


async def undrain(request: web.Request) -> web.Response:
    body = await body_of(request, DrainBody) if request.body_exists else DrainBody()
    peer = await request.app[CONTROL].undrain(body.peer)
    return json_response({"status": "up", "peer": peer.name})
