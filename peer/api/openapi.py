"""The API described for machines: an OpenAPI document made of the types that bodies are read as.

It knows which routes there are from the table that the app is made of, and adds nothing that a
request could differ from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .routes import Route

_REF = "#/components/schemas/{name}"
_JSON, _STREAM = "application/json", "text/event-stream"
_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "Why not, in one sentence with the next step, and a code for programs.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type"],
        }
    },
    "required": ["error"],
}


def openapi(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """OpenAPI 3.1. Routes without a summary are not told of."""
    told = [route for route in routes if route.summary]
    bodies = [route.body for route in told if route.body is not None]
    schemas, components = msgspec.json.schema_components(bodies, ref_template=_REF)
    by_body = dict(zip(bodies, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in told:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, by_body)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cortex",
            "version": version,
            "description": "One address that answers for all the models of a few machines.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components | {"Error": _ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }


def _operation(route: Route, schemas: dict[type[msgspec.Struct], Any]) -> dict[str, Any]:
    media = (_JSON, _STREAM) if route.streams else (route.media_type,)
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{route.template.translate(_NO_PUNCTUATION)}",
        "responses": {
            "200": {"description": "The answer.", "content": {each: {} for each in media}},
            "default": {
                "description": "An error.",
                "content": {_JSON: {"schema": {"$ref": _REF.format(name="Error")}}},
            },
        },
    }
    if route.parameter:
        operation["parameters"] = [
            {
                "name": route.parameter,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1},
            }
        ]
    if route.body is not None:
        content = {_JSON: {"schema": schemas[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


_NO_PUNCTUATION = str.maketrans("/{}", "___")
