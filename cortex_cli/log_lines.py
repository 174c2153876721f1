"""A line of the log as one JSON object, for whoever reads it by program.

Lines begin with their event and go on with key=value: each of those becomes a member of its own. A
line that is written otherwise keeps its words. What is in a line is decided by whoever logs it.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

_LINE = re.compile(r"(?P<event>[^=\n]*?)(?P<fields>(?: \w+=\S+)+)")

_SAID = "cortex.said"


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        now = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "level": record.levelname.lower(), "logger": record.name}
        line |= _members(record.getMessage())
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def json_line(text: str, time_s: float) -> str:
    """What is said beside the log, as a line of it. `time_s` is Unix time."""
    told = {"name": _SAID, "levelname": "INFO", "msg": text, "created": time_s}
    return JsonLines().format(logging.makeLogRecord(told))


def _members(message: str) -> dict[str, str]:
    """A field that is called as one of ours cannot take its place."""
    found = _LINE.fullmatch(message)
    if found is None:
        return {"event": message}
    fields = (each.partition("=") for each in found["fields"].split())
    named = {name: value for name, _, value in fields}
    return {"event": found["event"], **{_free(name): value for name, value in named.items()}}


def _free(name: str) -> str:
    return f"{name}_" if name in ("time", "level", "logger", "event", "stack") else name
