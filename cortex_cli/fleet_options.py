"""The options about the fleet, which all members of it take, and the FleetConfig they make."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cortex.peer.config import FleetConfig

from .config import Invocation
from .places import name_of_host, parse_name, parse_reach, parse_seed

_KEY_FILE = "fleet.key"


Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        parser=parse_name,
        help="What this peer is called. Otherwise as the machine is.",
    ),
]
FleetHost = Annotated[
    str,
    typer.Option(
        "--fleet-host",
        metavar="ADDRESS",
        help="Where to listen for other peers; only holders of the fleet's key get in.",
    ),
]
FleetPort = Annotated[
    int | None,
    typer.Option(
        "--fleet-port",
        metavar="N",
        min=0,
        max=65535,
        help="Which port, for UDP and TCP; 0 takes any. Otherwise 13132; if busy, 13134 and so on.",
    ),
]
Join = Annotated[
    list[str] | None,
    typer.Option(
        "--join",
        metavar="HOST:PORT",
        parser=parse_seed,
        help="Try to meet the peer whose fleet port this is, for ever (may be given again).",
    ),
]
NoMdns = Annotated[bool, typer.Option("--no-mdns", help="Do not look for peers by multicast.")]
MdnsInterfaces = Annotated[
    list[str] | None,
    typer.Option(
        "--mdns-interfaces",
        metavar="NAME",
        help="Look on this interface (may be given again). Otherwise on all that look usable.",
    ),
]
Advertise = Annotated[
    str | None,
    typer.Option(
        "--advertise",
        metavar="HOST:PORT",
        parser=parse_reach,
        help="Where others reach this peer's fleet port, if not at its own address.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        dir_okay=False,
        help="The file of the fleet's key. Otherwise fleet.key in the state directory.",
    ),
]


@dataclass(frozen=True, slots=True)
class FleetWishes:
    """What was typed, or stands in the environment or the file."""

    name: Name = None
    join: Join = None
    fleet_host: FleetHost = "0.0.0.0"
    fleet_port: FleetPort = None
    no_mdns: NoMdns = False
    mdns_interfaces: MdnsInterfaces = None
    advertise: Advertise = None
    key_file: KeyFile = None


def fleet_config(invocation: Invocation, wishes: FleetWishes) -> FleetConfig:
    return FleetConfig(
        name=wishes.name or name_of_host(socket.gethostname()),
        key_file=key_file_of(invocation, wishes.key_file),
        host=wishes.fleet_host,
        port=wishes.fleet_port,
        join=sought_by(invocation, wishes.join),
        has_mdns=not wishes.no_mdns,
        mdns_interfaces=tuple(wishes.mdns_interfaces) if wishes.mdns_interfaces else None,
        advertise=wishes.advertise,
    )


def sought_by(invocation: Invocation, join: Sequence[str] | None) -> tuple[str, ...]:
    """Whom to join: those that were named, and the neurons of the file."""
    neurons = (neuron.endpoint for neuron in invocation.settings.neurons)
    return tuple(dict.fromkeys((*(join or ()), *neurons)))


def key_file_of(invocation: Invocation, named: Path | None) -> Path:
    return named or invocation.locations.state_dir / _KEY_FILE
