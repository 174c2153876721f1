"""The dashboard's screen of the fleet, by its keys and by what stands on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from textual.app import App
from textual.widgets import DataTable

from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.pictures import PeerPicture
from cortex.tui.app import CortexApp
from cortex.tui.screens.fleet import FleetScreen
from cortex.tui.widgets.live_table import LiveTable
from tests.tui.screens.tables import rows

MakeApp = Callable[..., CortexApp]
SIZES = [(80, 24), (120, 40)]


def peers_table(app: App[Any]) -> LiveTable[PeerPicture]:
    assert isinstance(app.screen, FleetScreen)
    return app.screen.table


async def test_before_the_first_word_it_says_where_it_looks_and_what_to_do(
    make_app: MakeApp, feed: Any, clock: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        clock.turn(4)
        feed.lose(None)
        await eyes.until(pilot, lambda: "for 4 s" in eyes.screen(pilot))
        text = eyes.screen(pilot)
        assert "Looked at borea:13131" in text
        assert "no peer answers at None" in text
        assert "cortex peer --join HOST:13132" in text
        assert "cortex doctor" in text
        assert "Filter" not in text
        feed.say(told.fleet([told.peer("atlas")]))
        await eyes.until(pilot, lambda: "Filter" in eyes.screen(pilot))


@pytest.mark.parametrize("size", SIZES)
async def test_every_peer_has_a_row_with_its_state_in_a_word(
    make_app: MakeApp, feed: Any, told: Any, size: tuple[int, int], eyes: Any
) -> None:
    async with make_app().run_test(size=size) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "delta has not" in eyes.screen(pilot))
        text = eyes.screen(pilot)
        atlas, borea, cirrus, delta = (
            next(line for line in text.splitlines() if name in line)
            for name in ("atlas", "borea", "cirrus", "delta")
        )
        assert "● up" in atlas and "2x H100 80GB" in atlas and "9+2" in atlas
        assert "1,904" in atlas and "qwen3.6-27b" in atlas
        assert "RTX 4090" in borea and "qwen3.5-4b" in borea
        assert "◐ loading" in cirrus and "74%" in cirrus
        assert "◌ suspect" in delta and "1,904" not in delta
        assert " 88% " in atlas and "88%" not in borea + delta, "no driver tells of theirs"
        # On a narrow screen the silence is told by the sentence alone.
        assert ("6.1s" in delta) == (size[0] == 120)
        assert ("120.0/160.0 GiB" if size[0] == 120 else "75%") in atlas
        assert "delta has not answered for 6.1s" in text
        assert "4 peers" in text and "18 running" in text and "4 waiting" in text
        assert "14:02:31" in text


async def test_a_model_with_a_long_name_is_cut_where_there_is_no_room(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    long = "a-very-long-name-of-a-model"
    async with make_app().run_test() as pilot:
        feed.say(told.fleet([told.peer("atlas", models=[told.model(long)])]))
        await eyes.until(pilot, lambda: "a-very-long-n…" in eyes.screen(pilot))
        assert long in eyes.shown(pilot, "#detail")


async def test_a_long_name_is_cut_and_the_mark_of_the_asked_peer_is_not(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        feed.say(told.fleet([told.peer("workstation-7"), told.peer("my-other-peer")]))
        await eyes.until(pilot, lambda: rows(pilot) == ["workst… *", "my-other…"])


async def test_the_cursor_chooses_whose_details_are_shown(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "H100" in eyes.shown(pilot, "#detail"))
        assert "60.0/80.0 GiB" in eyes.shown(pilot, "#detail")
        assert "on disk  qwen3.5-0.8b" in eyes.shown(pilot, "#detail")
        await pilot.press("j")
        await eyes.until(pilot, lambda: "RTX 4090" in eyes.shown(pilot, "#detail"))
        await pilot.press("k")
        await eyes.until(pilot, lambda: "H100" in eyes.shown(pilot, "#detail"))


async def test_a_filter_leaves_those_that_match_until_it_is_cleared(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: len(rows(pilot)) == 4)
        await pilot.press("slash", *"4090 q")
        await eyes.until(pilot, lambda: rows(pilot) == ["borea", "cirrus"])
        assert "/ 4090 q (2 of 4)" in eyes.screen(pilot)
        await pilot.press("escape")
        assert len(rows(pilot)) == 4
        # In a field a letter is a letter.
        await pilot.press("slash", "s", "u", "enter", "s")
        assert rows(pilot) == ["delta"]
        assert "by peer" in eyes.screen(pilot)


async def test_rows_are_sorted_by_one_column_after_the_other_and_back(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        feed.say(told.fleet([told.peer("zeta"), told.peer("alpha", state="draining")]))
        await eyes.until(pilot, lambda: rows(pilot) == ["zeta *", "alpha"])
        await pilot.press("s")
        assert rows(pilot) == ["alpha", "zeta *"]
        await pilot.press("S")
        assert rows(pilot) == ["zeta *", "alpha"]
        await pilot.press("s")
        assert "by state, reversed" in eyes.screen(pilot)
        await pilot.press("S", *"s" * 8)
        assert rows(pilot) == ["zeta *", "alpha"]
        assert " by " not in eyes.screen(pilot)


async def test_only_the_cells_that_changed_are_drawn_again(
    make_app: MakeApp, feed: Any, told: Any, monkeypatch: pytest.MonkeyPatch, eyes: Any
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        feed.say(told.fleet([told.peer("atlas"), told.peer("borea")]))
        await eyes.until(pilot, lambda: len(rows(pilot)) == 2)
        drawn: list[tuple[Any, Any]] = []
        table = peers_table(app)
        update = table.update_cell

        def note(node: Any, column: Any, value: Any) -> None:
            drawn.append((node, column))
            update(node, column, value)

        monkeypatch.setattr(table, "update_cell", note)
        monkeypatch.setattr(table, "add_row", None)
        feed.say(told.fleet([told.peer("atlas"), told.peer("borea", silent_s=9.9)]))
        feed.lose()
        await eyes.until(pilot, lambda: "lost" in eyes.screen(pilot))
        assert drawn == [("bo" * 8, "SEEN")]


async def test_a_peer_that_is_lost_is_told_at_once_and_its_last_picture_stays(
    make_app: MakeApp, feed: Any, clock: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: len(rows(pilot)) == 4)
        clock.turn(60)
        feed.lose()
        words = "lost 127.0.0.1:13131, trying again in 2 s (last data 14:02:31, 1m ago)"
        await eyes.until(pilot, lambda: words in eyes.screen(pilot))
        assert len(rows(pilot)) == 4
        feed.say(told.fleet([told.peer("borea")]), "borea:13131")
        await eyes.until(pilot, lambda: "last data" not in eyes.screen(pilot))
        assert "14:03:31  lost 127.0.0.1:13131: now reading from borea" in eyes.screen(pilot)


async def test_what_was_seen_before_is_shown_with_its_age_and_dimmed_until_a_peer_answers(
    make_app: MakeApp, feed: Any, clock: Any, acting: Any, before: Any, eyes: Any
) -> None:
    app = make_app(before=before)
    async with app.run_test() as pilot:
        await eyes.until(pilot, lambda: "as it was 3m ago; asking now" in eyes.screen(pilot))
        assert len(rows(pilot)) == 4
        assert pilot.app.screen.query_one("#body").has_class("-lost")
        assert acting.orders == []
        clock.turn(120)
        feed.lose(None)
        words = "as it was 5m ago, trying again in 2 s: no peer answers at None"
        await eyes.until(pilot, lambda: words in eyes.screen(pilot))
        app.frame.watched.beat()
        assert not any(app.frame.watched.course("at" * 8).tokens_per_s)
        assert len(rows(pilot)) == 4
        feed.say(before[0].told)
        await eyes.until(pilot, lambda: "as it was" not in eyes.screen(pilot))
        assert not pilot.app.screen.query_one("#body").has_class("-lost")
        assert "answers again" not in eyes.screen(pilot)


async def test_a_pause_holds_the_picture_and_says_for_how_long(
    make_app: MakeApp, feed: Any, clock: Any, told: Any, eyes: Any
) -> None:
    app = make_app(refresh_s=0.02)
    async with app.run_test() as pilot:
        feed.say(told.fleet([told.peer("atlas")]))
        await eyes.until(pilot, lambda: rows(pilot) == ["atlas *"])
        await pilot.press("p")
        clock.turn(12)
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "PAUSED 12s" in eyes.screen(pilot))
        assert rows(pilot) == ["atlas *"]
        await pilot.press("s", "slash", "t", "enter")
        assert rows(pilot) == ["atlas *"], "what is ordered and left out is what is held"
        await pilot.press("escape", "p")
        assert len(rows(pilot)) == 4
        assert "PAUSED" not in eyes.screen(pilot)


async def test_what_happens_is_noted_with_its_time(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app(refresh_s=0.02).run_test(size=(120, 40)) as pilot:
        fleet = told.fleet([told.peer("atlas")], ["no multicast"])
        feed.say(fleet)
        await eyes.until(pilot, lambda: "no multicast" in eyes.screen(pilot))
        # Many at once: none of them may be lost with a sight that makes others superfluous.
        for number in range(3):
            feed.say(fleet, happened=f"unloaded model-{number} after 10 min idle")
        for _ in range(20):
            feed.say(fleet)
        await eyes.until(pilot, lambda: "model-2" in eyes.screen(pilot))
        time = eyes.screen(pilot).partition("  atlas  unloaded model-0 after")[0][-8:]
        assert time == f"{told.MOMENT:%H:%M:%S}"


async def test_what_had_happened_before_is_told_late_and_twice_and_shown_once_in_order(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app(refresh_s=0.02).run_test(size=(120, 40)) as pilot:
        fleet = told.fleet([told.peer("atlas")])
        ago = [told.MOMENT - timedelta(minutes=minutes) for minutes in (3, 2, 1)]
        for at in (1, 2, 0, 1):
            feed.say(fleet, happened=f"loaded model-{at}", at=ago[at])
        # As another peer saw it.
        feed.say(fleet, happened="loaded model-0", at=ago[0] + timedelta(seconds=1))
        feed.say(fleet, happened="loaded model-x", at=told.MOMENT - timedelta(days=2))
        await eyes.until(pilot, lambda: "model-x" in eyes.screen(pilot))
        _, *lines = eyes.shown(pilot, "#events").splitlines()
        assert [line.split()[-1] for line in lines] == ["model-2", "model-1", "model-0", "model-x"]
        assert (lines[0][:8], lines[-1][:15]) == ("14:01:25", "Nov 19 14:02:25")


async def test_text_of_others_is_text_and_no_markup(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        feed.say(told.fleet([told.peer("[red]x[/]", api="[b]:1")], ["[blink]no[/blink]"]))
        await eyes.until(pilot, lambda: "[red]x[/]" in eyes.screen(pilot))
        assert "[blink]no[/blink]" in eyes.screen(pilot)
        assert "http://[b]:1/v1" in eyes.screen(pilot)
        await pilot.press("slash", *"[b]")
        assert "/ [b] (1 of 1)" in eyes.screen(pilot)


async def test_a_terminal_too_small_is_asked_for_room(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test(size=(50, 12)) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "Too little room" in eyes.screen(pilot))
        assert "atlas" not in eyes.screen(pilot)
        await pilot.resize_terminal(80, 24)
        await eyes.until(pilot, lambda: "atlas" in eyes.screen(pilot))
        assert "Too little room" not in eyes.screen(pilot)


async def test_what_a_peer_that_is_gone_had_is_told_as_what_was(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app(refresh_s=0.02).run_test(size=(120, 40)) as pilot:
        feed.say(told.fleet([told.peer("atlas", state="dead")]))
        await eyes.until(pilot, lambda: "qwen3.6-27b  was ready" in eyes.shown(pilot, "#detail"))
        feed.say(told.fleet([told.peer("atlas")]))
        await eyes.until(pilot, lambda: "qwen3.6-27b  ready" in eyes.shown(pilot, "#detail"))


async def test_the_cursor_stays_on_its_peer_in_a_terminal_of_another_size(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "delta" in eyes.screen(pilot))
        await pilot.press("j", "j")
        chosen = peers_table(pilot.app).chosen
        assert chosen is not None and peers_table(pilot.app).cursor_row == 2
        for size in ((120, 40), (200, 50), (81, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert pilot.app.size == size
            assert peers_table(pilot.app).chosen == chosen


async def test_the_keys_are_listed_and_put_away_again(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app(keys={"table.filter": "f"}).run_test(size=(120, 60)) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "delta" in eyes.screen(pilot))
        await pilot.press("question_mark")
        await eyes.until(pilot, lambda: "table.filter" in eyes.screen(pilot))
        [line] = [line for line in eyes.screen(pilot).splitlines() if "table.filter" in line]
        assert line.split()[1] == "f" and "Leave the rows that match." in line
        assert "Tokens a second of one answer" in eyes.screen(pilot)
        await pilot.press("question_mark")
        await eyes.until(pilot, lambda: "table.filter" not in eyes.screen(pilot))


async def test_what_is_ordered_of_a_peer_is_asked_first(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    async with make_app().run_test(size=(120, 40)) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "l Load" in eyes.screen(pilot))
        acting.answers["POST /models/plan"] = told.planned("qwen3.5-0.8b", told.plan("atlas"))
        await pilot.press("l")
        await eyes.until(pilot, lambda: "load on atlas" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "This is only a plan" in eyes.screen(pilot))
        assert ("POST", "/models/plan", {"model": "qwen3.5-0.8b", "peer": "atlas"}) in acting.orders
        await pilot.press("escape", "u")
        await eyes.until(pilot, lambda: "unload from atlas" in eyes.screen(pilot))
        await pilot.press("enter", "D")
        await eyes.until(pilot, lambda: "drain atlas" in eyes.screen(pilot))
        assert [one for one in acting.orders if one[1] == "/drain"] == []
        await pilot.press("escape", "D", "enter")
        await eyes.until(pilot, lambda: ("POST", "/drain", {"peer": "atlas"}) in acting.orders)
        unload = {"model": "qwen3.6-27b", "peer": "atlas", "force": False, "wait": False}
        assert [one[2] for one in acting.orders if one[1] == "/models/unload"] == [unload]
        assert len([one for one in acting.orders if one[1] == "/drain"]) == 1


async def test_whoever_only_looks_on_has_no_keys_for_orders(
    make_app: MakeApp, feed: Any, told: Any, read_only: Any, eyes: Any
) -> None:
    async with make_app(acting=read_only).run_test(size=(120, 40)) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "l Load" in eyes.screen(pilot))
        assert "Unload" not in eyes.screen(pilot) and "Drain" not in eyes.screen(pilot)
        await pilot.press("D", "enter", "u", "enter")
        assert [method for method, _, _ in read_only.orders if method != "GET"] == []


async def test_a_peer_in_full_says_what_it_is_and_whom_it_reaches(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    acting.answers["GET /fleet/peers/" + "at" * 8] = told.closely("atlas")
    async with make_app().run_test(size=(120, 40)) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "reuse 63%" in eyes.screen(pilot))
        assert "util 92%  61 °C  412 W" in eyes.screen(pilot)
        assert "ttft p50 0.21 s · p95 0.84 s" in eyes.screen(pilot)
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "round trips" in eyes.screen(pilot))
        text = eyes.screen(pilot)
        assert "Peer atlas" in text and "borea 0.4 ms" in text
        assert f"{told.MOMENT:%H:%M:%S}  loaded qwen3.6-27b in 11.4 s" in text
        assert "atatatatatatatat" in text and "weights 25.6 · cache 20.5" in text
        await pilot.press("escape")
        await eyes.until(pilot, lambda: "events" in eyes.screen(pilot))


async def test_a_peer_that_cannot_be_seen_closely_is_shown_as_everybody_sees_it(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    acting.answers["GET /fleet/peers/" + "at" * 8] = NoPeer("atlas does not answer closely")
    async with make_app().run_test(size=(120, 40)) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "60.0/80.0 GiB" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "atlas does not answer closely" in eyes.screen(pilot))
        feed.say(told.fleet([told.peer("borea")]))
        await pilot.pause(0.05)
        await pilot.press("r")
        await eyes.until(pilot, lambda: "no longer in the fleet" in eyes.screen(pilot))


async def test_quitting_closes_the_feed(make_app: MakeApp, feed: Any) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert feed.is_closed
    assert app.return_code == 0


async def test_nothing_is_drawn_while_the_screen_goes(
    make_app: MakeApp, feed: Any, told: Any, monkeypatch: pytest.MonkeyPatch, eyes: Any
) -> None:
    app = make_app(refresh_s=0.01)
    has_gone = asyncio.Event()

    async def leave_last(_: DataTable[Any]) -> None:
        """Beats and news go on until the slowest widget has gone."""
        assert not app.screen.query("#title")
        feed.say(told.fleet([told.peer("borea")]))
        for _beat in range(10):
            await asyncio.sleep(0.01)
        has_gone.set()

    monkeypatch.setattr(DataTable, "on_unmount", leave_last, raising=False)
    async with app.run_test() as pilot:
        feed.say(told.fleet([told.peer("atlas")]))
        await eyes.until(pilot, lambda: rows(pilot) == ["atlas *"])
    assert has_gone.is_set()
