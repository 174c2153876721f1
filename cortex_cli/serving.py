"""A peer or a gateway served from a command: what its first start makes, what it says, its end.

Which options there are, and what they mean, is each command's own.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .errors import ConfigProblem

if TYPE_CHECKING:
    from cortex.peer.config import FleetConfig, PeerConfig
    from cortex.peer.fleet.view import FleetView
    from cortex.peer.keys.keyring import Keyring
    from cortex.peer.models.shelf import Shelf
    from cortex.peer.observing.chronicle import Happening
    from cortex.peer.serving.server import Server

    from .config import Invocation
    from .devices import Devices
    from .load_lines import LoadLines
    from .settings.reading import Settings
    from .voice import Voice


def serve(
    made_of: Callable[[Settings], PeerConfig],
    devices: Devices,
    state_dir: Path | None,
    invocation: Invocation,
    named: Path | None,
) -> None:
    """Be the peer until told to stop.

    `made_of` makes its config, of the settings as they are at the start and whenever their file
    changes. `state_dir` and `named`, a file of settings, are those that were named.
    """
    import asyncio
    import faulthandler
    import signal
    import time

    from cortex.peer.config import CHRONICLE_LOG, RELOAD_LOG, REQUEST_LOG
    from cortex.peer.serving.server import run_peer
    from cortex.peer.serving.supervisor import Supervisor

    from .diagnostics import INTERRUPTED, show_logs, standard_error
    from .load_lines import LoadLines
    from .output import standard_output
    from .settings.following import FollowedFiles
    from .voice import Voice

    # A crash, or a supervisor that hears nothing, leaves stacks in the log, and no values.
    faulthandler.enable()
    voice = Voice(standard_output(), standard_error(invocation))
    by = invocation.supervision

    def build(settings: Settings) -> PeerConfig:
        config = made_of(settings)
        voice.form = config.log_format
        # All that happens is in the log where that is all there is to read.
        happenings = (CHRONICLE_LOG,) if voice.form == "json" else ()
        show_logs(
            verbose=invocation.verbose,
            level=config.log_level,
            also=(REQUEST_LOG, RELOAD_LOG, *happenings),
            form=config.log_format,
        )
        return _guarded(config, voice, is_kept=by is not None or not voice.is_private)

    config = build(invocation.settings)
    if invocation.settings.file is not None:
        voice.line(f"config {invocation.settings.file}")
    files = FollowedFiles(invocation.settings, lambda: invocation.find_settings(named), build)
    began_s = time.monotonic()
    for line in describe_start(config, devices):
        voice.line(line)
    _take_up_fleet(config.fleet, invocation, state_dir, voice)

    def happened(one: Happening) -> None:
        if voice.form != "json":
            voice.event(f"{one.about} {one.text}" if one.about else one.text, one.time_s)

    def ready(server: Server) -> None:
        took_s = time.monotonic() - began_s
        for line in (
            *describe_models(config, server.node.shelf),
            *describe_ready(config, server.address, took_s, state_dir, server.metrics_port),
        ):
            voice.line(line)

    ended_by = asyncio.run(
        run_peer(
            config,
            on_ready=ready,
            on_notice=voice.notice,
            on_view=view_teller(voice.line, voice.event, LoadLines(time.monotonic)),
            on_happening=happened,
            files=files,
            supervisor=None if by is None else Supervisor(by.address, by.silence_s),
        )
    )
    if ended_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def view_teller(
    say: Callable[[str], None], happens: Callable[[str], None], loads: LoadLines
) -> Callable[[FleetView], None]:
    """Tells of each view what the one before did not show."""
    from .fleet_lines import changes, opening

    before: FleetView | None = None

    def tell(view: FleetView) -> None:
        nonlocal before
        for line in opening(view) if before is None else ():
            say(line)
        for line in (*changes(before, view), *loads.of(view)):
            happens(line)
        before = view

    return tell


def _guarded(config: PeerConfig, voice: Voice, *, is_kept: bool) -> PeerConfig:
    """The config with the key that a peer made for itself once, as long as its file is there; one
    is made where others can reach the peer and nobody gave it any.

    What is said is not shown the key where it `is_kept`, as in the log of a service manager or of
    a container.
    """
    import secrets

    from cortex.peer.addresses import is_loopback
    from cortex.peer.serving.listening import listen

    from .first_key import first_key, has_first_key

    state_dir = config.locations.state_dir
    if config.keys:
        if not has_first_key(state_dir):
            return config
    elif is_loopback(config.host):
        return config
    else:
        # None is made, and shown this once, for an address that is not this machine's.
        listen(config.host, 0).close()
    try:
        made = first_key(state_dir, secrets.token_bytes(32))
    except ConfigProblem as problem:
        if not config.keys:
            raise
        voice.notice(f"the keys of the settings hold alone: {problem.message}")
        return config
    if made.text is not None and is_kept:
        voice.line("key    made, and shown in no log; for one to ask with: cortex config new-key")
    elif made.text is not None:
        voice.line(f"key    {made.text}   shown this once; it opens while {made.file} is there")
    if any(key.digest == made.key.digest for key in config.keys):
        return config  # with the limits that it has there
    if config.keys:
        voice.line(f"key    that of {made.file} opens too; remove the file to end that")
    return replace(config, keys=(*config.keys, made.key))


def _take_up_fleet(
    fleet: FleetConfig | None, invocation: Invocation, state_dir: Path | None, voice: Voice
) -> None:
    """See that there is a fleet key, and say which."""
    import secrets

    from cortex.peer.fleet.interfaces import choose, read_interfaces

    from .fleet_lines import describe_fleet

    assert fleet is not None, "a peer that is served is of a fleet"
    ring, is_new = _first_keyring(fleet.key_file, secrets.token_bytes)
    searched = choose(read_interfaces(), fleet.mdns_interfaces, fleet.host).names
    named = [neuron.name for neuron in invocation.settings.neurons]
    # Nor is the fleet's key for a log: `cortex key` shows it at any time.
    is_shown = is_new and invocation.supervision is None and voice.is_private
    for line in describe_fleet(fleet, ring, searched, named, state_dir, is_new=is_shown):
        voice.line(line)


def _first_keyring(path: Path, random_bytes: Callable[[int], bytes]) -> tuple[Keyring, bool]:
    from cortex.peer.keys.keyring_file import first_keyring
    from cortex.peer.private_file import next_step

    try:
        return first_keyring(path, random_bytes)
    except OSError as error:
        elsewhere = "name a folder of your own with --state-dir, or a file with --key-file"
        raise ConfigProblem(
            f"cannot keep a fleet key in {path}: {error.strerror or error}",
            next_step(error, path, elsewhere),
        ) from None


def describe_start(config: PeerConfig, devices: Devices) -> list[str]:
    from cortex.peer.devices.cards import differ_in_bfloat16
    from cortex.peer.release import own_release

    first = f"cortex {own_release()}"
    if config.is_gateway:
        return [first, "device none   (others make the answers)"]
    is_fake = config.engine == "fake"
    computes = ", ".join(devices.names)
    if is_fake:
        computes += "   (the engine is fake: it computes nothing)"
    mixed = differ_in_bfloat16(devices.cards) if config.wishes.dtype == "auto" else ""
    said = "; ".join(filter(None, (devices.note, mixed)))
    note = f"   ({said})" if said else ""
    return [first, f"device {computes}{note}"]


def describe_models(config: PeerConfig, shelf: Shelf) -> list[str]:
    if config.is_gateway:
        return []
    if shelf.is_late:
        return ["models their folders do not answer yet"]
    ids = [model.id for model in shelf.catalogue.models]
    return [f"models {len(ids)} found   ({', '.join(ids)})" if ids else "models none found"]


def describe_ready(
    config: PeerConfig,
    address: str,
    took_s: float,
    state_dir: Path | None = None,
    metrics_port: int | None = None,
) -> list[str]:
    """`state_dir` is the one that was named: a command must name it too to find this peer."""
    from cortex.peer.addresses import is_loopback
    from cortex.peer.units import counted

    finding = "" if state_dir is None else f"--state-dir {shlex.quote(str(state_dir))} "
    asks = f"with {counted(len(config.keys), 'key')}" if config.keys else "no key"
    reach = (
        f"this machine only, {asks}; add --host 0.0.0.0 to serve the network"
        if is_loopback(config.host)
        else f"everyone who reaches this machine, {asks}"
    )
    lines = [f"api    http://{address}/v1   {reach}"]
    if metrics_port is not None:
        host = config.metrics_host or ""
        shown = f"[{host}]" if ":" in host else host
        lines.append(f"count  http://{shown}:{metrics_port}/metrics   no key")
    screen = f"cortex tui {finding}".rstrip()
    return [
        *lines,
        f'ready in {took_s:.1f} s.   Try: cortex chat {finding}"hello"   or: {screen}',
    ]
