"""Which release of cortex this is, by the package that is installed."""

from __future__ import annotations

from importlib.metadata import version

_DISTRIBUTION = "cortex-fleet"


def own_release() -> str:
    return version(_DISTRIBUTION)
