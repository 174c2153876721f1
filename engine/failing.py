"""What went wrong, as it is told to whoever asked."""

from __future__ import annotations

import logging

from .child import log_unexpected
from .errors import CortexError, ErrorInfo, to_info
from .poison import raise_poison

logger = logging.getLogger(__name__)


def described(event: str, error: Exception) -> ErrorInfo:
    """The error for its consumer; where it is a bug, its place for the log, never its text.

    Raises DevicePoisoned, for whoever drives the loop, where nothing more can be computed here.
    """
    if not isinstance(error, CortexError):
        log_unexpected(logger, event, error)
    raise_poison(error)
    return to_info(error)
