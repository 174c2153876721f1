"""Names that nobody who is here knows, and that may be known in a moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from cortex.engine.errors import ModelNotFound
from cortex.peer.api.errors import About, tell
from cortex.peer.errors import ModelAway


async def refusal(listen: Any, fleet: Any, request: Any) -> ModelAway:
    with pytest.raises(ModelAway) as caught:
        await listen(fleet, request)
    with pytest.raises(ModelAway):
        await fleet.ingress.count(request)
    with pytest.raises(ModelAway):
        await fleet.ingress.model(request.model)
    told = tell(caught.value, About())
    assert told.status == 503 and told.retry_after_s
    return caught.value


async def test_who_knows_no_peer_with_models_does_not_say_that_there_is_no_model(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(1) as fleet:
        error = await refusal(listen, fleet, ask())
        assert "no peer with models is known yet" in error.message


async def test_a_peer_that_has_told_no_models_yet_may_have_any(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(3) as fleet:
        fleet.membership.change(2, stored=(), placed=())
        assert (await listen(fleet, ask())).ends
        error = await refusal(listen, fleet, ask(model="other"))
        assert "peer2 has still to tell its models" in error.message
        fleet.membership.change(2, roles=("gateway",))
        with pytest.raises(ModelNotFound):
            await listen(fleet, ask(model="other"))


@pytest.mark.parametrize("name", ["rare", "rare@72617265"])
async def test_a_model_whose_only_holder_is_gone_is_away_and_not_unknown(
    open_fleet: Any, listen: Any, ask: Any, name: str
):
    now_s = asyncio.get_running_loop().time()
    async with open_fleet(3) as fleet:
        stored = fleet.membership.view.peers[2].stored[0]
        rare = (replace(stored, id="rare", model=b"rare0000"),)
        fleet.membership.change(2, state="dead", stored=rare, silent_s=2.0, made_s=now_s - 10)
        error = await refusal(listen, fleet, ask(model=name))
        assert "'rare'; it was on peer2, gone for 12 s" in error.message
        with pytest.raises(ModelNotFound):
            await listen(fleet, ask(model="rarer"))
        fleet.membership.change(2, made_s=now_s - 3600)
        with pytest.raises(ModelNotFound):
            await listen(fleet, ask(model=name))
