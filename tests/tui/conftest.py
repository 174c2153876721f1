"""What tests of the dashboard share."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.tui import told as words


@pytest.fixture
def told() -> ModuleType:
    """How a peer's words about its fleet are made up."""
    return words
