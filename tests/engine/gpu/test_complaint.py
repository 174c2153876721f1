"""Of a machine without a compiler one line is logged, not one of each kernel."""

from __future__ import annotations

import logging

import pytest

from cortex.engine.kernels.gpu.complaint import complain, tell_once


def test_a_reason_is_told_once_whatever_files_it_was_found_with(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tell_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for folder in ("tmpa1b2", "tmpc3d4"):
            complain(f"Command '['/usr/bin/gcc', '/tmp/{folder}/main.c']' returned 1.")
        complain("Failed to find C compiler.")
    reasons = [record.message.partition("instead: ")[2] for record in caplog.records]
    assert reasons == [
        "Command '['/usr/bin/gcc', '...']' returned 1.",
        "Failed to find C compiler.",
    ]
