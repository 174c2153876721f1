"""`cortex doctor`: what is in order on this machine and in its fleet, and what mends the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ..colours import Colour, painted
from ..engine_options import EngineWishes, ModelsDirs
from ..fleet_options import (
    FleetHost,
    FleetPort,
    Join,
    KeyFile,
    MdnsInterfaces,
    NoMdns,
    key_file_of,
    sought_by,
)
from ..options import Json, Peer, PeerWord, asked_peer, invocation_of

if TYPE_CHECKING:
    from cortex.peer.doctor.findings import Finding, Level
_COLOURS: Mapping[Level, Colour] = {"ok": "green", "warn": "yellow", "FAIL": "red"}


def doctor(
    context: typer.Context,
    whose: PeerWord = None,
    peer: Peer = None,
    models: ModelsDirs = None,
    join: Join = None,
    key_file: KeyFile = None,
    fleet_host: FleetHost = "0.0.0.0",
    fleet_port: FleetPort = None,
    no_mdns: NoMdns = False,
    mdns_interfaces: MdnsInterfaces = None,
    as_json: Json = False,
) -> None:
    """Look for what is wrong, here and between the peers, and say what mends it.

    \b
      cortex doctor
      cortex doctor --json | jq '.findings[] | select(.level != "ok")'

    One line for each finding: ok, warn or FAIL, and below it what to do. Nothing is changed, and
    nobody is joined. Exits 1 where something is broken.
    """
    import asyncio

    from cortex.peer.doctor.examination import Inquiry, examine
    from cortex.peer.doctor.findings import num_failed
    from cortex.peer.models.catalogue import pulling_dir

    from ..config import c_compiler, compiled_dir, peer_config, user_config_home
    from ..devices import find_gpus, torch_cuda
    from ..diagnostics import FAILED, show_logs
    from ..doors import find_doors
    from ..output import standard_output
    from ..service.renewing import judge_units
    from ..service.systemctl import system_manager, user_manager

    invocation = invocation_of(context)
    folders = [*(models or invocation.settings.models_dirs)]
    show_logs(verbose=invocation.verbose)
    inquiry = Inquiry(
        key_file=key_file_of(invocation, key_file),
        state_dir=invocation.locations.state_dir,
        pulling_dir=pulling_dir(peer_config(invocation, EngineWishes(folders))),
        join=sought_by(invocation, join),
        doors=tuple(find_doors(invocation, asked_peer(context, whose, peer))),
        has_mdns=not no_mdns,
        interfaces=tuple(mdns_interfaces) if mdns_interfaces else None,
        bound_host=fleet_host,
        fleet_port=fleet_port,
        cards=find_gpus(),
        torch_cuda=torch_cuda(),
        c_compiler=c_compiler(),
        compiled_dir=compiled_dir(invocation.locations),
    )
    managers = (user_manager(user_config_home()), system_manager())
    findings = [*asyncio.run(examine(inquiry)), *judge_units(managers)]
    output = standard_output()
    has_colour = invocation.has_colour(is_terminal=output.is_terminal)
    lines = (line for each in findings for line in describe(each, has_colour=has_colour))
    with output.outlived():
        output.either({"findings": [asdict(each) for each in findings]}, lines, as_json=as_json)
    if num_failed(findings):
        raise typer.Exit(FAILED)


def describe(finding: Finding, *, has_colour: bool = False) -> list[str]:
    level = f"{finding.level:<6}"
    shown = painted(level, _COLOURS[finding.level]) if has_colour else level
    lines = [f"{shown} {finding.text}"]
    return [*lines, f"       fix: {finding.fix}"] if finding.fix else lines
