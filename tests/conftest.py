"""What every test shares: an environment in which nothing of the machine's owner can be seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Two cores may be busy: how long an example takes says nothing about the code.
settings.register_profile("cortex", deadline=None)
settings.load_profile("cortex")

_HIDDEN_PREFIXES = ("CORTEX_", "HF_", "XDG_", "_CORTEX_", "OPENAI_")


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests, so that kernels are compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def scrubbed_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, cache_home: Path
) -> None:
    """No settings, no models and no running peer of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(_HIDDEN_PREFIXES):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("DATA", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "runtime"))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent
