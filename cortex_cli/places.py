"""Names and addresses of peers as people type them. Pure."""

from __future__ import annotations

import re

from .errors import UsageProblem

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^:\[\]\s/@]+)(?::([0-9]{1,5}))?")
# As it stands in headers and logs.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Whatever begins so may be a secret: it is neither shown nor looked up.
_KEY = "cortex1-"
_ENDPOINT = re.compile(r"https?://([^\s/?#@]+)/?")


def split_address(text: str) -> tuple[str, int | None] | None:
    """(host, port), the port None where there is none; None for what is no address."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found[2] or 1) not in range(65536):
        return None
    return found[1].strip("[]"), int(found[2]) if found[2] else None


def parse_seed(text: str) -> str:
    """Where a peer of the fleet may be found: HOST:PORT of its fleet port, or the URL of its API.

    Raises UsageProblem.
    """
    from cortex.peer.config import FLEET_PORT

    if text.strip().lower().startswith(_KEY):
        raise UsageProblem(
            "a fleet key stands where the address of a peer should.",
            "to join a fleet by its key: cortex join KEY",
        )
    if endpoint := _ENDPOINT.fullmatch(text.strip()):
        if split_address(endpoint[1]) is not None:
            return text.strip().rstrip("/")
    elif (address := split_address(text)) is not None and address[1] != 0:
        return text.strip() if address[1] is not None else f"{text.strip()}:{FLEET_PORT}"
    raise UsageProblem(
        f"{text!r:.200} is no address of a peer.",
        f"write HOST:PORT, the port being its fleet port, {FLEET_PORT} unless it said another",
    )


def parse_peer(text: str) -> str:
    """Where a peer's API is: HOST, HOST:PORT, or the URL of it.

    Raises UsageProblem.
    """
    from cortex.peer.addresses import normalise_address

    if text.strip().lower().startswith("https://"):
        raise UsageProblem(
            f"{text!r:.200} is an address of https, which is not spoken here.",
            "write HOST:PORT of the peer itself, as `cortex peer` says beside api",
        )
    if split_address(normalise_address(text.strip())) is None:
        raise UsageProblem(
            f"{text!r:.200} is no address of a peer.",
            "write HOST:PORT, as `cortex peer` says beside api",
        )
    return text.strip()


def parse_reach(text: str) -> str:
    """HOST:PORT, where others reach this peer.

    Raises UsageProblem.
    """
    address = split_address(text)
    if address is None or not address[1]:
        raise UsageProblem(
            f"{text!r:.200} is no HOST:PORT.", "write the address that others reach this peer at"
        )
    return text.strip()


def parse_name(text: str) -> str:
    """What a peer is called.

    Raises UsageProblem.
    """
    if _NAME.fullmatch(text) is None:
        raise UsageProblem(
            f"{text!r:.80} is no name for a peer.",
            "it takes letters, digits, '.', '_' and '-', 64 at most",
        )
    return text


def name_of_host(host_name: str) -> str:
    """What a peer is called where nobody says: the machine's name without its domain."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", host_name.partition(".")[0])[:64].strip("-")
    return plain or "peer"
