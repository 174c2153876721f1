"""How often a view is made, however much is going on."""

from __future__ import annotations

import asyncio
from collections import deque

from cortex.peer.fleet.looking import VIEW_GAP_S, Lookout
from cortex.peer.fleet.view import FleetView
from cortex.peer.gossip.ids import NodeId

SAME = FleetView("tag", NodeId(b"somebody"))


async def test_a_storm_of_changes_makes_few_views_and_the_last_is_never_missed():
    loop = asyncio.get_running_loop()
    looked_s: list[float] = []
    version, is_shown = 0, asyncio.Event()

    def look() -> FleetView:
        looked_s.append(loop.time())
        return FleetView("tag", SAME.self_node, version)

    def show(view: FleetView) -> None:
        if view.version == 1000:
            is_shown.set()

    lookout = Lookout(look, show)
    lookout.look_now()
    for _ in range(1000):
        version += 1
        lookout.stir()
    async with asyncio.timeout(10):
        await is_shown.wait()
    assert len(looked_s) == 2
    assert looked_s[1] - looked_s[0] >= VIEW_GAP_S * 0.99


async def test_a_view_is_shown_once_and_nothing_after_the_end():
    shown: list[FleetView] = []
    views = deque([SAME, SAME, FleetView("tag", SAME.self_node, 1)])
    lookout = Lookout(views.popleft, shown.append)
    lookout.look_now()
    lookout.look_now()
    assert shown == [SAME]
    lookout.stir()
    lookout.stop()
    await asyncio.sleep(2 * VIEW_GAP_S)
    assert shown == [SAME] and len(views) == 1
