"""Which routes a peer has, in one table: of it the app is made, and the document about it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web
from aiohttp.web_routedef import RouteDef

from ..dialects.chat.body import ChatBody
from ..dialects.chat.parse import parse_chat
from ..dialects.completions.body import CompletionBody
from ..dialects.completions.parse import parse_completion
from ..dialects.embeddings.body import EmbeddingsBody
from ..dialects.messages.body import MessagesBody, PromptBody
from ..dialects.messages.parse import parse_message
from ..dialects.responses.body import ResponsesBody
from ..dialects.responses.parse import parse_response
from . import (
    control,
    counting,
    documents,
    embeddings,
    expectation,
    fleet,
    health,
    jobs,
    logs,
    metrics,
    model_orders,
    model_table,
    models,
)
from .access import Opening
from .asking import answering
from .order_bodies import DrainBody, LoadBody, PinBody, PlanBody, PullBody, UnloadBody

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PARAMETER = re.compile(r"\{(\w+)(?::[^}]*)?\}")


@dataclass(frozen=True, slots=True)
class Route:
    """`path` may hold one {name:pattern}.

    Without a `summary` a route is not told of: it is for browsers, or for whoever runs the peer.
    """

    method: str
    path: str
    handler: Handler
    summary: str = ""
    body: type[msgspec.Struct] | None = None
    streams: bool = False
    media_type: str = "application/json"
    opens_to: Opening = "askers"

    @property
    def template(self) -> str:
        """The path with the parameter's name alone."""
        return _PARAMETER.sub(r"{\1}", self.path)

    @property
    def parameter(self) -> str | None:
        found = _PARAMETER.search(self.path)
        return found[1] if found else None

    def definition(self) -> RouteDef:
        return web.route(self.method, self.path, self.handler, expect_handler=expectation.meet)


ROUTES = (
    Route("GET", "/", health.root, "Whether somebody answers here.", opens_to="everybody"),
    Route(
        "GET",
        "/healthz",
        health.healthz,
        "How this peer and its processes are.",
        opens_to="everybody",
    ),
    Route("GET", "/metrics", metrics.metrics, "Numbers for Prometheus.", media_type="text/plain"),
    Route("GET", "/fleet", fleet.fleet, "The peers of the fleet, as this one sees them."),
    Route(
        "GET",
        "/fleet/events",
        fleet.fleet_events,
        "The same, and then what changes: snapshot, peer, gone, notices, ages, happening.",
        media_type="text/event-stream",
    ),
    Route(
        "GET",
        "/fleet/peers/{name}",
        fleet.fleet_peer,
        "One peer closely: its devices, how fast it is, what happened there of late.",
    ),
    Route(
        "GET",
        "/logs",
        logs.logs,
        "What a peer has logged of late, or with ?follow=1 a stream of what it logs.",
        opens_to="admins",
    ),
    Route(
        "GET", "/openapi.json", documents.openapi_document, "This document.", opens_to="everybody"
    ),
    Route("GET", "/docs", documents.docs_page, opens_to="everybody"),
    Route("GET", "/v1/models", models.list_models, "The models that can be asked."),
    Route("GET", "/v1/models/{id:.+}", models.show_model, "One model."),
    Route(
        "POST",
        "/v1/chat/completions",
        answering(parse_chat),
        "A chat, in the words of OpenAI's chat completions.",
        ChatBody,
        streams=True,
    ),
    Route(
        "POST",
        "/v1/completions",
        answering(parse_completion),
        "A prompt continued, without a chat template.",
        CompletionBody,
        streams=True,
    ),
    Route(
        "POST",
        "/v1/responses",
        answering(parse_response),
        "A conversation of items, in the words of OpenAI's responses; nothing is stored.",
        ResponsesBody,
        streams=True,
    ),
    Route("POST", "/v1/embeddings", embeddings.embeddings, "Vectors of texts.", EmbeddingsBody),
    Route(
        "POST",
        "/v1/messages",
        answering(parse_message),
        "A chat, in the words of Anthropic's Messages.",
        MessagesBody,
        streams=True,
    ),
    Route(
        "POST",
        "/v1/messages/count_tokens",
        counting.count_tokens,
        "How many tokens such a chat has, without an answer.",
        PromptBody,
    ),
    Route(
        "GET",
        "/models",
        model_table.list_models,
        "Every model of the fleet: where it is in an engine, and where on a disk.",
        opens_to="admins",
    ),
    Route(
        "POST",
        "/models/load",
        model_orders.load,
        "Have a model loaded, here or on another peer.",
        LoadBody,
        opens_to="admins",
    ),
    Route(
        "POST",
        "/models/plan",
        model_orders.plan,
        "What a load would do, and why not elsewhere; nothing is done.",
        PlanBody,
        opens_to="admins",
    ),
    Route(
        "POST",
        "/models/unload",
        model_orders.unload,
        "Have a model unloaded, once it has answered what it is answering.",
        UnloadBody,
        opens_to="admins",
    ),
    Route(
        "POST",
        "/models/pull",
        model_orders.pull,
        "Fetch a repository of the hub into a peer's models.",
        PullBody,
        opens_to="admins",
    ),
    Route(
        "POST",
        "/models/pin",
        model_orders.pin,
        "Keep a model where it is: it makes no room, and does not go when idle.",
        PinBody,
        opens_to="admins",
    ),
    Route("POST", "/models/unpin", model_orders.unpin, "Undo that.", PinBody, opens_to="admins"),
    Route(
        "GET",
        "/jobs",
        jobs.list_jobs,
        "The jobs of this peer, or with ?fleet=1 of all.",
        opens_to="admins",
    ),
    Route("GET", "/jobs/{id}", jobs.show_job, "One job, whichever peer has it.", opens_to="admins"),
    Route(
        "GET",
        "/jobs/{id}/events",
        jobs.job_events,
        "The same, again whenever it has changed, until it is over.",
        media_type="text/event-stream",
        opens_to="admins",
    ),
    Route("DELETE", "/jobs/{id}", jobs.cancel_job, "Cancel a job.", opens_to="admins"),
    Route(
        "GET",
        "/requests",
        control.list_requests,
        "The requests under way here, or with ?fleet=1 on all peers.",
        opens_to="admins",
    ),
    Route(
        "DELETE",
        "/requests/{id}",
        control.cancel_request,
        "End a request, here, on ?peer=NAME, or wherever it is.",
        opens_to="admins",
    ),
    Route(
        "POST",
        "/drain",
        control.drain,
        "Have a peer take nothing new; what is under way goes on.",
        DrainBody,
        opens_to="admins",
    ),
    Route(
        "POST",
        "/undrain",
        control.undrain,
        "Have a peer that was drained take requests again.",
        DrainBody,
        opens_to="admins",
    ),
)
