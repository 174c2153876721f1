"""A peer may have as many files open as the system lets it, whatever it was started with."""

from __future__ import annotations

import resource
from collections.abc import Generator

import pytest

from cortex.peer.serving.open_files import allow_open_files


@pytest.fixture
def hard() -> Generator[int]:
    """The bound that nobody passes; the one that holds is far lower while the test lasts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_bound_is_raised_as_far_as_the_system_allows_and_is_of_use(hard: int) -> None:
    allow_open_files()
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)


def test_a_bound_that_is_higher_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []

    def given(which: int) -> tuple[int, int]:
        return 100_000, 200_000

    def wish(which: int, bounds: tuple[int, int]) -> None:
        told.append(bounds)

    monkeypatch.setattr(resource, "getrlimit", given)
    monkeypatch.setattr(resource, "setrlimit", wish)
    allow_open_files()
    assert not told
