"""The disk that pulls write to: told before it is full, and when it is."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from cortex.peer.errors import CannotStore
from tests.peer.fake_hub import SHUNNED, WEIGHTS

Pull = Any


@contextmanager
def files_of_at_most(num_bytes: int) -> Generator[None]:
    """The kernel refuses to write more, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_without_room_is_told_before_the_weights_come(pulling: Pull) -> None:
    pulling.free_bytes = (
        64 * 1024 * 1024
        + 10_239
        + sum(len(data) for name, data in pulling.hub.files.items() if name not in SHUNNED)
        - len(pulling.hub.files[WEIGHTS])
    )
    pulling.hub.files[WEIGHTS] = bytes(1_000_000)
    error = await pulling.refused(CannotStore, r"needs .* more, and .* are free in")
    assert "--models DIR" in error.hint
    assert WEIGHTS not in [name for name, _ in pulling.hub.asked]


async def test_a_disk_that_fills_up_keeps_what_has_come(pulling: Pull) -> None:
    pulling.hub.files[WEIGHTS] = bytes(3_000_000)
    with files_of_at_most(2_000_000):
        await pulling.refused(CannotStore, "cannot write")
    kept = pulling.partial_weights.stat().st_size
    assert 0 < kept <= 2_000_000
    await pulling()
    assert (WEIGHTS, f"bytes={kept}-") in pulling.hub.asked


async def test_pulls_beside_each_other_do_not_count_the_same_free_bytes(pulling: Pull) -> None:
    """What is free reaches for both, and first for all but one byte: by what came meanwhile, which
    of an answer that is cut may be little.
    """
    pulling.hub.files[WEIGHTS] = bytes(1_000_000)
    pulling.hub.cuts = [600_000]
    other = pulling.root / "org" / "other"
    refusals: list[str] = []

    async def pull_another(name: str) -> None:
        if name == WEIGHTS:
            pulling.hub.on_file = None
            lacking = 1_000_000 - pulling.partial_weights.stat().st_size
            pulling.free_bytes = 64 * 1024 * 1024 + 1_000_000 + lacking - (not refusals)
            try:
                await pulling("org/other")
            except CannotStore as error:
                refusals.append(error.message)
                pulling.hub.on_file = pull_another  # again when some has come

    pulling.hub.on_file = pull_another
    await pulling()
    assert len(refusals) == 1 and "976.6 KiB of which other pulls still need" in refusals[0]
    assert pulling.goal.is_dir() and other.is_dir()
    pulling.free_bytes = 64 * 1024 * 1024 + 1_000_000
    await pulling("org/third")  # who has ended needs nothing more


async def test_a_pull_that_finds_the_disk_full_says_what_may_go(
    pulling: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, data: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    error = await pulling.refused(CannotStore, "cannot write .*: No space left")
    assert error.hint.startswith("make room there: what has come is kept")
    assert ".pulling-ORG--NAME" in error.hint
