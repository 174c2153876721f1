"""Whether a model has a place on a device, and what would have to go for it. Pure.

The cheapest sufficient set goes: what is unlikely to be wanted again soon, or quick to bring back.
For more than the least that would do, only what nobody has used for long. Whether another device
would be better is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import fsum

from ..units import age, counted, memory
from .books import DeviceBooks, Need, Resident, Rules, Size
from .plan import Reason

# A model that nobody has used for so long is half as likely to be wanted soon. People who talk come
# back within minutes; at the usual idle time, 10 minutes, a quarter of the chance is left.
HALF_LIFE_S = 300.0
# Of so many every set is weighed (1,023 sets, some milliseconds). Of more only the last so many of
# those that cost least for their bytes: a device that holds more models at once holds small ones.
_MAX_WEIGHED = 10


@dataclass(frozen=True, slots=True)
class Fit:
    """`victims` are in the order in which they go; `cost_s` is the time that their going costs on
    average. One that `is_tight` is smaller than it would be comfortable.
    """

    size: Size
    victims: tuple[Resident, ...] = ()
    cost_s: float = 0.0
    is_tight: bool = False

    @property
    def freed_bytes(self) -> int:
        return sum(victim.reserved_bytes for victim in self.victims)


@dataclass(frozen=True, slots=True)
class NoFit:
    """`short_bytes` is what is missing, `wait_s` when it may fit by itself, where that is known."""

    reason: Reason
    words: str
    short_bytes: int
    wait_s: float | None = None


def fit(books: DeviceBooks, need: Need, rules: Rules) -> Fit | NoFit:
    """The most welcome size that has room; where none has, what has to go for the smallest that
    is comfortable, else for the smallest that is of use, else for the smallest.

    The model itself is not among the residents: whoever has it needs no place.
    """
    ways = need.sizes_on(books.index)
    usual = [size for size in ways if not size.is_large]
    may_go = [one for one in books.residents if _is_in_the_way(one, need, rules) is None]
    long_idle = [one for one in may_go if one.idle_s >= HALF_LIFE_S]
    comfort_tokens = max(need.least_tokens, need.comfort_tokens)
    # A large size is for what has to be in it, and not for all that an answer might come to.
    likely = ways if need.least_tokens > usual[0].context_tokens else usual
    likely_tokens = max(need.least_tokens, min(comfort_tokens, likely[0].context_tokens))
    for least_tokens, some, those in (
        (likely_tokens, likely, long_idle),
        (need.least_tokens, usual, may_go),
        (need.least_tokens, ways, may_go),
    ):
        enough = [size for size in some if size.context_tokens >= least_tokens]
        if 0 < len(enough) < len(ways) and (found := _fit_one_of(enough, books, those, rules)):
            return replace(found, is_tight=found.size.context_tokens < comfort_tokens)
    found = _fit_one_of(usual, books, may_go, rules)
    if found is None:
        return _no_fit(books, need, rules)
    return replace(found, is_tight=found.size.context_tokens < comfort_tokens)


def _fit_one_of(
    sizes: Sequence[Size], books: DeviceBooks, may_go: Sequence[Resident], rules: Rules
) -> Fit | None:
    """The most welcome of these, or the smallest where some of those that may go have to."""
    size = _largest(sizes, books.free_bytes)
    if size is not None:
        return Fit(size)
    short_bytes = sizes[-1].num_bytes - books.free_bytes
    if not _are_enough(may_go, short_bytes):
        return None
    victims = sorted(_cheapest(may_go, short_bytes, rules), key=_longest_idle)
    freed_bytes = sum(victim.reserved_bytes for victim in victims)
    size = _largest(sizes, books.free_bytes + freed_bytes) or sizes[-1]
    return Fit(size, tuple(victims), fsum(_cost_s(victim, rules) for victim in victims))


def forced(books: DeviceBooks, need: Need, rules: Rules) -> Fit:
    """The smallest size, whether there is room or not: whoever insists has the engine say whether
    it fits. All may go for it but what is pinned or at work.
    """
    short_bytes = need.sizes[-1].num_bytes - books.free_bytes
    victims: list[Resident] = []
    for resident in sorted(books.residents, key=_longest_idle):
        is_idle = resident.state == "ready" and not resident.num_inflight
        if short_bytes > 0 and is_idle and not resident.is_pinned:
            victims.append(resident)
            short_bytes -= resident.reserved_bytes
    cost_s = fsum(_cost_s(victim, rules) for victim in victims)
    return Fit(need.sizes[-1], tuple(victims), cost_s)


def reload_s(resident: Resident, rules: Rules) -> float:
    """What bringing it back takes; a model of which nothing is known takes as long as it stays."""
    return rules.min_residency_s if resident.reload_s is None else resident.reload_s


def wait_s(resident: Resident, rules: Rules) -> float:
    """When it has been there for long enough, if nobody asks it until then."""
    return max(
        0.0,
        min(rules.min_residency_s - resident.age_s, reload_s(resident, rules) - resident.idle_s),
    )


def _largest(sizes: Sequence[Size], room_bytes: int) -> Size | None:
    return next((size for size in sizes if size.num_bytes <= room_bytes), None)


def _is_in_the_way(resident: Resident, need: Need, rules: Rules) -> Reason | None:
    """Why it stays; None where it may go."""
    if resident.is_pinned:
        return "pinned"
    if rules.strategy == "priority" and resident.priority > need.priority:
        return "class"
    if resident.num_inflight > 0 or resident.state != "ready":
        return "busy"
    return "new" if wait_s(resident, rules) > 0 else None


def _cheapest(may_go: Sequence[Resident], short_bytes: int, rules: Rules) -> list[Resident]:
    """Of all sets that free so much the one that costs least, then the smallest, then the one that
    has been idle for longest. Their bytes are enough together.
    """
    helpful = sorted(
        (one for one in may_go if one.reserved_bytes > 0),
        key=lambda one: (_class(one, rules), _cost_s(one, rules) / one.reserved_bytes, one.model),
    )
    gone: list[Resident] = []
    while len(helpful) > _MAX_WEIGHED and not _are_enough(helpful[:_MAX_WEIGHED], short_bytes):
        gone.append(helpful.pop(0))
        short_bytes -= gone[-1].reserved_bytes
    weighed = sorted(helpful[:_MAX_WEIGHED], key=_longest_idle)
    classes = sorted({_class(one, rules) for one in weighed}, reverse=True)

    def rank(chosen: tuple[int, ...]) -> tuple[object, ...]:
        victims = [weighed[index] for index in chosen]
        costs = [
            fsum(_cost_s(one, rules) for one in victims if _class(one, rules) == of_class)
            for of_class in classes
        ]
        return costs, sum(one.reserved_bytes for one in victims), chosen

    sets = (
        chosen
        for num_victims in range(1, len(weighed) + 1)
        for chosen in combinations(range(len(weighed)), num_victims)
        if _are_enough((weighed[index] for index in chosen), short_bytes)
    )
    return gone + [weighed[index] for index in min(sets, key=rank)]


def _are_enough(victims: Iterable[Resident], short_bytes: int) -> bool:
    return sum(victim.reserved_bytes for victim in victims) >= short_bytes


def _cost_s(resident: Resident, rules: Rules) -> float:
    """How likely it is to be wanted, times what it would cost then."""
    return 0.5 ** (resident.idle_s / HALF_LIFE_S) * reload_s(resident, rules)


def _class(resident: Resident, rules: Rules) -> int:
    """Under "priority" no cost makes up for a higher one."""
    return resident.priority if rules.strategy == "priority" else 0


def _longest_idle(resident: Resident) -> tuple[float, str, bytes]:
    return -resident.idle_s, resident.id, resident.model


def _no_fit(books: DeviceBooks, need: Need, rules: Rules) -> NoFit:
    """By what it would need beside those that may go: what changes soonest counts first, so that
    the reason is never harder than it is.
    """
    least_bytes = need.sizes[-1].num_bytes
    if least_bytes > books.budget_bytes:
        most = f"{books.name} has {memory(books.budget_bytes)}"
        words = f"needs {memory(least_bytes)}, and {most}"
        if books.is_of_start:
            words += ", a share of what was free when its peer started"
        return NoFit("too large", words, least_bytes - books.budget_bytes)
    kept = [(one, _is_in_the_way(one, need, rules)) for one in books.residents]
    held_bytes = sum(one.reserved_bytes for one, reason in kept if reason is not None)
    missing = short_bytes = least_bytes + held_bytes + books.foreign_bytes - books.budget_bytes
    reasons: tuple[Reason, ...] = ("new", "busy", "foreign", "class", "pinned")
    for reason in reasons:
        those = [one for one, why in kept if why == reason]
        is_foreign = reason == "foreign"
        held = books.foreign_bytes if is_foreign else sum(one.reserved_bytes for one in those)
        if held >= missing:
            words = _foreign_words(books) if is_foreign else _words(reason, those, missing, rules)
            when_s = _soonest_s(those, missing, rules) if reason == "new" else None
            return NoFit(reason, f"{memory(short_bytes)} short: {words}", short_bytes, when_s)
        missing -= held
    raise AssertionError("what is neither free, nor others', nor of one that may go is in the way")


def _soonest_s(new: Sequence[Resident], missing: int, rules: Rules) -> float:
    """When enough of them have been there for long enough."""
    for resident in sorted(new, key=lambda one: wait_s(one, rules)):
        missing -= resident.reserved_bytes
        if missing <= 0:
            return wait_s(resident, rules)
    raise AssertionError("they are enough together")


def _foreign_words(books: DeviceBooks) -> str:
    return f"other programs hold {memory(books.foreign_bytes)}"


def _words(reason: Reason, those: Sequence[Resident], missing: int, rules: Rules) -> str:
    """Of the largest ones, as few as would do."""
    named: list[str] = []
    for resident in sorted(those, key=lambda one: (-one.reserved_bytes, one.id)):
        named.append(_word(reason, resident, rules))
        missing -= resident.reserved_bytes
        if missing <= 0:
            break
    return ", ".join(named)


def _word(reason: Reason, resident: Resident, rules: Rules) -> str:
    if reason == "pinned":
        return f"'{resident.id}' is pinned"
    if reason == "class":
        return f"'{resident.id}' has the higher priority {resident.priority}"
    if reason == "new":
        return f"'{resident.id}' has only just come, and stays {age(wait_s(resident, rules))} more"
    if resident.state != "ready":
        return f"'{resident.id}' is {resident.state}"
    return f"'{resident.id}' is answering {counted(resident.num_inflight, 'request')}"
