"""What a unit says of what wrote it, and whether this release has another layout for it.

The words that it was installed with stand in it: the shell that looks at it may have other proxies,
variables and settings than the one that installed it, which is no reason to write it again.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from pwd import struct_passwd

from cortex.peer.doctor.findings import Finding, warn

from .planning import COMMAND, DESCRIPTIONS, GIVEN, NAMES, What, own_program, places_of
from .systemctl import Manager
from .unit import Service, command_line, unit_text

_WRITTEN = re.compile(r"^# Layout ([0-9a-f]+), installed with: (.*)$", re.MULTILINE)
# What would end a comment, as a shell spells it within the quotes that such a word stands in.
_LINE_ENDS = str.maketrans({"\n": r"'$'\n''", "\r": r"'$'\r''"})


def signed_unit(what: What, service: Service) -> str:
    """Its text, under the layout that it has and the words that install it again."""
    layout = _layout(what, is_system=service.is_system)
    scope = ["--system"] if service.is_system else []
    user = [] if service.run_as is None else ["--run-as", service.run_as]
    words = shlex.join([*scope, *user, *service.command[len(COMMAND) :]]).translate(_LINE_ENDS)
    return f"# Layout {layout}, installed with: {words}\n{unit_text(service)}"


def renewal(manager: Manager, what: What) -> str:
    """What to type where this release has another layout for it. Nothing where there is none, or
    one that starts another installation of cortex or something else, or that says no layout.
    """
    try:
        text = manager.unit_file(NAMES[what]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    written = _WRITTEN.search(text)
    if written is None or not _starts_own(text, what):
        return ""
    layout, words = written.groups()
    if layout == _layout(what, is_system=manager.is_system):
        return ""
    by = f"sudo {own_program()}" if manager.is_system else "cortex"
    return f"{by} service install {words}"


def judge_units(managers: Iterable[Manager]) -> Iterator[Finding]:
    for manager in managers:
        for what, name in NAMES.items():
            if renew := renewal(manager, what):
                file = manager.unit_file(name)
                way = f"this release has another layout for {file}"
                yield warn("service", f"{way}; own changes go in a drop-in", renew)


def _starts_own(text: str, what: What) -> bool:
    folder = command_line([f"{Path(COMMAND[0]).parent}/"]).removesuffix('"')
    own = rf"^ExecStart={re.escape(folder)}[^/\n]* -m cortex\.cli {what}\b"
    return re.search(own, text, re.MULTILINE) is not None


def _layout(what: What, *, is_system: bool) -> str:
    """The same for all such units of a release, wherever and with whatever they were installed: it
    is of two that hold every kind of line that one may. Of the values that planning puts there it
    knows no more than a number.
    """
    home = Path("/home/somebody")
    somebody = struct_passwd(("somebody", "x", 1, 1, "", str(home), "/bin/sh"))
    own = Service(
        NAMES[what],
        DESCRIPTIONS[what],
        [*COMMAND[1:], what],
        30.0,
        is_system=is_system,
        working_dir=Path("/"),  # in nobody's home, wherever the links of this machine lead
        writes=[Path("/")],
        environment=places_of(what, somebody),
    )
    somebodys = replace(own, run_as=somebody.pw_name, reads=[home])
    texts = f"{GIVEN}\n{unit_text(own)}{unit_text(somebodys)}"
    return hashlib.sha256(texts.encode()).hexdigest()[:12]
