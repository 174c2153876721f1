"""The peer in a word, as /healthz says it."""

from __future__ import annotations

import pytest

from cortex.peer.api.health import describe
from cortex.peer.observing.health import ChildHealth, NodeHealth

UP = ChildHealth("up", 1, None, 0, None)
STARTING = ChildHealth("starting", 2, None, 0, None)
# Its last start failed; it is being tried again.
BROKEN = ChildHealth("starting", 3, None, 0, "gave up", is_failing=True)


@pytest.mark.parametrize(
    ("engine", "word"), [(UP, "ok"), (STARTING, "starting"), (BROKEN, "failing")]
)
def test_an_engine_that_did_not_start_is_failing_until_one_does(
    engine: ChildHealth, word: str
) -> None:
    assert describe(NodeHealth((UP, engine), UP, 0, is_draining=False)) == word
    assert describe(NodeHealth((UP, UP), engine, 0, is_draining=False)) == word


def test_one_that_drains_says_so_whatever_its_processes_do() -> None:
    assert describe(NodeHealth((BROKEN,), UP, 0, is_draining=True)) == "draining"
