"""`cortex gateway`: the fleet's door, on a machine that makes no answers itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cortex.peer.config import GATEWAY_PORT

from ..config import peer_config
from ..fleet_options import FleetWishes, fleet_config
from ..options import Config, Host, StateDir, invocation_of, port_option, typed

if TYPE_CHECKING:
    from cortex.peer.config import PeerConfig

    from ..settings.reading import Settings


def gateway(
    context: typer.Context,
    *,
    host: Host = "0.0.0.0",
    port: Annotated[int | None, port_option(GATEWAY_PORT)] = None,
    metrics_host: Annotated[
        str,
        typer.Option(
            "--metrics-host", metavar="ADDRESS", help="Where to tell numbers, to all who ask."
        ),
    ] = "0.0.0.0",
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="N",
            min=0,
            max=65535,
            help="On which port; 0 takes any. Otherwise 31314; if busy, 31316 and so on.",
        ),
    ] = None,
    membership: FleetWishes,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Serve the fleet's models from a machine without an engine, until ctrl-c.

    \b
      cortex join KEY && cortex gateway
      cortex gateway --join beast.internal:13132
      cortex gateway --port 443 --metrics-host 127.0.0.1

    It needs neither torch nor models; `cortex serve` is the same. It is open to the network and
    wants keys: where cortex.toml has none, one is made, shown once at a terminal and kept as a
    hash. Its numbers are told on a port of their own, without a key: /metrics and /healthz, and
    nothing else.
    """
    from dataclasses import replace

    from ..devices import Devices
    from ..serving import serve

    invocation = invocation_of(context)

    def made_of(settings: Settings) -> PeerConfig:
        now = replace(invocation, read=settings)
        seeds = membership.join if typed(context, "join") else settings.join
        return replace(
            peer_config(now, None),
            host=host,
            port=port,
            default_port=GATEWAY_PORT,
            devices=(),
            metrics_host=metrics_host,
            metrics_port=metrics_port,
            fleet=fleet_config(now, replace(membership, join=seeds)),
        )

    serve(made_of, Devices(), state_dir, invocation, config)
