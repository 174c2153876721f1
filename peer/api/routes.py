"""Which routes a peer has, in one table: of it the app is made, and the document about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_routedef import RouteDef

from ..dialects.asked import Dialect
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
        return web.route(self.method, self.path, self.handler)


def _answered(path: str, dialect: Dialect, summary: str, body: type[msgspec.Struct]) -> Route:
    return Route("POST", path, answering(dialect), summary, body, streams=True)


def _streamed(path: str, handler: Handler, summary: str) -> Route:
    return Route("GET", path, handler, summary, media_type="text/event-stream")


def _opened(opens_to: Opening, *routes: Route) -> tuple[Route, ...]:
    return tuple(replace(route, opens_to=opens_to) for route in routes)


# fmt: off
ROUTES = (
    *_opened(
        "everybody",
        Route("GET", "/", health.root, "Whether somebody answers here."),
        Route("GET", "/healthz", health.healthz, "How this peer and its processes are."),
        Route("GET", "/readyz", health.readyz, "Whether requests sent here can be answered."),
        Route("GET", "/openapi.json", documents.openapi_document, "This document."),
        Route("GET", "/docs", documents.docs_page),
    ),
    *_opened(
        "askers",
        Route(
            "GET", "/metrics", metrics.metrics, "Numbers for Prometheus.", media_type="text/plain"
        ),
        Route("GET", "/fleet", fleet.fleet, "The peers of the fleet, as this one sees them."),
        _streamed(
            "/fleet/events", fleet.fleet_events,
            "The same, and then what changes: snapshot, peer, gone, notices, ages, happening.",
        ),
        Route(
            "GET", "/fleet/peers/{name}", fleet.fleet_peer,
            "One peer closely: its devices, how fast it is, what happened there of late.",
        ),
        Route("GET", "/v1/models", models.list_models, "The models that can be asked."),
        Route("GET", "/v1/models/{id:.+}", models.show_model, "One model."),
        _answered(
            "/v1/chat/completions", parse_chat,
            "A chat, in the words of OpenAI's chat completions.", ChatBody,
        ),
        _answered(
            "/v1/completions", parse_completion,
            "A prompt continued, without a chat template.", CompletionBody,
        ),
        _answered(
            "/v1/responses", parse_response,
            "A conversation of items, in the words of OpenAI's responses; nothing is stored.",
            ResponsesBody,
        ),
        Route("POST", "/v1/embeddings", embeddings.embeddings, "Vectors of texts.", EmbeddingsBody),
        _answered(
            "/v1/messages", parse_message,
            "A chat, in the words of Anthropic's Messages.", MessagesBody,
        ),
        Route(
            "POST", "/v1/messages/count_tokens", counting.count_tokens,
            "How many tokens such a chat has, without an answer.", PromptBody,
        ),
    ),
    *_opened(
        "admins",
        Route(
            "GET", "/logs", logs.logs,
            "What a peer has logged of late, or with ?follow=1 a stream of what it logs.",
        ),
        Route(
            "GET", "/models", model_table.list_models,
            "Every model of the fleet: where it is in an engine, and where on a disk.",
        ),
        Route(
            "POST", "/models/load", model_orders.load,
            "Have a model loaded, here or on another peer.", LoadBody,
        ),
        Route(
            "POST", "/models/plan", model_orders.plan,
            "What a load would do, and why not elsewhere; nothing is done.", PlanBody,
        ),
        Route(
            "POST", "/models/unload", model_orders.unload,
            "Have a model unloaded, once it has answered what it is answering.", UnloadBody,
        ),
        Route(
            "POST", "/models/pull", model_orders.pull,
            "Fetch a repository of the hub into a peer's models.", PullBody,
        ),
        Route(
            "POST", "/models/pin", model_orders.pin,
            "Keep a model where it is: it makes no room, and does not go when idle.", PinBody,
        ),
        Route("POST", "/models/unpin", model_orders.unpin, "Undo that.", PinBody),
        Route("GET", "/jobs", jobs.list_jobs, "The jobs of this peer, or with ?fleet=1 of all."),
        Route("GET", "/jobs/{id}", jobs.show_job, "One job, whichever peer has it."),
        _streamed(
            "/jobs/{id}/events", jobs.job_events,
            "The same, again whenever it has changed, until it is over.",
        ),
        Route("DELETE", "/jobs/{id}", jobs.cancel_job, "Cancel a job."),
        Route(
            "GET", "/requests", control.list_requests,
            "The requests under way here, or with ?fleet=1 on all peers.",
        ),
        Route(
            "DELETE", "/requests/{id}", control.cancel_request,
            "End a request, here, on ?peer=NAME, or wherever it is.",
        ),
        Route(
            "POST", "/drain", control.drain,
            "Have a peer take nothing new; what is under way goes on.", DrainBody,
        ),
        Route(
            "POST", "/undrain", control.undrain,
            "Have a peer that was drained take requests again.", DrainBody,
        ),
    ),
)
# fmt: on
