"""A plan as lines of text: where, the sum of what it takes, what goes, and why not elsewhere. Pure.

The same at a prompt and in the dashboard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..units import age, memory
from .aligning import align
from .plan_pictures import PlacePicture, PlannedPicture, PlanPicture, RefusalPicture, VictimPicture

_MAX_NAMED = 3


def plan_lines(planned: PlannedPicture) -> Iterator[str]:
    plan = planned.plan
    if plan is None:
        yield f"'{planned.model}' has no place now."
    elif plan.is_there:
        yield f"'{planned.model}' is on {_where(plan.place)}: nothing has to be done."
    else:
        yield (f"'{planned.model}' would be loaded on {_where(plan.place)}{_after(plan.seconds)}")
        yield ""
        yield from align(("", "", ""), _rows(plan), (False, True))[1:]
    elsewhere = [*_others(planned.others), *_refusals(planned.refusals)]
    if elsewhere:
        yield ""
        yield from align(("ELSEWHERE", ""), elsewhere)


def _where(place: PlacePicture) -> str:
    if place.device is None:
        return place.peer
    return f"{place.peer}, {place.device_name or 'device'} ({place.device})"


def _after(seconds: float | None) -> str:
    return "." if seconds is None else f", in about {age(seconds)}."


def _rows(plan: PlanPicture) -> Iterator[tuple[str, str, str]]:
    for part in plan.parts:
        if part.num_bytes:
            yield part.name, memory(part.num_bytes), part.note
    room = f"{plan.context_tokens:,} tokens of context, {plan.num_slots} at a time"
    yield "in all", memory(plan.num_bytes), room
    yield "free before", memory(plan.free_bytes), ""
    for victim in plan.victims:
        yield f"{victim.id} goes", memory(victim.num_bytes), _of_victim(victim)
    yield "free after", memory(plan.free_after_bytes), ""


def _of_victim(victim: VictimPicture) -> str:
    back = "" if victim.reload_s is None else f"; {age(victim.reload_s)} to bring back"
    return f"idle for {age(victim.idle_s)}{back}"


def _others(plans: Sequence[PlanPicture]) -> Iterator[tuple[str, str]]:
    for plan in plans:
        victims = " and ".join(victim.id for victim in plan.victims)
        does = "has it" if plan.is_there else f"could, without {victims}" if victims else "could"
        yield _where(plan.place), f"{does}{_after(plan.seconds).rstrip('.')}"


def _refusals(refusals: Sequence[RefusalPicture]) -> Iterator[tuple[str, str]]:
    """Those who have not got the model are most of a large fleet, and one line."""
    absent = [refusal for refusal in refusals if refusal.reason == "absent"]
    for refusal in refusals:
        if refusal not in absent:
            again = "" if refusal.wait_s is None else f"; ask again in {age(refusal.wait_s)}"
            yield _where(refusal.place), f"{refusal.words}{again}"
    if absent:
        names = [refusal.place.peer for refusal in absent[:_MAX_NAMED]]
        more = [] if len(absent) <= len(names) else [f"{len(absent) - len(names)} more"]
        yield ", ".join([*names, *more]), absent[0].words
