"""The dashboard's screen of the models, by its keys, by what stands on it and what it orders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen

from cortex.engine.errors import CortexError
from cortex.peer.errors import NoPeer
from cortex.tui.app import CortexApp
from cortex.tui.screens.plan import PlanDialog
from tests.tui.screens.tables import rows, table_of

MakeApp = Callable[..., CortexApp]
Show = Callable[[Pilot[None]], Any]


@pytest.fixture
def show(opened: Any) -> Show:
    """The screen of the models of a fleet of four, as soon as it shows some."""
    return lambda pilot: opened(pilot, "2", "qwen3.5-0.8b")


def orders(acting: Any) -> list[tuple[str, str, Any]]:
    return [(method, path, body) for method, path, body in acting.orders if method != "GET"]


async def test_every_model_has_a_row_with_its_state_in_a_word(
    make_app: MakeApp, show: Show, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        lines = eyes.screen(pilot).splitlines()
        shown = {row: next(line for line in lines if row in line[:24]) for row in rows(pilot)}
        assert shown["qwen3.6-27b"].split()[1:] == [
            *("qwen3.6-27b", "51.2", "GiB", "256k", "yes"),
            *("●", "warm", "atlas", "0", "-", "9+2", "│"),
        ]
        assert "● pinned    borea, delta       -    3" in shown["qwen3.5-4b"]
        assert "◐ 74%       cirrus 0         ~3s    2" in shown["qwen3.5-9b"]
        assert "32k no  ○ disk      atlas, borea, …  ~2s" in shown["qwen3.5-0.8b"]
        assert "✕ failed    atlas" in shown["broken-2b"]
        assert "Models  2 warm  1 loading  1 failed  3 on disk" in lines[0]


async def test_a_model_larger_than_every_device_has_no_room(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    acting.answers |= told.some_models()
    async with make_app().run_test() as pilot:
        feed.say(told.fleet([told.peer("atlas")]))
        await pilot.press("2")
        await eyes.until(pilot, lambda: "✕ no room   needs 438.0 GiB" in eyes.screen(pilot))


async def test_a_name_is_cut_before_what_tells_two_of_it_apart(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    twins = [told.listed("qwen3.6-27b", 51.2), told.listed("qwen3.6-27b@0badcafe", 51.2)]
    acting.answers |= {"GET /models": {"models": twins}, "GET /jobs?fleet=1": {"jobs": []}}
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await pilot.press("2")
        await eyes.until(pilot, lambda: rows(pilot) == ["qwen3.6-27b", "qwen3.…@0badcafe"])


async def test_text_of_others_is_text_and_no_markup(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    id, peer = "[red]x[/]", "[b]atlas"
    model = told.listed(id, 1, warm=[told.warm(peer)])
    acting.answers |= {"GET /models": {"models": [model]}, "GET /jobs?fleet=1": {"jobs": []}}
    acting.answers["POST /models/plan"] = told.planned(id, told.plan(peer))
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await pilot.press("2")
        await eyes.until(pilot, lambda: f"─ {id} ─" in eyes.screen(pilot))
        await pilot.press("u")
        await eyes.until(pilot, lambda: f"unload {id} ─" in eyes.screen(pilot))
        assert f"on {peer}, device 0" in eyes.screen(pilot)
        await pilot.press("escape", "l")
        await eyes.until(pilot, lambda: f"'{id}' would be loaded on {peer}" in eyes.screen(pilot))
        assert f"plan: load {id} ─" in eyes.screen(pilot)


async def test_the_chosen_model_is_told_in_full_with_what_its_load_failed_with(
    make_app: MakeApp, show: Show, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        assert "atlas 0  ready  74.0 GiB  32k x 4  9 running, 2 waiting" in eyes.shown(
            pilot, "#detail"
        )
        await pilot.press("j", "j")
        detail = eyes.shown(pilot, "#detail")
        assert "load on cirrus: loading   12.3/16.7 GiB   73 %   1.5 GiB/s   3 s left" in detail
        await pilot.press("j", "j")
        assert eyes.shown(pilot, "#detail").splitlines()[-2:] == [
            "load on atlas failed: model.safetensors is cut off",
            "hint: get it",
        ]


async def test_of_a_failed_load_enter_shows_what_its_peer_logged(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any
) -> None:
    line = {"time": 0, "level": "warning", "source": "engine", "text": "load failed: cut off"}
    asked = "GET /logs?peer=atlas&since_s=600&level=warning"
    acting.answers[asked] = {"peer": "atlas", "skipped": 0, "lines": [line]}
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("enter")
        assert not any("/logs" in path for _, path, _ in acting.orders)
        await pilot.press("enter", *"jjjj", "enter")
        await eyes.until(pilot, lambda: "warning  load failed: cut off" in eyes.screen(pilot))


async def test_the_screen_is_filtered_and_sorted_like_the_others(
    make_app: MakeApp, show: Show
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("slash", *"borea", "enter")
        assert rows(pilot) == ["qwen3.5-4b", "qwen3.5-0.8b"]
        await pilot.press("escape", "s", "s")
        assert rows(pilot)[:3] == ["qwen3.6-235b", "qwen3.6-35b-a3b", "qwen3.6-27b"]


async def test_a_load_is_planned_first_and_ordered_by_enter_where_the_plan_puts_it(
    make_app: MakeApp, show: Show, told: Any, acting: Any, eyes: Any
) -> None:
    refusals = [told.refusal("borea", "too large", "24 GiB: too small")]
    acting.answers["POST /models/plan"] = told.planned("qwen3.6-27b", told.plan("atlas"), refusals)
    acting.answers["POST /models/load"] = told.job("load", "qwen3.6-27b", "atlas")
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "This is only a plan." in eyes.screen(pilot))
        text = eyes.screen(pilot)
        assert "plan: load qwen3.6-27b" in text
        assert "qwen3.6-27b goes  69.0 GiB  idle for 4m; 11s to bring back" in text
        assert "free after         5.7 GiB" in text
        assert "enter Carry out" in text and "Load when idle" not in text
        assert [path for _, path, _ in orders(acting)] == ["/models/plan"]
        await pilot.press("enter")
        await eyes.until(pilot, lambda: not isinstance(pilot.app.screen, PlanDialog))
        order = {"model": "qwen3.6-27b", "peer": "atlas", "wait": False}
        assert orders(acting)[1:] == [("POST", "/models/load", order)]


async def test_a_plan_of_many_lines_is_scrolled_and_says_what_to_do_all_the_time(
    make_app: MakeApp, show: Show, told: Any, acting: Any, eyes: Any
) -> None:
    refusals = [told.refusal(f"peer-{n}", "too large", "50.3 GiB short") for n in range(40)]
    acting.answers["POST /models/plan"] = told.planned("qwen3.6-27b", told.plan("atlas"), refusals)
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "would be loaded on atlas" in eyes.screen(pilot))
        assert "This is only a plan" in eyes.screen(pilot)
        assert "peer-39" not in eyes.screen(pilot)
        await pilot.press(*"j" * 50)
        await eyes.until(pilot, lambda: "peer-39" in eyes.screen(pilot))
        assert "This is only a plan" in eyes.screen(pilot)
        await pilot.press(*"k" * 50)
        await eyes.until(pilot, lambda: "would be loaded on atlas" in eyes.screen(pilot))


async def test_a_plan_that_is_dropped_does_nothing(
    make_app: MakeApp, show: Show, told: Any, acting: Any, eyes: Any
) -> None:
    acting.answers["POST /models/plan"] = told.planned("qwen3.6-27b", told.plan("atlas"))
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "This is only a plan." in eyes.screen(pilot))
        await pilot.press("escape")
        assert [path for _, path, _ in orders(acting)] == ["/models/plan"]
        assert not isinstance(pilot.app.screen, PlanDialog)


async def test_what_is_busy_is_waited_for_by_another_key(
    make_app: MakeApp, show: Show, told: Any, acting: Any, eyes: Any
) -> None:
    refusals = [
        told.refusal("borea", "too large", "24 GiB: too small"),
        told.refusal("atlas", "busy", "9 requests run on 'qwen3.6-27b'"),
    ]
    acting.answers["POST /models/plan"] = told.planned("qwen3.6-27b", None, refusals)
    acting.answers["POST /models/load"] = told.job("load", "qwen3.6-27b", "atlas")
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "w orders it on atlas" in eyes.screen(pilot))
        assert "Carry out" not in eyes.screen(pilot)
        await pilot.press("enter")
        assert len(orders(acting)) == 1
        await pilot.press("w")
        await eyes.until(pilot, lambda: len(orders(acting)) == 2)
        assert orders(acting)[1][2]["peer"] == "atlas"


async def test_where_waiting_would_not_help_there_is_nothing_to_order(
    make_app: MakeApp, show: Show, told: Any, acting: Any, eyes: Any
) -> None:
    refusals = [told.refusal("borea", "too large", "24 GiB: too small")]
    acting.answers["POST /models/plan"] = told.planned("qwen3.6-27b", None, refusals)
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "Waiting would not help" in eyes.screen(pilot))
        await pilot.press("enter", "w")
        assert len(orders(acting)) == 1


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (NoPeer("no peer answers", "start one"), "start one"),
        ({"model": 7}, "cannot be read"),
    ],
)
async def test_a_plan_that_cannot_be_had_is_told_in_its_place(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any, plan: Any, words: str
) -> None:
    acting.answers["POST /models/plan"] = plan
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: words in eyes.screen(pilot))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (CortexError("atlas takes no orders", "ask it why"), "ask it why"),
        ({"id": 7}, "cannot be read"),
    ],
)
async def test_a_refused_load_leaves_the_plan_with_the_reason(
    make_app: MakeApp, show: Show, told: Any, acting: Any, eyes: Any, said: Any, words: str
) -> None:
    acting.answers["POST /models/plan"] = told.planned("qwen3.6-27b", told.plan("atlas"))
    acting.answers["POST /models/load"] = said
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "This is only a plan." in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: words in eyes.screen(pilot))
        assert "plan: load" in eyes.screen(pilot)


async def test_while_a_load_is_ordered_it_is_not_planned_again(
    make_app: MakeApp, show: Show, told: Any, acting: Any, eyes: Any, monkeypatch: Any
) -> None:
    acting.answers["POST /models/plan"] = told.planned("qwen3.6-27b", told.plan("atlas"))
    answered = asyncio.Event()

    async def load(model: str, peer: str | None = None) -> dict[str, Any]:
        await answered.wait()
        return told.job("load", model, peer)

    monkeypatch.setattr(acting, "load", load)
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "This is only a plan." in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "ordering it" in eyes.screen(pilot))
        await pilot.press("r")
        answered.set()
        await eyes.until(pilot, lambda: not isinstance(pilot.app.screen, PlanDialog))
        assert [path for _, path, _ in orders(acting)] == ["/models/plan"]


async def test_a_load_that_is_ordered_while_another_screen_is_on_top_ends_the_plan_after_that(
    make_app: MakeApp, show: Show, told: Any, acting: Any, eyes: Any, monkeypatch: Any
) -> None:
    acting.answers["POST /models/plan"] = told.planned("qwen3.6-27b", told.plan("atlas"))
    goes_on = asyncio.Event()
    num_ordered = 0

    async def load(model: str, peer: str | None = None) -> dict[str, Any]:
        nonlocal num_ordered
        num_ordered += 1
        await goes_on.wait()
        return told.job("load", model, peer)

    monkeypatch.setattr(acting, "load", load)
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "This is only a plan." in eyes.screen(pilot))
        plan, on_top = pilot.app.screen, ModalScreen[None]()
        await pilot.press("enter")
        await eyes.until(pilot, lambda: num_ordered == 1)
        await pilot.app.push_screen(on_top)
        goes_on.set()
        await eyes.until(pilot, lambda: all(one.node is not plan for one in plan.workers))
        assert pilot.app.screen is on_top
        on_top.dismiss()
        await eyes.until(pilot, lambda: not plan.is_attached)
        assert num_ordered == 1


async def test_an_unload_says_what_it_ends_and_waits_for_a_second_key(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("u")
        await eyes.until(pilot, lambda: "once its 11 requests ended" in eyes.screen(pilot))
        assert "on atlas, device 0, now: breaks off its 11 requests" in eyes.screen(pilot)
        await pilot.press("escape")
        assert orders(acting) == []
        await pilot.press("u", "enter")
        await eyes.until(pilot, lambda: bool(orders(acting)))
        body = {"model": "qwen3.6-27b", "peer": "atlas", "force": False, "wait": False}
        assert orders(acting) == [("POST", "/models/unload", body)]
        await pilot.press("u", "j", "enter")
        await eyes.until(pilot, lambda: len(orders(acting)) == 2)
        assert orders(acting)[1][2] == body | {"force": True}


async def test_a_dialog_names_the_keys_as_they_are_set(
    make_app: MakeApp, show: Show, told: Any, acting: Any, eyes: Any
) -> None:
    acting.answers["POST /models/plan"] = told.planned("qwen3.6-27b", told.plan("atlas"))
    keys = {"choice.carry_out": "f2", "choice.drop": "n", "plan.carry_out": "f3"}
    async with make_app(keys=keys).run_test() as pilot:
        await show(pilot)
        await pilot.press("l")
        await eyes.until(pilot, lambda: "f3 carries it out, esc drops it" in eyes.screen(pilot))
        await pilot.press("escape", "u")
        await eyes.until(pilot, lambda: "f2 does it, n drops it." in eyes.screen(pilot))
        await pilot.press("n", "u", "f2")
        await eyes.until(pilot, lambda: orders(acting)[-1][1] == "/models/unload")


async def test_of_several_copies_it_is_asked_which_one_goes(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("j", "u")
        await eyes.until(pilot, lambda: "on delta, device 0" in eyes.screen(pilot))
        assert (
            "on borea, device 0, now: though it is pinned, breaks off its 3 requests"
            in eyes.screen(pilot)
        )
        await pilot.press("j", "enter")
        await eyes.until(pilot, lambda: bool(orders(acting)))
        assert orders(acting)[0][2]["peer"] == "delta"


async def test_a_choice_among_many_says_what_to_do_all_the_time(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    model = told.listed("qwen", 1, warm=[told.warm(f"peer-{n}") for n in range(40)])
    acting.answers |= {"GET /models": {"models": [model]}, "GET /jobs?fleet=1": {"jobs": []}}
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await pilot.press("2")
        await eyes.until(pilot, lambda: rows(pilot) == ["qwen"])
        await pilot.press("u")
        await eyes.until(pilot, lambda: "on peer-0, device 0" in eyes.screen(pilot))
        assert "Nothing is done yet" in eyes.screen(pilot)
        await pilot.press("k")
        await eyes.until(pilot, lambda: "on peer-39, device 0" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: bool(orders(acting)))
        assert orders(acting)[0][2]["peer"] == "peer-39"


async def test_a_model_is_pinned_at_once_and_of_two_copies_the_chosen_one(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        await pilot.press("P")
        await eyes.until(pilot, lambda: len(orders(acting)) == 1)
        await pilot.press("j", "P")
        await eyes.until(pilot, lambda: "unpin it on borea" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: len(orders(acting)) == 2)
        assert orders(acting) == [
            ("POST", "/models/pin", {"model": "qwen3.6-27b", "peer": "atlas"}),
            ("POST", "/models/unpin", {"model": "qwen3.5-4b", "peer": "borea"}),
        ]


async def test_a_load_under_way_can_be_cancelled_and_no_other(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any
) -> None:
    async with make_app().run_test(size=(120, 40)) as pilot:
        await show(pilot)
        assert "Cancel load" not in eyes.screen(pilot)
        await pilot.press("x", "j", "j")
        await eyes.until(pilot, lambda: "x Cancel load" in eyes.screen(pilot))
        await pilot.press("x")
        await eyes.until(pilot, lambda: "end the load on cirrus" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: bool(orders(acting)))
        assert orders(acting) == [("DELETE", "/jobs/job_cirrus_1", None)]


async def test_who_only_looks_on_sees_plans_and_has_no_keys_for_orders(
    make_app: MakeApp, feed: Any, told: Any, read_only: Any, eyes: Any
) -> None:
    read_only.answers |= told.some_models()
    read_only.answers["POST /models/plan"] = told.planned("qwen3.6-27b", told.plan("atlas"))
    async with make_app(acting=read_only).run_test(size=(120, 40)) as pilot:
        feed.say(told.four_peers())
        await pilot.press("2")
        await eyes.until(pilot, lambda: "qwen3.5-0.8b" in eyes.screen(pilot))
        text = eyes.screen(pilot)
        assert "l Load" in text and "Unload" not in text and "Pin" not in text
        await pilot.press("u", "P", "l")
        await eyes.until(pilot, lambda: "only looks on" in eyes.screen(pilot))
        await pilot.press("enter", "w")
        assert [path for _, path, _ in orders(read_only)] == ["/models/plan"]


async def test_what_was_told_last_stays_with_its_age_while_nobody_tells_more(
    make_app: MakeApp, show: Show, acting: Any, clock: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        await show(pilot)
        acting.answers["GET /models"] = NoPeer("the peer at b:1 has been silent for 15 s")
        clock.turn(42)
        await pilot.press("r")
        words = "the peer at b:1 has been silent for 15 s (last data 42s ago)"
        await eyes.until(pilot, lambda: words in eyes.screen(pilot))
        assert len(rows(pilot)) == 7
        assert table_of(pilot).has_class("-stale")


async def test_a_fleet_without_weights_is_told_what_to_do(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any
) -> None:
    acting.answers |= {"GET /models": {"models": []}, "GET /jobs?fleet=1": {"jobs": []}}
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await pilot.press("2")
        await eyes.until(pilot, lambda: "cortex peer --models DIR" in eyes.screen(pilot))


async def test_a_paused_screen_asks_for_nothing_and_keeps_what_it_has(
    make_app: MakeApp, show: Show, acting: Any, eyes: Any
) -> None:
    async with make_app(refresh_s=0.05).run_test() as pilot:
        await show(pilot)
        await pilot.press("p")
        await eyes.until(pilot, lambda: "PAUSED" in eyes.screen(pilot))
        acting.orders.clear()
        await pilot.pause(0.2)
        assert acting.orders == []
        assert len(rows(pilot)) == 7


async def test_a_hidden_screen_asks_for_nothing_and_a_shown_one_once_at_a_time(
    make_app: MakeApp, feed: Any, told: Any, acting: Any, eyes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    asked: list[str] = []

    async def ask(path: str, **query: Any) -> dict[str, Any]:
        if path.startswith("/fleet/"):
            return {}
        asked.append(path)
        await gate.wait()
        return told.some_models()[f"GET {path}{'?fleet=1' * bool(query)}"]

    monkeypatch.setattr(acting, "ask", ask)
    async with make_app(refresh_s=0.05).run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "atlas" in eyes.screen(pilot))
        assert asked == []
        await pilot.press("2")
        await pilot.pause(0.2)
        assert asked == ["/models", "/jobs"]
        gate.set()
        await eyes.until(pilot, lambda: len(asked) > 4)
        await pilot.press("1")
        await pilot.pause(0.2)
        num_asked = len(asked)
        await pilot.pause(0.2)
        assert len(asked) == num_asked
