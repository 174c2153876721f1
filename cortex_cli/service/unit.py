"""A systemd unit for a peer or a gateway, as text. Of the machine it asks where links lead, and
nothing else.

What a unit forbids, it forbids because nothing here needs it; what stays allowed has its reason
beside it. See systemd.exec(5) and systemd.service(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cortex.peer.serving.supervisor import AFTER_DRAIN_S

_PLAIN = re.compile(r"[A-Za-z0-9_./:=@,+-]+")
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))

_HEAD = """\
# Written by `cortex service install`, which writes it anew each time; changes of your own belong
# into a drop-in: systemctl {scope}edit {name}
[Unit]
Description={description}
After=network-online.target nvidia-persistenced.service
# The network, or the address to listen on, may come at any time.
StartLimitIntervalSec=0
"""

_SERVICE = """\
[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=30
Restart=on-failure
RestartSec=10
# A wrong option or file of settings stays wrong.
RestartPreventExitStatus=2
TimeoutStopSec={stop_s}
# The peer is told to end, and lets answers finish; its engines go with it.
KillMode=mixed
# An engine that has too little memory ends alone: the peer replaces it.
OOMPolicy=continue
LimitNOFILE=65536
# Memory holds prompts and keys: what crashes leaves its stacks in the log, and nothing else.
LimitCORE=0
UMask=0077
RuntimeDirectory=cortex
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
"""

# Neither MemoryDenyWriteExecute (torch and Triton write the code that they run) nor PrivateDevices
# (the devices are NVIDIA's, by their names on servers and in WSL) nor ProcSubset (memory and
# processors are read from /proc).
_HARDENED = """\
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""

# What a user's own manager has no power for.
_HARDENED_SYSTEM = """\
CapabilityBoundingSet=
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectProc=invisible
RemoveIPC=yes
DevicePolicy=closed
DeviceAllow=char-nvidia* rwm
DeviceAllow=/dev/dxg rw
"""
# Models may lie on a network's disk. One that comes later still is waited for by starting again,
# which a unit never does whose RequiresMountsFor= has failed.
# Without the module systemd knows no number of the devices that are allowed.
_WANTS_SYSTEM = """\
Wants=network-online.target modprobe@nvidia_uvm.service
After=modprobe@nvidia_uvm.service
After=remote-fs.target
"""


# One folder below each of these is the peer's, as it is below a user's own.
_SYSTEM_PLACES = (
    "XDG_STATE_HOME=%S XDG_DATA_HOME=%S XDG_CACHE_HOME=%C XDG_RUNTIME_DIR=%t",
    "XDG_CONFIG_HOME=/etc",
)


@dataclass(frozen=True, slots=True)
class Service:
    """What runs, and what it touches. `reads` are paths that it must see, `writes` folders that it
    must write besides those that systemd makes for it. `run_as` is None for a user that systemd
    makes up, and where the unit is a user's own. `left_out` are variables that hold a password;
    `models_dirs` is where a machine's peer looks for models, and `pulling_dir` where it puts them.
    """

    name: str
    description: str
    command: Sequence[str]
    drain_s: float
    is_system: bool = False
    run_as: str | None = None
    working_dir: Path | None = None
    reads: Sequence[Path] = ()
    writes: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    left_out: Sequence[str] = ()
    models_dirs: Sequence[Path] = ()
    pulling_dir: Path | None = None


def unit_text(service: Service) -> str:
    stop_s = int(service.drain_s) + AFTER_DRAIN_S
    scope = "" if service.is_system else "--user "
    head = _HEAD.format(scope=scope, name=service.name, description=service.description)
    wants = _WANTS_SYSTEM if service.is_system else ""
    own = _system_lines(service) if service.is_system else _user_lines(service)
    more = _HARDENED_SYSTEM if service.is_system else ""
    target = "multi-user.target" if service.is_system else "default.target"
    return (
        f"{head}{wants}\n"
        + _SERVICE.format(command=command_line(service.command), stop_s=stop_s)
        + "".join(f"{line}\n" for line in own)
        + f"{_HARDENED}{more}\n[Install]\nWantedBy={target}\n"
    )


def command_line(words: Iterable[str]) -> str:
    """As systemd reads it in ExecStart=."""
    return " ".join(_quoted(word).replace("$", "$$") for word in words)


def _system_lines(service: Service) -> list[str]:
    needs_home = any(_lies_in(path, _HOMES) for path in (*service.reads, *service.writes))
    who = "DynamicUser=yes" if service.run_as is None else f"User={service.run_as}"
    return [
        who,
        "StateDirectory=cortex",
        "StateDirectoryMode=0700",
        "CacheDirectory=cortex",
        "WorkingDirectory=%S/cortex",
        *(f"Environment={places}" for places in _SYSTEM_PLACES),
        # What makes the nodes of GPUs where no display and nobody else has used them yet.
        "ExecStartPre=-+/usr/bin/nvidia-modprobe -c=0 -u",
        *_environment(service.environment),
        f"ProtectHome={'read-only' if needs_home else 'yes'}",
        *_writable(service.writes),
    ]


def _user_lines(service: Service) -> list[str]:
    folder = service.working_dir
    return [
        *([] if folder is None else [f"WorkingDirectory={_specified(str(folder))}"]),
        *_environment(service.environment),
        "ProtectHome=read-only",
        *_writable(service.writes),
        "InaccessiblePaths=-%h/.ssh -%h/.gnupg",
    ]


def _environment(variables: Mapping[str, str]) -> list[str]:
    return [f"Environment={_quoted(f'{name}={value}')}" for name, value in variables.items()]


def _writable(folders: Iterable[Path]) -> list[str]:
    # With -, a folder that somebody has removed is no reason not to start.
    return [f"ReadWritePaths={_quoted(f'-{folder}')}" for folder in dict.fromkeys(folders)]


def _lies_in(path: Path, folders: Iterable[Path]) -> bool:
    """By its name, or by where that leads: systemd closes the folder that a link /home names."""
    real = Path(os.path.realpath(path))
    return any(
        path.is_relative_to(folder) or real.is_relative_to(os.path.realpath(folder))
        for folder in folders
    )


def _quoted(word: str) -> str:
    """A word that systemd reads as this one."""
    specified = _specified(word)
    if _PLAIN.fullmatch(word):
        return specified
    escaped = specified.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r") + '"'


def _specified(text: str) -> str:
    return text.replace("%", "%%")
