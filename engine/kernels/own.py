"""Whether this machine has kernels of our own: found once, and tried before they are believed.

Where there is no C compiler, or what it made computes something else than torch does, there are
none, and a log line says so: everything works without them, more slowly. CPU only.
"""

from __future__ import annotations

import logging
from functools import lru_cache

import torch

from .compiling import NotCompiled
from .library import Library
from .trial import differences

_log = logging.getLogger(__name__)


@lru_cache(maxsize=4)
def own_kernels(dtype: torch.dtype) -> Library | None:
    """Those for tensors of `dtype`; None where this machine has none."""
    try:
        library = Library(dtype)
    except NotCompiled as error:
        _log.info("no kernels of our own, torch's serve: %s", error)
        return None
    if wrong := differences(library):
        _log.warning("our kernels differ from torch's here, which serve: %s", ", ".join(wrong))
        return None
    return library
