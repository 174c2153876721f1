"""Whether this release would write a unit that is there in the same way, and what writes it anew.

The unit alone says what it was made with: the shell that looks at it may have other proxies,
variables and settings than the one that installed it, which is no reason to write it again.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from pwd import struct_passwd

from cortex.peer.doctor.findings import Finding, warn

from ..errors import ServiceProblem
from .accounts import find_user
from .planning import (
    DESCRIPTIONS,
    NAMES,
    What,
    command,
    folders_kept,
    own_program,
    places_of,
    program_files,
)
from .systemctl import Manager
from .unit import Service, read_unit, unit_text


def renewal(manager: Manager, what: What) -> str:
    """What to type where it would be written in another way. Nothing where there is none, or one
    that starts another installation of cortex, or something else.
    """
    try:
        text = manager.unit_file(NAMES[what]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    found = read_unit(text, NAMES[what], is_system=manager.is_system)
    words = _words(found.command, what)
    if words is None or unit_text(_as_of_now(found, what, words)) == text:
        return ""
    scope = ["--system"] if found.is_system else []
    user = [] if found.run_as is None else ["--run-as", found.run_as]
    by = f"sudo {own_program()}" if found.is_system else "cortex"
    return f"{by} service install {shlex.join([*scope, *user, what, *words])}"


def judge_units(managers: Iterable[Manager]) -> Iterator[Finding]:
    for manager in managers:
        for what, name in NAMES.items():
            if renew := renewal(manager, what):
                file = manager.unit_file(name)
                text = (
                    f"this release would write {file} in another way; own changes go in a drop-in"
                )
                yield warn("service", text, renew)


def _words(started: Sequence[str], what: What) -> list[str] | None:
    """What it was installed with; None where it starts no `what` of this installation."""
    if what not in started or Path(started[0]).parent != Path(sys.executable).parent:
        return None
    at = list(started).index(what)
    return list(started[at + 1 :]) if started[at - 1] == command(what, ())[-2] else None


def _as_of_now(found: Service, what: What, words: Sequence[str]) -> Service:
    def named(option: str) -> list[Path]:
        long = f"--{option.replace('_', '-')}"
        return [Path(value) for name, value in pairwise(words) if name == long]

    places = places_of(what, _user_of(found))
    paths = (*places.values(), *(word for word in words if word.startswith("/")))
    return replace(
        found,
        description=DESCRIPTIONS[what],
        command=[found.command[0], *command(what, words)[1:]],
        reads=[*program_files(), *map(Path, paths)],
        writes=[*found.writes, *folders_kept(named)],
        environment={**found.environment, **places},
    )


def _user_of(found: Service) -> struct_passwd | None:
    try:
        return None if found.run_as is None else find_user(found.run_as)
    except ServiceProblem:  # whoever it ran as has gone
        return None
