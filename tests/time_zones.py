"""The clock on the wall of another place, for as long as a test needs it."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest


@contextmanager
def in_zone(posix: str) -> Generator[None]:
    """A zone in the words of POSIX's TZ, which need no file of zones on the machine."""
    try:
        with pytest.MonkeyPatch.context() as here:
            here.setenv("TZ", posix)
            time.tzset()
            yield
    finally:
        time.tzset()
