"""What a peer says of itself by mDNS, and what is read from what others say.

All of it is a hint from a stranger: whatever does not fit is passed over, and nothing here says
that a peer lives, or that it is who it says.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..gossip.ids import BootId, NodeId

SERVICE_TYPE = "_cortex._tcp.local."
VERSION = 1
# Of the wire's major version: the oldest and the newest that this peer speaks.
SPOKEN = (1, 1)
MAX_ADDRESSES = 8
MAX_NAME_BYTES = 63
_BOOT_BYTES = 4
_INSTANCE = re.compile(rf"([0-9a-f]{{16}})\.{re.escape(SERVICE_TYPE)}", re.IGNORECASE)
_RANGE = re.compile(r"([0-9]{1,4})-([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class Beacon:
    """What this peer tells. `tags` are those of the fleet keys it holds, the one in use first.

    `addresses` are told in place of those of the interfaces, where there are any.
    """

    node: NodeId
    boot: BootId
    tags: tuple[bytes, ...]
    name: str
    fleet_port: int
    api_port: int | None = None
    addresses: tuple[str, ...] = ()

    @property
    def instance(self) -> str:
        return f"{self.node.hex()}.{SERVICE_TYPE}"

    @property
    def server(self) -> str:
        return f"{self.node.hex()}.local."

    @property
    def text(self) -> dict[str, str]:
        """The TXT record: nothing that changes while a peer runs, for each change is multicast."""
        told = {
            "v": str(VERSION),
            "p": f"{SPOKEN[0]}-{SPOKEN[1]}",
            "id": self.node.hex(),
            "b": self.boot[:_BOOT_BYTES].hex(),
            "f": self.tags[0].hex(),
            "n": self.name.encode()[:MAX_NAME_BYTES].decode(errors="ignore"),
        }
        return told if self.api_port is None else told | {"a": str(self.api_port)}


@dataclass(frozen=True, slots=True)
class Found:
    """What somebody tells who says that he is a peer."""

    node: NodeId
    boot: bytes
    tag: bytes
    name: str
    versions: tuple[int, int]
    fleet_port: int
    addresses: tuple[str, ...]

    @property
    def speaks_ours(self) -> bool:
        oldest, newest = self.versions
        return oldest <= SPOKEN[1] and newest >= SPOKEN[0]


def node_of(instance: str) -> NodeId | None:
    """Whose instance this is, or None where no peer would call itself so."""
    match = _INSTANCE.fullmatch(instance)
    return NodeId(bytes.fromhex(match[1])) if match else None


def read_beacon(
    instance: str,
    text: Mapping[bytes, bytes | None],
    port: int | None,
    addresses: Iterable[str],
) -> Found | None:
    """What is told, or None where it is not what a peer of this kind tells."""
    node = node_of(instance)
    tag, boot = _hex(text.get(b"f"), 8), _hex(text.get(b"b"), _BOOT_BYTES)
    versions = _versions(text.get(b"p"))
    if node is None or tag is None or boot is None or versions is None:
        return None
    if _hex(text.get(b"id"), 8) != node or port is None or not 0 < port < 1 << 16:
        return None
    return Found(
        node=node,
        boot=boot,
        tag=tag,
        name=_shown(text.get(b"n")) or node.hex(),
        versions=versions,
        fleet_port=port,
        addresses=tuple(ip for ip in addresses if _is_usable(ip))[:MAX_ADDRESSES],
    )


def _hex(value: bytes | None, length_bytes: int) -> bytes | None:
    try:
        read = bytes.fromhex((value or b"").decode("ascii"))
    except ValueError:
        return None
    return read if len(read) == length_bytes else None


def _versions(value: bytes | None) -> tuple[int, int] | None:
    match = _RANGE.fullmatch((value or b"").decode("ascii", "replace"))
    return (int(match[1]), int(match[2])) if match else None


def _shown(value: bytes | None) -> str:
    """A name that may stand in a terminal."""
    text = (value or b"")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    return "".join(letter for letter in text if letter.isprintable()).strip()


def _is_usable(ip: str) -> bool:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    if address.is_link_local and address.version == 6 and "%" not in ip:
        return False  # of which link is not known
    return not (address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255")
