"""Why kernels of Triton's do not serve: each reason is told once, however many kernels it fails."""

from __future__ import annotations

import logging
import re
from functools import lru_cache

_log = logging.getLogger(__name__)

# A compiler's complaint names files that are made anew for each kernel.
_FRESH_FILE = re.compile(r"[^\s'\"]*/tmp[^\s'\"]*")


def complain(reason: str) -> None:
    tell_once(_FRESH_FILE.sub("...", reason))


@lru_cache(maxsize=64)
def tell_once(reason: str) -> None:
    _log.warning("not all of Triton's kernels serve here, torch's do instead: %s", reason)
