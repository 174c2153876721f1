"""A plan as lines of text: where, the sum of what it takes, what goes, and why not elsewhere. Pure.

The plan comes as a peer told it, in plain JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cortex.peer.units import age, memory

from .output import align

_MAX_NAMED = 3


def plan_lines(told: dict[str, Any]) -> Iterator[str]:
    plan = told["plan"]
    if plan is None:
        yield f"'{told['model']}' has no place now."
    elif plan["is_there"]:
        yield f"'{told['model']}' is on {_where(plan)}: nothing has to be done."
    else:
        yield f"'{told['model']}' would be loaded on {_where(plan)}{_after(plan['seconds'])}"
        yield ""
        yield from align(("", "", ""), _rows(plan), (False, True))[1:]
    elsewhere = [*_others(told["others"]), *_refusals(told["refusals"])]
    if elsewhere:
        yield ""
        yield from align(("ELSEWHERE", ""), elsewhere)


def _where(place: dict[str, Any]) -> str:
    if place["device"] is None:
        return place["peer"]
    return f"{place['peer']}, {place['device_name'] or 'device'} ({place['device']})"


def _after(seconds: float | None) -> str:
    return "." if seconds is None else f", in about {age(seconds)}."


def _rows(plan: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for part in plan["parts"]:
        if part["bytes"]:
            yield part["name"], memory(part["bytes"]), part["note"]
    room = f"{plan['context_tokens']:,} tokens of context, {plan['slots']} at a time"
    yield "in all", memory(plan["bytes"]), room
    yield "free before", memory(plan["free_bytes"]), ""
    for victim in plan["victims"]:
        yield f"{victim['id']} goes", memory(victim["bytes"]), _of_victim(victim)
    yield "free after", memory(plan["free_after_bytes"]), ""


def _of_victim(victim: dict[str, Any]) -> str:
    back_s = victim["reload_s"]
    back = "" if back_s is None else f"; {age(back_s)} to bring back"
    return f"idle for {age(victim['idle_s'])}{back}"


def _others(plans: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for plan in plans:
        victims = " and ".join(victim["id"] for victim in plan["victims"])
        does = "has it" if plan["is_there"] else f"could, without {victims}" if victims else "could"
        yield _where(plan), f"{does}{_after(plan['seconds']).rstrip('.')}"


def _refusals(refusals: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Those who have not got the model are most of a large fleet, and one line."""
    absent = [refusal for refusal in refusals if refusal["reason"] == "absent"]
    for refusal in refusals:
        if refusal not in absent:
            wait_s = refusal["wait_s"]
            again = "" if wait_s is None else f"; ask again in {age(wait_s)}"
            yield _where(refusal), f"{refusal['words']}{again}"
    if absent:
        names = [refusal["peer"] for refusal in absent[:_MAX_NAMED]]
        more = [] if len(absent) <= len(names) else [f"{len(absent) - len(names)} more"]
        yield ", ".join([*names, *more]), absent[0]["words"]
