"""The models of the fleet on one screen: where each is, what becomes of it, and how to change that.

What a load would do is planned before it is ordered; what ends work is asked twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from cortex.peer.onlooker import model_wording as wording
from cortex.peer.onlooker.job_pictures import JobPicture, read_jobs
from cortex.peer.onlooker.log_lines import LogLine, read_log
from cortex.peer.onlooker.model_pictures import ModelPicture, WarmPicture, read_models
from cortex.peer.onlooker.model_rows import ModelRow, largest_device_bytes, model_rows
from cortex.peer.onlooker.pictures import FleetPicture
from cortex.peer.onlooker.understanding import understood
from cortex.peer.units import counted

from ..frame import Frame
from ..model_table import MODELS
from ..moments import local_time, moment
from ..widgets.keys_line import OWN
from .asking_screen import AskingScreen
from .choice import Choice, Option
from .plan import PlanDialog

_LOG_S, _MAX_LOG_LINES = 600, 20
_OWN = Binding.Group(OWN)
_NOTHING = """\
No peer of this fleet has weights on its disk.

Put a Hugging Face folder of safetensors where its models lie, have one fetched, or name another
folder:

  cortex pull Qwen/Qwen3.5-4B
  cortex peer --models DIR"""


@dataclass(frozen=True, slots=True)
class ModelsTold:
    models: tuple[ModelPicture, ...]
    jobs: tuple[JobPicture, ...]


class ModelsScreen(AskingScreen[ModelRow, ModelsTold]):
    WHAT = "models"
    SEARCHED = "name, state or peer"
    HEAD = "Models"
    NOTHING = _NOTHING
    ORDERS = frozenset({"load", "unload", "pin", "cancel"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "load", "Load", id="models.load", group=_OWN),
        Binding("u", "unload", "Unload", id="models.unload", group=_OWN),
        Binding("P", "pin", "Pin", id="models.pin", group=_OWN),
        Binding("x", "cancel", "Cancel load", id="models.cancel", group=_OWN),
    ]

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame, MODELS)
        self._logged: dict[str, tuple[LogLine, ...]] = {}

    def heading(self, picture: FleetPicture) -> list[str]:
        return [] if self.told is None else wording.counts(self.items())

    async def ask(self) -> ModelsTold:
        acting = self.frame.acting
        models, jobs = await asyncio.gather(acting.ask("/models"), acting.ask("/jobs", fleet=1))
        return ModelsTold(understood(read_models, models), understood(read_jobs, jobs))

    def rows_of(self, told: ModelsTold) -> Sequence[ModelRow]:
        picture = self.frame.watched.picture
        largest_bytes = None if picture is None else largest_device_bytes(picture)
        return model_rows(told.models, told.jobs, largest_bytes)

    def details_of(self, item: ModelRow) -> str:
        logged = self._logged.get(item.model.id, ()) if item.state == "failed" else ()
        now = self.frame.now()
        return "\n".join([*wording.detail(item), *(_logged(line, now) for line in logged)])

    def orders_for(self, item: ModelRow) -> frozenset[str]:
        orders = {"load"} if item.model.is_somewhere else set[str]()
        if not self.frame.acting.is_read_only:
            orders |= {"unload", "pin"} if item.model.warm else set()
            orders |= {"cancel"} if item.job is not None and not item.job.is_over else set()
        return frozenset(orders)

    @work
    async def action_load(self) -> None:
        if (row := self.chosen) is not None:
            await self.app.push_screen_wait(PlanDialog(self.frame, row.model.id))
            self.on_beat()

    @work
    async def action_unload(self) -> None:
        if (row := self.chosen) is None:
            return
        model = row.model
        options = [option for place in model.warm for option in _ways_out(place)]
        chosen = await self.app.push_screen_wait(Choice(f"unload {model.id}", options))
        if chosen is not None:
            peer, is_forced = chosen
            await self.attempt(self.frame.acting.unload(model.id, peer, force=is_forced))
            self.on_beat()

    @work
    async def action_pin(self) -> None:
        """To pin harms nobody: only where there are several copies it is asked which."""
        if (row := self.chosen) is None:
            return
        place: WarmPicture | None = row.model.warm[0]
        if len(row.model.warm) > 1:
            options = [
                Option(f"{'unpin' if each.is_pinned else 'pin'} it on {each.peer}", each)
                for each in row.model.warm
            ]
            place = await self.app.push_screen_wait(Choice(f"pin {row.model.id}", options))
        if place is not None:
            order = self.frame.acting.pin(row.model.id, place.peer, pinned=not place.is_pinned)
            await self.attempt(order)
            self.on_beat()

    @work
    async def action_cancel(self) -> None:
        row = self.chosen
        if row is None or row.job is None:
            return
        job = row.job
        words = f"end the {job.kind} on {job.peer}"
        title = f"cancel: {job.kind} {row.model.id}"
        if await self.app.push_screen_wait(Choice(title, [Option(words, job.id)])):
            await self.attempt(self.frame.acting.cancel_job(job.id))
            self.on_beat()

    @on(DataTable.RowSelected)
    async def _show_all(self) -> None:
        """As much of the model as there is room for, or as little as before; of a failed load what
        its peer logged.
        """
        is_whole = not self.text("#detail").has_class("-whole")
        self.text("#detail").set_class(is_whole, "-whole")
        row = self.chosen
        if is_whole and row is not None and row.job is not None and row.job.error is not None:
            self.run_worker(self._look_into_log(row.model.id, row.job.peer))

    async def _look_into_log(self, model_id: str, peer: str) -> None:
        asked = self.frame.acting.ask("/logs", peer=peer, since_s=_LOG_S, level="warning")
        if (told := await self.attempt(asked)) is None:
            return
        try:
            self._logged[model_id] = read_log(told).lines[-_MAX_LOG_LINES:]
        except ValueError:
            return  # what else is known of the failure is shown all the same
        self.row_changed()


def _logged(line: LogLine, now: datetime) -> str:
    return f"{moment(local_time(line.time_s), now)}  {line.level}  {line.text}"


def _ways_out(place: WarmPicture) -> list[Option[tuple[str, bool]]]:
    """To unload when it is idle, and at once, which breaks off work that others may go on with, or
    a pin.
    """
    num_busy = (place.running or 0) + (place.waiting or 0)
    where = f"on {place.peer}, device {place.device}"
    harm = [f"breaks off its {counted(num_busy, 'request')}"] if num_busy else []
    if place.is_pinned:
        words = ", ".join(["though it is pinned", *harm])
        return [Option(f"{where}, now: {words}", (place.peer, True))]
    if not num_busy:
        return [Option(where, (place.peer, False))]
    return [
        Option(f"{where}, once its {counted(num_busy, 'request')} ended", (place.peer, False)),
        Option(f"{where}, now: {harm[0]}", (place.peer, True)),
    ]
