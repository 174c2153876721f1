"""What a slow reader finds."""

from __future__ import annotations

import pytest

from cortex.engine.errors import EngineFailed
from cortex.engine.types import Finished, Stage, TextDelta, Usage
from cortex.peer.mailbox import Mailbox

DONE = Finished("stop", Usage(1, 2))


async def test_stages_replace_each_other_and_text_melts_together():
    mailbox = Mailbox()
    for done in range(1000):
        mailbox.put_stage(Stage("prefill", done))
    assert await mailbox.get() == Stage("prefill", 999)
    for number in range(1000):
        mailbox.put_text("ab", (number, number))
    mailbox.end(DONE)
    delta = await mailbox.get()
    assert isinstance(delta, TextDelta)
    assert (len(delta.text), len(delta.token_ids)) == (2000, 2000)
    assert await mailbox.get() == DONE


async def test_text_overtakes_a_stage_nobody_read():
    mailbox = Mailbox()
    mailbox.put_stage(Stage("prefill"))
    mailbox.put_text("a", (1,))
    assert await mailbox.get() == TextDelta("a", (1,))


async def test_error_comes_after_the_text_before_it_and_only_once():
    mailbox = Mailbox()
    mailbox.put_text("a", (1,))
    mailbox.end(EngineFailed("it died"))
    mailbox.end(DONE)
    assert await mailbox.get() == TextDelta("a", (1,))
    with pytest.raises(EngineFailed):
        await mailbox.get()
