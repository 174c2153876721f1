"""The dashboard's screen of the requests, by its keys, by what stands on it and what it orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from cortex.peer.errors import NoPeer, RequestNotFound
from cortex.tui.app import CortexApp
from tests.tui.screens.tables import rows, table_of

MakeApp = Callable[..., CortexApp]
Show = Callable[[Pilot[None]], Any]


@pytest.fixture
def show(opened: Any) -> Show:
    """The screen of the requests of a fleet of four, as soon as it shows some."""
    return lambda pilot: opened(pilot, "3", "7f317f")


async def test_every_request_has_a_row_with_its_stage_in_the_users_words(
    make_app: MakeApp, show: Show, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        cells = {
            row: next(line for line in eyes.screen(pilot).splitlines() if row in line[:10]).split()
            for row in rows(pilot)
        }
        decode, prefill, loading, waiting = cells.values()
        assert decode[2:-1] == [
            "qwen3.6-27b",
            "atlas",
            "decode",
            *["3,830", "43", "0.62s", "70", "1.2s"],
        ]
        assert prefill[4:-1] == ["prefill", "41%", "98.1k", "0", "-", "-", "6.8s"]
        assert loading[3:6] == [">cirrus", "loading", "74%"]
        assert waiting[4:6] == ["waiting", "#1"]
        assert "Requests  2 running  2 waiting" in eyes.screen(pilot)


async def test_the_chosen_request_is_told_in_full_and_nobodys_words_with_it(
    make_app: MakeApp, show: Show, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        assert eyes.shown(pilot, "#detail").splitlines() == [
            "qwen3.6-27b, decode, for 1.2s",
            "came to atlas, answered by atlas, in the openai dialect",
            "prompt 3,830 tokens, answer 43 so far",
            "first token after 0.62s, since then 70 tok/s",
            "waited 0.0s to be read; the model was there",
        ]
        await pilot.press("j", "j")
        assert "asked again once" in eyes.shown(pilot, "#detail")


async def test_a_request_is_cancelled_by_a_second_key_alone(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any
) -> None:
    def cancelled() -> list[str]:
        return [path for method, path, _ in acting.orders if method == "DELETE"]

    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("j", "x")
        await eyes.until(pilot, lambda: f"cancel req_{'7f39' * 6}" in eyes.screen(pilot))
        await pilot.press("escape")
        assert cancelled() == []
        await pilot.press("x", "enter")
        await eyes.until(pilot, lambda: cancelled() == [f"/requests/req_{'7f39' * 6}"])


async def test_the_cursor_stays_in_its_place_where_its_request_has_ended(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("j", "j")
        told = acting.answers["GET /requests?fleet=1"]["requests"]
        del told[2]
        await pilot.press("r")
        await eyes.until(pilot, lambda: len(rows(pilot)) == 3)
        assert table_of(pilot).chosen == told[2]["id"]
        del told[2]
        await pilot.press("r")
        await eyes.until(pilot, lambda: len(rows(pilot)) == 2)
        assert table_of(pilot).chosen == told[1]["id"], "the last there is"


async def test_what_is_seen_stays_where_it_is_while_requests_come_and_go(
    make_app: MakeApp, show: Show, acting: Any, told: Any, eyes: Any
) -> None:
    requests = [told.request(f"{number:024}") for number in range(60)]
    async with make_app().run_test() as pilot:
        await show(pilot)

        async def tell(requests: list[Any]) -> None:
            acting.answers["GET /requests?fleet=1"] = {"requests": requests}
            await pilot.press("r")
            await eyes.until(pilot, lambda: len(rows(pilot)) == len(requests))
            await pilot.pause()

        await tell(requests)
        table = table_of(pilot)
        table.scroll_to(y=20, animate=False)
        await pilot.pause()
        await tell([*requests, told.request(f"{60:024}")])
        assert (table.scroll_y, table.cursor_row) == (20, 0)
        table.choose(requests[50]["id"])
        await pilot.pause()
        top = table.scroll_y
        await tell(requests[:-1])
        assert (table.scroll_y, table.cursor_row) == (top, 50)
        await tell(requests[30:])
        assert table.cursor_row == 20
        assert table.scroll_y <= 20 < table.scroll_y + 10, "the cursor is never lost of sight"


async def test_a_request_that_has_just_ended_cannot_be_cancelled_and_that_is_told(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any
) -> None:
    error = RequestNotFound("no request 'req_7f3a' is under way", "GET /requests lists those")
    acting.answers[f"DELETE /requests/req_{'7f3a' * 6}"] = error
    async with make_app().run_test(size=(120, 40), notifications=True) as pilot:
        await show(pilot)
        await pilot.press("x", "enter")
        await eyes.until(pilot, lambda: "no request 'req_7f3a' is under" in eyes.screen(pilot))


async def test_who_only_looks_on_has_no_key_to_cancel(
    make_app: MakeApp, feed: Any, told: Any, read_only: Any, eyes: Any
) -> None:
    read_only.answers |= told.some_requests()
    async with make_app(acting=read_only).run_test(size=(120, 40)) as pilot:
        feed.say(told.four_peers())
        await pilot.press("3")
        await eyes.until(pilot, lambda: "7f317f" in eyes.screen(pilot))
        assert "Cancel" not in eyes.screen(pilot)
        await pilot.press("x", "enter")
        assert all(method == "GET" for method, _, _ in read_only.orders)


async def test_a_filter_and_a_copied_id_are_of_the_whole_id(
    make_app: MakeApp, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test() as pilot:
        await show(pilot)
        await pilot.press("slash", *"cirrus", "enter", "c")
        assert copied == [f"req_{'7f35' * 6}"]
        assert rows(pilot) == ["7f357f"]


async def test_an_idle_fleet_says_so(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    acting.answers["GET /requests?fleet=1"] = {"requests": []}
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await pilot.press("3")
        await eyes.until(pilot, lambda: "Try: cortex chat" in eyes.screen(pilot))


async def test_a_peer_that_does_not_say_is_named(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    acting.answers |= told.some_requests()
    missing = {"peer": "delta", "error": {"message": "it is silent"}}
    acting.answers["GET /requests?fleet=1"]["missing"] = [missing]
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await pilot.press("3")
        await eyes.until(pilot, lambda: "delta does not say" in eyes.screen(pilot))


async def test_nonsense_of_a_peer_is_a_line_and_no_crash(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    acting.answers["GET /requests?fleet=1"] = {"requests": [{"id": 7}]}
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await pilot.press("3")
        await eyes.until(pilot, lambda: "cannot be read" in eyes.screen(pilot))
        acting.answers |= told.some_requests()
        await pilot.press("r")
        await eyes.until(pilot, lambda: len(rows(pilot)) == 4)
        assert "cannot be read" not in eyes.screen(pilot)


async def test_while_nobody_answers_at_all_the_feed_says_so_alone(
    make_app: MakeApp, show: Show, feed: Any, acting: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        acting.answers["GET /requests?fleet=1"] = NoPeer("no peer answers")
        feed.lose()
        await pilot.press("r")
        await eyes.until(pilot, lambda: "lost 127.0.0.1:13131" in eyes.screen(pilot))
        assert len(rows(pilot)) == 4
        assert "no peer answers" not in eyes.screen(pilot)
