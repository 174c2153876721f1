"""Whole replies in JSON."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

_JSON = {"content-type": "application/json"}


def json_response(value: Any, status: int = 200) -> web.Response:
    return json_text_response(msgspec.json.encode(value), status)


def json_text_response(text: bytes, status: int = 200) -> web.Response:
    return web.Response(body=text, status=status, headers=_JSON)
