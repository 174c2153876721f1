"""Errors in the words of the two families of clients. Pure.

Which error is which status is not known here: `peer/api/errors.py` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

# Overload has a status of its own in the messages dialect, and types go by status.
_MESSAGES_OVERLOAD = 529
_MESSAGES_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    _MESSAGES_OVERLOAD: "overloaded_error",
}
# Agents send a refused picture again with each turn, unless the refusal has words that they know.
_PICTURE_CODES = ("vision_unsupported", "invalid_image", "image_url_unsupported")
_TOO_MANY_CODE = "too_many_images"
_KNOWN_TO_CLAUDE_CODE = "Could not process image"
# On these it takes out the newest pictures alone: where there are too many, the wrong ones.
_KNOWN_TO_CODEX = "The image data you provided does not represent a valid image"

# Whose words an error is told in.
Family = Literal["chat", "responses", "messages"]


@dataclass(frozen=True, slots=True)
class ToldError:
    """An error as clients are told it; `type` is that of the OpenAI dialects.

    `message` ends with the hint, since most clients show nothing else; ours takes it off again.
    `model_id` is the model asked for, and `suggestion` a better one.
    """

    status: int
    type: str
    code: str
    message: str
    hint: str = ""
    param: str | None = None
    model_id: str | None = None
    suggestion: str | None = None
    required_bytes: int | None = None
    available_bytes: int | None = None
    retry_after_s: int | None = None
    may_retry: bool = True


def openai_envelope(error: ToldError) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    return {"error": plain | _extras(error)}


def responses_envelope(error: ToldError) -> dict[str, Any]:
    return openai_envelope(replace(error, message=_beside(error, _KNOWN_TO_CODEX, _PICTURE_CODES)))


def messages_status(error: ToldError) -> int:
    return _MESSAGES_OVERLOAD if error.status == 503 else error.status


def messages_envelope(error: ToldError, request_id: str | None = None) -> dict[str, Any]:
    """A stream's errors go without the request's id: its headers have said it."""
    status = messages_status(error)
    default = "invalid_request_error" if status < 500 else "api_error"
    details: dict[str, Any] = {"error_code": error.code} | _extras(error)
    if error.param is not None:
        details["param"] = error.param
    told: dict[str, Any] = {
        "type": _MESSAGES_TYPES.get(status, default),
        "message": _beside(error, _KNOWN_TO_CLAUDE_CODE, (*_PICTURE_CODES, _TOO_MANY_CODE)),
        "details": details,
    }
    envelope: dict[str, Any] = {"type": "error", "error": told}
    return envelope if request_id is None else envelope | {"request_id": request_id}


def _beside(error: ToldError, known: str, codes: tuple[str, ...]) -> str:
    return f"{error.message} ({known})" if error.code in codes else error.message


def _extras(error: ToldError) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if error.hint:
        extras["hint"] = error.hint
    if error.model_id is not None:
        extras["model_id"] = error.model_id
        extras["suggestion"] = error.suggestion
    if error.required_bytes is not None:
        extras["required_bytes"] = error.required_bytes
        extras["available_bytes"] = error.available_bytes
    return extras
