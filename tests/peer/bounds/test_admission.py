"""What a peer takes at one time, and what it turns away."""

from __future__ import annotations

import asyncio

import pytest

from cortex.engine.errors import Overloaded
from cortex.peer.bounds.admission import Admission
from cortex.peer.errors import UnsupportedParameter


async def test_more_requests_than_may_be_are_turned_away_whole():
    admission = Admission(max_requests=4, max_bytes=0)
    with admission.admitted(3):
        with pytest.raises(Overloaded), admission.admitted(2):
            pass
        with pytest.raises(UnsupportedParameter, match=r"n: .* takes 4 at"), admission.admitted(5):
            pass
        with admission.admitted(1):
            assert admission.live_requests == 4
    assert admission.live_requests == 0


async def test_bytes_are_held_for_as_long_as_their_block_lasts():
    admission = Admission(max_requests=1, max_bytes=10)
    with admission.holding(7):
        with pytest.raises(Overloaded, match="over 10 bytes"), admission.holding(4):
            pass
        with admission.holding(3):
            pass
    with admission.holding(10):
        pass


async def test_draining_lets_the_last_one_end_and_nobody_in():
    admission = Admission(max_requests=2, max_bytes=0)
    with admission.admitted(1):
        admission.close()
        drained = asyncio.create_task(admission.idle())
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="going away"), admission.admitted(1):
            pass
        assert not drained.done()
    await drained
    assert admission.is_draining
