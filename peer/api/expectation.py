"""The `expect` header: a client that waits to be asked for its body is asked for it, by aiohttp.

aiohttp refuses any other expectation in plain text, before a handler or a middleware has seen the
request. Servers may overlook it instead (RFC 9110, section 10.1.1), and here it is.
"""

from __future__ import annotations

from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy


def overlooked(message: RawRequestMessage) -> RawRequestMessage:
    """The same without an expectation that nobody here meets."""
    if message.headers.get("expect", "100-continue").lower() == "100-continue":
        return message
    headers = CIMultiDict(message.headers)
    del headers["expect"]
    return message._replace(headers=CIMultiDictProxy(headers))
