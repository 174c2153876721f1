"""`cortex peer`: serve the API from this machine until told to stop."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import EngineWishes, peer_config
from ..options import (
    Config,
    Dtype,
    Engine,
    FakeScript,
    FakeTokenInterval,
    Kernels,
    Memory,
    Mode,
    ModelsDirs,
    StateDir,
    Threads,
    Verbose,
    invocation_of,
)

if TYPE_CHECKING:
    from cortex.peer.config import PeerConfig

    from ..devices import Device
    from ..diagnostics import Diagnostics
    from ..output import Output


def peer(
    context: typer.Context,
    gpu: Annotated[
        str,
        typer.Option(
            "--gpu",
            metavar="all|cpu|N",
            envvar="CORTEX_GPU",
            help="What computes: the NVIDIA devices, else the CPU; the CPU; device N.",
        ),
    ] = "all",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="ID",
            envvar="CORTEX_MODEL",
            help="Load this model at the start instead of at the first request.",
            show_default=False,
        ),
    ] = None,
    models: ModelsDirs = None,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", envvar="CORTEX_HOST", help="Where to listen."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            envvar="CORTEX_PORT",
            min=0,
            max=65535,
            help="Which port; 0 takes any. Otherwise 13131, or the next that is free.",
            show_default=False,
        ),
    ] = None,
    state_dir: StateDir = None,
    threads: Threads = None,
    memory: Memory = None,
    mode: Mode = "auto",
    dtype: Dtype = "auto",
    kernels: Kernels = "auto",
    python: Annotated[
        str,
        typer.Option(
            "--python",
            metavar="FILE",
            envvar="CORTEX_PYTHON",
            help="The Python that runs the engine. Otherwise the one that runs this command.",
            show_default=False,
        ),
    ] = sys.executable,
    engine: Engine = "torch",
    fake_script: FakeScript = None,
    fake_token_interval_ms: FakeTokenInterval = 0,
    config: Config = None,
    verbose: Verbose = False,
) -> None:
    """Serve the OpenAI API from this machine, until ctrl-c.

    Each request is logged on standard error when it has ended. Where others can reach the peer
    and cortex.toml has no keys, one is made, shown once and kept as a hash. The first ctrl-c lets
    running answers end, the second stops at once.

    \b
      cortex peer
      cortex peer --gpu 0 --model ID --models /data/models
      cortex peer --host 0.0.0.0 --port 8000
    """
    from dataclasses import replace

    from cortex.peer.config import REQUEST_LOG

    from ..devices import choose_device, count_gpus, require_engine, torch_is_for_cpus
    from ..diagnostics import show_logs, standard_error
    from ..output import standard_output

    invocation = invocation_of(context)
    show_logs(verbose=invocation.verbose, also=REQUEST_LOG)
    # What another Python has installed is not known here.
    uses_our_torch = engine == "torch" and python == sys.executable
    if uses_our_torch:
        require_engine(engine)
    device = choose_device(
        gpu, count_gpus(), torch_is_for_cpus=uses_our_torch and torch_is_for_cpus()
    )
    wishes = EngineWishes(
        models,
        engine,
        fake_script,
        fake_token_interval_ms,
        threads,
        memory,
        mode,
        dtype,
        kernels,
    )
    peers_config = replace(
        peer_config(invocation, wishes),
        preload=() if model is None else (model,),
        python=python,
        device=device.name,
        host=host,
        port=port,
    )
    output = standard_output()
    if invocation.settings.file is not None:
        output.line(f"config {invocation.settings.file}")
    diagnostics = standard_error(can_redraw=invocation.can_redraw)
    _serve(_guarded(peers_config, output), device, state_dir, output, diagnostics)


def _guarded(config: PeerConfig, output: Output) -> PeerConfig:
    """The config with a key where others can reach the peer and nobody gave it any."""
    import secrets
    from dataclasses import replace

    from cortex.peer.addresses import is_loopback

    from ..first_key import first_key

    if config.keys or is_loopback(config.host):
        return config
    made = first_key(config.locations.state_dir, secrets.token_bytes(32))
    if made.text is not None:
        output.line(f"key    {made.text}   shown this once; others ask with it")
    return replace(config, keys=(made.key,))


def _serve(
    config: PeerConfig,
    device: Device,
    state_dir: Path | None,
    output: Output,
    diagnostics: Diagnostics,
) -> None:
    import asyncio
    import signal
    import time

    from cortex.peer.catalogue import scan
    from cortex.peer.server import Server, run_peer

    from ..diagnostics import INTERRUPTED

    began_s = time.monotonic()
    for line in describe_start(config, device, [found.id for found in scan(config).models]):
        output.line(line)

    def ready(server: Server) -> None:
        took_s = time.monotonic() - began_s
        for line in describe_ready(config, server.address, took_s, state_dir):
            output.line(line)

    ended_by = asyncio.run(run_peer(config, on_ready=ready, on_notice=diagnostics.line))
    if ended_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def describe_start(config: PeerConfig, device: Device, model_ids: list[str]) -> list[str]:
    from importlib.metadata import version

    computes = "nothing: the engine is fake" if config.engine == "fake" else device.name
    note = f"   ({device.note})" if device.note and config.engine != "fake" else ""
    found = f"{len(model_ids)} found   ({', '.join(model_ids)})" if model_ids else "none found"
    return [
        f"cortex {version('cortex-fleet')}",
        f"device {computes}{note}",
        f"models {found}",
    ]


def describe_ready(
    config: PeerConfig, address: str, took_s: float, state_dir: Path | None = None
) -> list[str]:
    """`state_dir` is the one that was named: a command must name it too to find this peer."""
    from cortex.peer.addresses import is_loopback

    finding = "" if state_dir is None else f"--state-dir {shlex.quote(str(state_dir))} "
    asks = f"with {_counted(len(config.keys), 'key')}" if config.keys else "no key"
    reach = (
        f"this machine only, {asks}; add --host 0.0.0.0 to serve the network"
        if is_loopback(config.host)
        else f"everyone who reaches this machine, {asks}"
    )
    return [
        f"api    http://{address}/v1   {reach}",
        f'ready in {took_s:.1f} s.   Try: cortex chat {finding}"hello"',
    ]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
