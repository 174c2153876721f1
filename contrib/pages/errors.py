"""The table of docs/api.md about errors: which status each code has, and what it means.

What it means is what the trees of errors say at the top of their modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cortex.engine import errors as engine_errors
from cortex.peer import errors as peer_errors
from cortex.peer.api.errors import KINDS, About, tell
from cortex.peer.dialects.errors import messages_status

_BRANCH = re.compile(r"[├└]─ (\w+) {2,}(.+)")
_HEAD = "| status | in messages | `code` | |\n| ---: | ---: | --- | --- |\n"


def errors_table() -> str:
    return _HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    words = dict(_BRANCH.findall(f"{engine_errors.__doc__}{peer_errors.__doc__}"))
    shown = [(kind, tell(kind(""), About())) for kind in (*KINDS, engine_errors.InternalError)]
    for kind, told in sorted(shown, key=lambda each: each[1].status):
        mark = "" if told.may_retry else " *"
        means = words[kind.__name__]
        yield f"| {told.status}{mark} | {messages_status(told)} | `{told.code}` | {means} |\n"
