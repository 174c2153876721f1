"""What may be logged: whatever we say ourselves, and no details of the libraries underneath.

We log nothing that a client sent. A library's lines for debugging know no such rule: they quote
headers, cookies, and what stands in a picture beside its pixels.
"""

from __future__ import annotations

import logging


def is_discreet(record: logging.LogRecord) -> bool:
    """A handler's filter."""
    return record.levelno >= logging.INFO or record.name.partition(".")[0] == "cortex"
