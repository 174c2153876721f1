"""Whose turn a device is: what becomes next of a model that requests wait for. Pure.

A model begins where room for it costs least. One that has waited for long enough claims a place:
what stands there gets no new work until it is idle, and then it goes. The first in the queue
decides first, and the others see what it has claimed as taken.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ..gossip.ids import ID_BYTES, ModelId
from .books import DeviceBooks, Need, Resident, Rules
from .fit import Fit, NoFit, fit, forced, reload_s
from .plan import Reason

_NOBODY = ModelId(bytes(ID_BYTES))
# So many times what another place would cost is waited for one that has been claimed.
_PATIENCE = 2
# What may be otherwise without anybody's doing: work ends, and time passes.
_PASSING: tuple[Reason, ...] = ("busy", "new")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that requests wait for, the first of them for `waited_s`.

    One that `needs_quiet` has ended engines by its loads: it begins where nobody is harmed by that.
    One that `is_forced` begins where the books say that it has no place.
    """

    need: Need
    waited_s: float = 0.0
    needs_quiet: bool = False
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Begin:
    """Its load begins there, now."""

    device: int
    fit: Fit


@dataclass(frozen=True, slots=True)
class Claim:
    """A place that is kept until the `victims`, named by their ids, are idle.

    `num_bytes` is the least that is needed. Where `is_whole`, all of the device has to be idle, and
    nothing has to go.
    """

    device: int
    victims: frozenset[str]
    num_bytes: int
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Waits:
    """Not yet; `wait_s` is when it may be otherwise by itself, where that is known."""

    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nowhere, and waiting is no use: the reason at each device."""

    reasons: tuple[tuple[int, NoFit], ...]


Turn = Begin | Claim | Waits | Refused


def turn(
    wanted: Wanted,
    books: Sequence[DeviceBooks],
    rules: Rules,
    *,
    max_wait_s: float,
    claim: Claim | None = None,
    closed: Collection[int] = (),
) -> Turn:
    """What becomes of the model now.

    `books` are those of the devices where it may be, with what others have claimed; on `closed`
    ones nothing begins now. `claim` is its own, if it has one.
    """
    if wanted.needs_quiet:
        return _quiet_turn(wanted.need, books, rules, closed)
    kept = None if claim is None else _kept(claim, wanted.need, books, rules, closed)
    if isinstance(kept, Begin):
        return kept
    # Whoever has claimed a place has waited for long enough to have any that is idle by now.
    own_rules = rules if kept is None else replace(rules, min_residency_s=0.0)
    found = [(each, fit(each, wanted.need, own_rules)) for each in books]
    if best := _best(found, closed):
        return kept or Waits() if best.device in closed else best
    if isinstance(kept, Claim):
        return _better(kept, wanted.need, books, rules, closed) or kept
    overdue_s = max_wait_s - wanted.waited_s
    if overdue_s <= 0 and (claimed := _claimed(wanted.need, books, rules)) is not None:
        return _kept(claimed, wanted.need, books, rules, closed) or claimed
    refused = [(each.index, one) for each, one in found if isinstance(one, NoFit)]
    if not any(one.reason in _PASSING for _, one in refused):
        open_books = [each for each in books if each.index not in closed]
        if not wanted.is_forced or not books:
            return Refused(tuple(refused))
        if not open_books:
            return Waits()
        roomiest = max(open_books, key=lambda each: each.free_bytes)
        return Begin(roomiest.index, forced(roomiest, wanted.need, rules))
    return Waits(_soonest_s(refused, overdue_s))


def with_claim(books: DeviceBooks, claim: Claim) -> DeviceBooks:
    """The device as those see it who come after: what will be needed is needed already."""
    if books.index != claim.device:
        return books
    freed_bytes = sum(r.reserved_bytes for r in books.residents if r.id in claim.victims)
    residents = tuple(
        replace(each, state="unloading") if each.id in claim.victims else each
        for each in books.residents
    )
    missing_bytes = max(claim.num_bytes - freed_bytes, 0)
    coming = Resident(_NOBODY, "", "loading", missing_bytes)
    return replace(books, residents=(*residents, coming))


def _kept(
    claim: Claim,
    need: Need,
    books: Sequence[DeviceBooks],
    rules: Rules,
    closed: Collection[int],
) -> Turn | None:
    """What becomes of what was claimed; None where it is not to be had any more."""
    device = next((each for each in books if each.index == claim.device), None)
    if device is None or claim.is_whole:
        return None
    # Nothing else may go for it: what was chosen stays chosen.
    only = tuple(
        each if each.id in claim.victims else replace(each, is_pinned=True)
        for each in device.residents
    )
    found = fit(replace(device, residents=only), need, replace(rules, min_residency_s=0.0))
    if isinstance(found, Fit):
        return claim if device.index in closed else Begin(device.index, found)
    return claim if found.reason == "busy" else None


def _claimed(need: Need, books: Sequence[DeviceBooks], rules: Rules) -> Claim | None:
    """The place that would be the best if nobody worked, and the work has to be waited for."""
    hasty = replace(rules, min_residency_s=0.0)
    best = _best([(each, fit(_without_work(each, rules), need, hasty)) for each in books], ())
    if best is None:
        return None
    victims = frozenset(victim.id for victim in best.fit.victims)
    return Claim(best.device, victims, need.sizes[-1].num_bytes)


def _better(
    claim: Claim, need: Need, books: Sequence[DeviceBooks], rules: Rules, closed: Collection[int]
) -> Turn | None:
    """Another place, where what was claimed has turned out to be at work for far longer. Whoever
    changed for less would let both take new work in turn, and have neither.
    """
    other = _claimed(need, books, rules)
    if other is None or _PATIENCE * _price_s(other, books, rules) >= _price_s(claim, books, rules):
        return None
    return _kept(other, need, books, rules, closed)


def _price_s(claim: Claim, books: Sequence[DeviceBooks], rules: Rules) -> float:
    there = (one for each in books if each.index == claim.device for one in each.residents)
    return sum(reload_s(one, rules) + one.busy_s for one in there if one.id in claim.victims)


def _quiet_turn(
    need: Need, books: Sequence[DeviceBooks], rules: Rules, closed: Collection[int]
) -> Turn:
    working = {each.index for each in books if any(r.num_inflight for r in each.residents)}
    quiet = [each for each in books if each.index not in working and each.index not in closed]
    found = [(each, fit(each, need, replace(rules, min_residency_s=0.0))) for each in quiet]
    if best := _best(found, ()):
        return best
    claimed = _claimed(need, books, rules)
    if claimed is not None:
        return replace(claimed, is_whole=True)
    return (
        Waits()
        if len(quiet) < len(books)
        else Refused(tuple((each.index, one) for each, one in found if isinstance(one, NoFit)))
    )


def _without_work(books: DeviceBooks, rules: Rules) -> DeviceBooks:
    """What answers will last is not known: about as long again as they have lasted."""
    calm = (
        replace(each, num_inflight=0, reload_s=reload_s(each, rules) + each.busy_s)
        for each in books.residents
    )
    return replace(books, residents=tuple(calm))


def _best(
    found: Sequence[tuple[DeviceBooks, Fit | NoFit]], closed: Collection[int]
) -> Begin | None:
    """Where it has room enough and costs least; where it costs nothing, where most is free."""
    fits = [(each, one) for each, one in found if isinstance(one, Fit)]
    if not fits:
        return None

    def cost(pair: tuple[DeviceBooks, Fit]) -> tuple[object, ...]:
        books, one = pair
        return one.is_tight, one.cost_s, books.index in closed, -books.free_bytes, books.index

    device, best = min(fits, key=cost)
    return Begin(device.index, best)


def _soonest_s(refused: Sequence[tuple[int, NoFit]], overdue_s: float) -> float | None:
    times_s = [one.wait_s for _, one in refused if one.wait_s is not None]
    return min([*times_s, *([overdue_s] if overdue_s > 0 else [])], default=None)
