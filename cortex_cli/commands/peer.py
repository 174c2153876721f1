"""`cortex peer`: serve the API from this machine until told to stop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cortex.peer.config import DEFAULT_PORT, LogFormat

from .. import completing
from ..config import keep_compiled, peer_config, with_fields
from ..durations import parse_as_set
from ..engine_options import EngineWishes
from ..fleet_options import FleetWishes, fleet_config
from ..options import Config, Host, StateDir, invocation_of, port_option, typed

if TYPE_CHECKING:
    from cortex.peer.config import PeerConfig

    from ..devices import Devices
    from ..settings.reading import Settings


def peer(
    context: typer.Context,
    *,
    gpu: Annotated[
        str,
        typer.Option(
            "--gpu",
            metavar="all|none|cpu|N,N",
            help="What computes: the NVIDIA devices, else the CPU; nothing here, only other peers;"
            " the CPU; these devices.",
        ),
    ] = "all",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="ID",
            autocompletion=completing.models,
            help="Load this model at the start instead of at the first request"
            " (may be given again).",
        ),
    ] = None,
    idle_ttl: Annotated[
        float | None,
        typer.Option(
            "--idle-ttl",
            metavar="TIME|never",
            parser=parse_as_set("eviction", "idle_ttl"),
            help="How long a model stays when nobody asks it, such as 30m. Otherwise 10m.",
        ),
    ] = None,
    drain: Annotated[
        float | None,
        typer.Option(
            "--drain",
            metavar="TIME",
            parser=parse_as_set("peer", "drain"),
            help="How long running answers may take to end at the end. Otherwise 30s.",
        ),
    ] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            "--log-format",
            help="Whether a line of the log is for people or a JSON object. Otherwise text.",
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Annotated[int | None, port_option(DEFAULT_PORT)] = None,
    membership: FleetWishes,
    state_dir: StateDir = None,
    wishes: EngineWishes,
    python: Annotated[
        str,
        typer.Option(
            "--python",
            metavar="FILE",
            help="The Python that runs the engine. Otherwise the one that runs this command.",
            show_default=False,
        ),
    ] = sys.executable,
    config: Config = None,
) -> None:
    """Serve the APIs from this machine, and be one of a fleet, until ctrl-c.

    \b
      cortex peer
      cortex peer --gpu 0,1 --model ID --models /data/models
      cortex peer --host 0.0.0.0 --port 8000
      cortex peer --join beast.internal:13132 --name borea

    The first start makes a fleet key, and shows at a terminal the line that lets others join.
    Peers of one key find each other in the local network, or by --join, and any of them answers
    for all.

    Each request is logged on standard error when it has ended. Where others can reach the peer
    and cortex.toml has no keys, one is made, shown once at a terminal and kept as a hash. The first
    ctrl-c lets running answers end, the second stops at once.
    """
    from dataclasses import replace

    from cortex.peer.devices.hardware import machine_memory_bytes

    from ..devices import check_memory, require_engine, torch_cuda
    from ..serving import serve
    from ..settings.sections import fields_of_options

    invocation = invocation_of(context)
    computes = gpu != "none"
    # What another Python has installed is not known here.
    uses_our_torch = computes and wishes.engine == "torch" and python == sys.executable
    if uses_our_torch:
        require_engine(wishes.engine)
    devices = _devices(gpu, wishes.engine, torch_cuda() if uses_our_torch else None)
    if "cpu" in devices.names:
        check_memory(wishes.memory, machine_memory_bytes())

    given = {"idle_ttl": idle_ttl, "drain": drain, "log_format": log_format}
    over = fields_of_options({name: given[name] for name in given if typed(context, name)})

    def made_of(settings: Settings) -> PeerConfig:
        now = replace(invocation, read=settings)
        folders = wishes.models if typed(context, "models") else settings.models_dirs
        seeds = membership.join if typed(context, "join") else settings.join
        plain = peer_config(now, replace(wishes, models=folders) if computes else None)
        preload = (*(model or ()), *(one.id for one in plain.models if one.is_preloaded))
        return replace(
            with_fields(plain, over),
            preload=tuple(dict.fromkeys(preload)),
            python=python,
            devices=devices.names,
            cards=devices.cards,
            host=host,
            port=port,
            fleet=fleet_config(now, replace(membership, join=seeds)),
        )

    keep_compiled(invocation.locations)
    serve(made_of, devices, state_dir, invocation, config)


def _devices(gpu: str, engine: str, cuda: str | None) -> Devices:
    from cortex.peer.devices.cards import driver_version, why_unseen

    from ..devices import Devices, choose_devices, fake_devices, find_gpus

    if gpu == "none":
        return Devices()
    if engine == "fake":
        return fake_devices(gpu)
    return choose_devices(gpu, find_gpus(gpu), cuda, driver_version(), why_unseen())
