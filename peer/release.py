"""Which release of cortex this is, by the package that is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_DISTRIBUTION = "cortex-fleet"
# No package index has a release yet.
INSTALL_ENGINE = "in cortex's checkout: pip install -c constraints.txt -e '.[engine]'"


def own_release() -> str:
    return version(_DISTRIBUTION)


def updated_since(release: str) -> str:
    """The release that is installed by now, where it is another one."""
    try:
        now = own_release()
    except PackageNotFoundError:  # it is being replaced
        now = "none"
    return "" if now == release else now
