"""Whoever stops a peer gives it the time that it takes: systemd by the unit, others by the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cortex.cli.config import peer_config, read_environment
from cortex.peer.serving.supervisor import AFTER_DRAIN_S

PAGE = Path(__file__).parents[3] / "docs" / "operating.md"


@pytest.mark.parametrize("setting", ["--stop-timeout ", "terminationGracePeriodSeconds: "])
def test_a_container_is_given_the_time_that_a_peer_takes_to_stop(setting: str) -> None:
    given = re.findall(rf"{setting}(\d+)", PAGE.read_text(encoding="utf-8"))
    takes_s = peer_config(read_environment({}), None).drain_s + AFTER_DRAIN_S
    assert [float(seconds) for seconds in given] == [takes_s]
