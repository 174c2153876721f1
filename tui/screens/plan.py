"""What loading a model would do, before it is done: where, how much, what goes, why not elsewhere.

The plan is the peer's. Nothing happens until it is told to carry it out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from cortex.engine.errors import CortexError
from cortex.peer.onlooker.job_pictures import JobPicture, read_job
from cortex.peer.onlooker.plan_pictures import PlannedPicture, read_planned
from cortex.peer.onlooker.plan_wording import plan_lines
from cortex.peer.onlooker.understanding import understood

from ..frame import Frame
from ..widgets.keys_line import KeysLine, key_of
from .modal import Modal

T = TypeVar("T")


class PlanDialog(Modal[JobPicture | None]):
    """For a model, on any peer of the fleet or on the one that is named. Ends with the job that it
    has begun, or None.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "carry_out", "Carry out", key_display="enter", id="plan.carry_out"),
        Binding("w", "wait", "Load when idle", id="plan.wait"),
        Binding("r", "ask_again", "Plan again", id="plan.ask_again"),
        Binding("escape", "drop", "Drop it", id="plan.drop"),
        Binding("j,down", "scroll('scroll_down')", "Down", id="plan.down", show=False),
        Binding("k,up", "scroll('scroll_up')", "Up", id="plan.up", show=False),
    ]

    def __init__(self, frame: Frame, model: str, peer: str | None = None) -> None:
        super().__init__()
        self._frame = frame
        self._model = model
        self._peer = peer
        self._planned: PlannedPicture | None = None
        self._is_ordering = False
        self._job: JobPicture | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            on = "" if self._peer is None else f" on {self._peer}"
            dialog.border_title = Text(f"plan: load {self._model}{on}").markup
            with VerticalScroll(can_focus=False):
                yield Static("asking the peers...", id="plan", markup=False)
            yield Static(id="outlook", markup=False)
        yield KeysLine()

    def on_mount(self) -> None:
        self.action_ask_again()

    def on_screen_resume(self) -> None:
        """Not before: an order may end while another screen is on top."""
        if self._job is not None:
            self.dismiss(self._job)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What cannot be done now is no key."""
        if action == "carry_out":
            return self._can_order and self._place is not None
        if action == "wait":
            return self._can_order and self._planned is not None and bool(self._planned.waits_at)
        if action == "ask_again":
            return not self._is_ordering
        return True

    def action_ask_again(self) -> None:
        self.run_worker(self._plan(), exclusive=True, group="plan")

    def action_carry_out(self) -> None:
        self._begin(self._place)

    def action_wait(self) -> None:
        """A load waits for what is busy, and then that goes: to order it is enough."""
        self._begin(None if self._planned is None else self._planned.waits_at)

    def action_drop(self) -> None:
        self.dismiss(None)

    async def action_scroll(self, how: str) -> None:
        await self.query_one(VerticalScroll).run_action(how)

    @property
    def _can_order(self) -> bool:
        return not (self._is_ordering or self._frame.acting.is_read_only)

    @property
    def _place(self) -> str | None:
        """The peer that the plan is for, where there is anything to be done."""
        plan = None if self._planned is None else self._planned.plan
        return None if plan is None or plan.is_there else plan.place.peer

    async def _plan(self) -> None:
        acting = self._frame.acting
        planned = await self._tried(acting.plan(self._model, self._peer), read_planned)
        if planned is None:
            return
        self._planned = planned
        self.query_one("#plan", Static).update("\n".join(plan_lines(planned)))
        self._look_ahead(self._outlook(planned))

    def _begin(self, peer: str | None) -> None:
        if peer is not None:
            self._is_ordering = True
            # A plan that comes now would say that nothing is done yet.
            self.workers.cancel_group(self, "plan")
            self._look_ahead("ordering it...")
            self.run_worker(self._order(peer))

    async def _order(self, peer: str) -> None:
        self._job = await self._tried(self._frame.acting.load(self._model, peer), read_job)
        # What has begun is not ordered again.
        self._is_ordering = self._job is not None
        self.refresh_bindings()
        self.on_screen_resume()

    async def _tried(
        self, order: Awaitable[dict[str, Any]], read: Callable[[Mapping[str, Any]], T]
    ) -> T | None:
        """What a peer says to it; None where it refuses or cannot be read, and why is shown."""
        try:
            return understood(read, await order)
        except CortexError as error:
            self._look_ahead("\n".join(filter(None, (error.message, error.hint))))
            return None

    def _look_ahead(self, words: str) -> None:
        self.query_one("#outlook", Static).update(words)
        self.refresh_bindings()

    def _outlook(self, planned: PlannedPicture) -> str:
        drop = key_of(self, "plan.drop")
        if planned.plan is not None and planned.plan.is_there:
            return f"Nothing has to be done. {drop} goes back."
        if self._frame.acting.is_read_only:
            return f"This is only a plan, and this dashboard only looks on. {drop} goes back."
        if planned.plan is not None:
            return (
                f"This is only a plan. {key_of(self, 'plan.carry_out')} carries it out,"
                f" {drop} drops it."
            )
        if planned.waits_at is not None:
            return (
                f"{key_of(self, 'plan.wait')} orders it on {planned.waits_at}, to begin when there"
                f" is room; {drop} drops it."
            )
        return f"Waiting would not help. {drop} goes back."
