"""Which error is which HTTP status, and how it is worded on the wire.

The only place that knows statuses. What is not ours becomes an internal error without its text.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from aiohttp import web

from cortex.engine import errors as engine_errors
from cortex.engine.errors import CortexError

from .. import errors as peer_errors
from ..client.progress import join_hint
from ..dialects.errors import (
    Family,
    ToldError,
    messages_envelope,
    messages_status,
    openai_envelope,
    responses_envelope,
)

_RETRY_AFTER_S = 2
# Clients give up, or sleep that long, where they are told to wait for minutes.
_LONGEST_RETRY_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class _Kind:
    status: int
    type: str = "invalid_request_error"
    param: str | None = None
    should_retry: bool = True


KINDS: dict[type[CortexError], _Kind] = {
    engine_errors.InvalidRequest: _Kind(400),
    engine_errors.UnsupportedContent: _Kind(400),
    engine_errors.VisionUnsupported: _Kind(400),
    engine_errors.ImageUrlUnsupported: _Kind(400),
    engine_errors.InvalidImage: _Kind(400),
    engine_errors.TooManyImages: _Kind(400),
    engine_errors.ContextLengthExceeded: _Kind(400, param="messages"),
    peer_errors.UnsupportedParameter: _Kind(400),
    engine_errors.ModelNotFound: _Kind(404, param="model"),
    peer_errors.NotFound: _Kind(404),
    peer_errors.MethodNotAllowed: _Kind(405),
    # The same body comes no faster the second time.
    peer_errors.RequestTimeout: _Kind(408, should_retry=False),
    peer_errors.RequestTooLarge: _Kind(413),
    peer_errors.RequestNotFound: _Kind(404),
    # Whoever runs the peer ended it on purpose: a client that tries it again undoes that.
    peer_errors.RequestCancelled: _Kind(400),
    peer_errors.JobNotFound: _Kind(404),
    peer_errors.JobCancelled: _Kind(400),
    peer_errors.PeerNotFound: _Kind(404, param="peer"),
    peer_errors.InvalidApiKey: _Kind(401, "authentication_error"),
    peer_errors.PermissionDenied: _Kind(403, "permission_error"),
    peer_errors.RateLimitExceeded: _Kind(429, "rate_limit_error"),
    engine_errors.Overloaded: _Kind(503, "server_error"),
    engine_errors.InsufficientVram: _Kind(503, "server_error"),
    peer_errors.ModelPinned: _Kind(400, param="model"),
    peer_errors.ModelAway: _Kind(503, "server_error", param="model"),
    peer_errors.HostOutdated: _Kind(503, "server_error"),
    peer_errors.NoPeer: _Kind(502, "server_error"),
    peer_errors.HostLost: _Kind(502, "server_error"),
    peer_errors.HostRefused: _Kind(502, "server_error"),
    peer_errors.HostSilent: _Kind(502, "server_error"),
    peer_errors.HostUnread: _Kind(502, "server_error"),
    peer_errors.HostLeaving: _Kind(502, "server_error"),
    peer_errors.CannotContinue: _Kind(502, "server_error"),
    peer_errors.EngineReplaced: _Kind(502, "server_error"),
    engine_errors.EngineFailed: _Kind(502, "server_error"),
    engine_errors.LoadCancelled: _Kind(502, "server_error"),
    engine_errors.DevicePoisoned: _Kind(502, "server_error"),
    # It has been tried often enough, as below.
    peer_errors.HubFailed: _Kind(502, "server_error", should_retry=False),
    # It has been tried often enough here: a client that tries it again kills more engines.
    peer_errors.AttemptsExhausted: _Kind(502, "server_error", should_retry=False),
    # Deterministic, so no 5xx: those are tried again by the official clients.
    engine_errors.ModelInvalid: _Kind(400, param="model"),
    engine_errors.ModelNotSupported: _Kind(400, param="model"),
    peer_errors.CannotStore: _Kind(400),
}
# They may know when it will be otherwise.
_WAITS = (peer_errors.RateLimitExceeded, engine_errors.Overloaded, engine_errors.InsufficientVram)
# The same for what would never fit: an empty device has no more room.
_NEVER_FITS = _Kind(400)
_BUG = _Kind(500, "server_error")


@dataclass(frozen=True, slots=True)
class About:
    """What an error's envelope says of models: the one asked for, and a better one."""

    model_id: str | None = None
    suggestion: str | None = None


def tell(error: CortexError, about: About) -> ToldError:
    """The error as clients are told it."""
    kind, shortage = _kind_of(error), _shortage_of(error)
    retry_after_s = None
    if isinstance(error, peer_errors.RateLimitExceeded) or kind.status == 503:
        told_s = error.retry_after_s if isinstance(error, _WAITS) else None
        retry_after_s = _bounded(told_s or _RETRY_AFTER_S)
    return ToldError(
        status=kind.status,
        type=kind.type,
        code=error.code(),
        message=join_hint(error.message, error.hint),
        hint=error.hint,
        param=error.param or kind.param,
        model_id=about.model_id,
        suggestion=about.suggestion,
        required_bytes=shortage and shortage.required_bytes,
        available_bytes=shortage and shortage.available_bytes,
        retry_after_s=retry_after_s,
        may_retry=kind.should_retry,
    )


def error_response(error: ToldError, request_id: str, family: Family) -> web.Response:
    """The whole HTTP reply."""
    status = messages_status(error) if family == "messages" else error.status
    match family:
        case "messages":
            body = messages_envelope(error, request_id)
        case "responses":
            body = responses_envelope(error)
        case "chat":
            body = openai_envelope(error)
    headers = {"content-type": "application/json"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if not error.may_retry:
        headers["x-should-retry"] = "false"
    return web.Response(body=msgspec.json.encode(body), status=status, headers=headers)


def from_http(error: web.HTTPException, method: str, path: str) -> CortexError | None:
    """What aiohttp itself refuses a request with, in our words; None for what is no refusal."""
    if error.status == 404:
        return peer_errors.NotFound(f"there is nothing at {path[:200]}", _where_else(path))
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return peer_errors.MethodNotAllowed(
            f"{path[:200]} does not take {method[:20]}", f"it takes {allowed}"
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return peer_errors.RequestTooLarge(
            "the body is over this peer's limit", "send smaller pictures"
        )
    if 400 <= error.status < 500:
        return engine_errors.InvalidRequest(error.reason)
    return None


def _where_else(path: str) -> str:
    """What whoever asked for it was after, as far as its path says so."""
    if "//" in path:
        return "the base URL has a slash too many, at its end"
    if path.startswith("/v1/v1/"):
        return "the base URL has /v1 once too often: leave it out there"
    if path.startswith("/api/"):
        return "that is Ollama's and LM Studio's own API; here are OpenAI's and Anthropic's, at /v1"
    if path == "/health":
        return "GET /healthz and GET /readyz tell that"
    if path.startswith("/v1/"):
        return "GET /docs lists the routes"
    return "the API begins at /v1, and GET /docs lists its routes"


def _bounded(retry_after_s: int) -> int:
    return min(max(retry_after_s, 1), _LONGEST_RETRY_AFTER_S)


def _kind_of(error: CortexError) -> _Kind:
    shortage = _shortage_of(error)
    never_fits = shortage is not None and shortage.is_final
    return _NEVER_FITS if never_fits else KINDS.get(type(error), _BUG)


def _shortage_of(error: CortexError) -> engine_errors.MemoryShortage | None:
    return error.shortage if isinstance(error, engine_errors.InsufficientVram) else None
