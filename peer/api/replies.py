"""Whole replies in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from aiohttp import web

_JSON = {"content-type": "application/json"}
_NONE: Mapping[str, str] = MappingProxyType({})


def json_response(value: Any, status: int = 200) -> web.Response:
    return json_text_response(msgspec.json.encode(value), status)


def json_text_response(
    text: bytes, status: int = 200, headers: Mapping[str, str] = _NONE
) -> web.Response:
    return web.Response(body=text, status=status, headers={**_JSON, **headers})
