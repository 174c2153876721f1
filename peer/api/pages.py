"""Pages in browsers, which carry strangers' wishes into machines that only their owners reach: who
asks without a key asks for itself, or for a page that may. Pure.

A browser says where a page comes from in Origin or Sec-Fetch-Site, and cannot be kept from it by
the page. Of one whose name was made to mean this machine it takes our answers for its own: there
the name gives it away, which anybody on the internet can own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Set

from ..addresses import host_of
from ..errors import PermissionDenied

_FOREIGN = ("cross-site", "same-site")
_SCHEMES_OF_PAGES = ("http", "https")
# Names of the own machine and network, which nobody can buy: RFC 6761, 6762 and 8375, and ICANN's.
_OWN_DOMAINS = ("localhost", "local", "internal", "home.arpa")


def check_page(headers: Mapping[str, str], origins: Set[str]) -> None:
    """Raises PermissionDenied for a page of no such origin, and not of this peer's own."""
    origin = headers.get("origin")
    if origin is None:
        # Who follows a link reads the answer himself, and no page does.
        is_strange = is_foreign(headers) and headers.get("sec-fetch-mode") != "navigate"
    else:
        # No page can write the first; a proxy may have rewritten the second.
        is_own = headers.get("sec-fetch-site") == "same-origin" or origin.partition("://")[
            2
        ] == headers.get("host")
        is_strange = not (is_own or _is_program(origin) or may_ask(origin, origins))
    if is_strange:
        raise PermissionDenied(
            f"no page of {(origin or 'another site')[:80]!r} may ask this peer without a key",
            "if it shall, add its origin to cors_origins in the section [api] of cortex.toml, or"
            " let it send a key; make one with `cortex config new-key`",
        )


def check_own_name(headers: Mapping[str, str], origins: Set[str], machine: str) -> None:
    """For what came to `machine` without a key, from wherever.

    Raises PermissionDenied where somebody else may own the name that this peer was asked by.
    """
    host = host_of(headers.get("host", "")).lower().rstrip(".")
    # The names of programs are no site's: somebody else may own those there.
    theirs = {it.partition("://")[2] for it in origins if not _is_program(it)}
    if _is_own(host, machine.lower()) or "*" in origins or host in map(host_of, theirs):
        return
    raise PermissionDenied(
        f"without a key this peer is not asked by the name {host[:80]!r}: a page in a browser may"
        " be behind it",
        "ask it as localhost or by an address, send a key (`cortex config new-key` makes one), or"
        f" add 'https://{host[:80]}' to cors_origins in the section [api] of cortex.toml",
    )


def may_ask(origin: str, origins: Set[str]) -> bool:
    return origin in origins or "*" in origins


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another site's page asks."""
    return headers.get("sec-fetch-site") in _FOREIGN


def _is_program(origin: str) -> bool:
    """Whether it is that of a desktop program or an extension, which somebody has installed: what
    comes from a site has one of the schemes of the web, or none that it tells.
    """
    scheme, separator, _ = origin.partition("://")
    return bool(separator) and scheme.lower() not in _SCHEMES_OF_PAGES


def _is_own(host: str, machine: str) -> bool:
    if "." not in host or host == machine or host.endswith(tuple(f".{it}" for it in _OWN_DOMAINS)):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
