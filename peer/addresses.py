"""What addresses mean, without asking anybody."""

from __future__ import annotations

import ipaddress

from .config import DEFAULT_PORT

# Listening there is listening on every address of the machine.
WILDCARDS = ("0.0.0.0", "::")


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether the address, or the name, means the machine that asks. A socket that listens for both
    kinds of addresses tells those of the older kind in the words of the newer.
    """
    if host.lower() == "localhost":
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def host_of(authority: str) -> str:
    """The host of HOST, HOST:PORT or [HOST]:PORT, as a Host header holds it."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def normalise_address(peer: str) -> str:
    """HOST, HOST:PORT or http://HOST:PORT/… as HOST:PORT."""
    address = peer.removeprefix("http://").split("/", 1)[0]
    has_port = address.rpartition(":")[2].isdigit() and not address.endswith("]")
    return address if has_port else f"{address}:{DEFAULT_PORT}"
