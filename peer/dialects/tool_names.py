"""Names of tools, and who may be called of those on offer.

Models write a name inside their own markup: what would end it there is no part of a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cortex.engine.types import Tool, ToolChoice

from .decoding import refuse

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


def checked_name(name: str, path: str) -> str:
    if not _NAME.fullmatch(name):
        refuse(path, "must be up to 128 letters, digits and _ - . : /")
    return name


def choose_named(
    tools: Sequence[Tool], names: Sequence[str], path: str, *, must: bool
) -> ToolChoice:
    """A choice of tools by name.

    Raises InvalidRequest for a name that is not on offer.
    """
    offered = {tool.name for tool in tools}
    for name in names:
        if name not in offered:
            shown = name[:128]
            refuse(path, f"{shown!r} is no tool of this request", "name one of its tools")
    return ToolChoice("required" if must else "auto", tuple(dict.fromkeys(names)))
