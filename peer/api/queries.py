"""What is asked behind a path's question mark."""

from __future__ import annotations

from aiohttp import web

from ..dialects.decoding import refuse

_YES, _NO = ("1", "true", "yes"), ("", "0", "false", "no")


def is_asked(request: web.Request, name: str) -> bool:
    """Raises InvalidRequest for what is neither yes nor no."""
    word = request.query.get(name, "").lower()
    if word not in (*_YES, *_NO):
        refuse(name, f"{word[:40]!r} is neither 1 nor 0", f"ask with {name}=1, or without it")
    return word in _YES
