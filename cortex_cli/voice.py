"""What a running peer says of itself: lines for people, or objects like those of its log.

Where nobody hears it, for its reader has gone or the disk is full that it goes to, the peer works
on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import OutputFailed, ReaderGone
from .log_lines import json_line

if TYPE_CHECKING:
    from cortex.peer.config import LogFormat

    from .diagnostics import Diagnostics
    from .output import Output


class Voice:
    """`form` is that of the log, and may change. `clock` is Unix time."""

    def __init__(
        self, output: Output, beside: Diagnostics, clock: Callable[[], float] = time.time
    ) -> None:
        self.form: LogFormat = "text"
        self._output = output
        self._beside = beside
        self._clock = clock

    @property
    def is_private(self) -> bool:
        """Whether a person's screen is all it reaches: whatever else reads it may be a log."""
        return self._output.is_terminal and self.form == "text"

    def line(self, text: str) -> None:
        self._say(text, self._clock())

    def event(self, text: str, time_s: float | None = None) -> None:
        """What has happened, now or then, with its time."""
        at_s = self._clock() if time_s is None else time_s
        told = f"{time.strftime('%H:%M:%S', time.localtime(at_s))} {text}"
        self._say(text if self.form == "json" else told, at_s)

    def notice(self, text: str) -> None:
        """What is beside the point, and goes to standard error."""
        self._beside.line(self._formed(text, self._clock()))

    def _say(self, text: str, at_s: float) -> None:
        with contextlib.suppress(ReaderGone, OutputFailed):
            self._output.line(self._formed(text, at_s))

    def _formed(self, text: str, at_s: float) -> str:
        return json_line(text, at_s) if self.form == "json" else text
