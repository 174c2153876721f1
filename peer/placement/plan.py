"""What a load would do, before it is done: a plan, or for every place the reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cortex.engine.costs import MemoryPart

from ..gossip.ids import ModelId, NodeId
from .books import Resident, Seconds, Size

# "too large" for the device even if it were empty; "pinned", "class" or "busy" where what would
# have to go may not, by its pin, its class, or its work; "new" where it has been loaded just now;
# "foreign" where other programs have the memory; "absent" where the model is not on that peer's
# disk, and "broken" where its copy there is; "unknown" where its size is not known; "away" where
# the peer takes no requests.
Reason = Literal[
    "too large", "pinned", "class", "busy", "new", "foreign", "absent", "broken", "unknown", "away"
]


@dataclass(frozen=True, slots=True)
class LoadWish:
    """What somebody wants loaded. `peer` None is any; `context_tokens` and `num_slots` None are
    chosen from what is free. One that `is_forced` is begun though its plan says that it has no
    place.
    """

    model: ModelId
    peer: NodeId | None = None
    context_tokens: int | None = None
    num_slots: int | None = None
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """`parts` is the sum behind `size.num_bytes`; `victims` go first, and `free_bytes` is what the
    device had free before. `seconds` is how long all of it takes, with what its victims' going
    costs on average, None where nothing is known. `is_there` is a model that needs no load; one
    that `is_tight` would have less context than is comfortable.
    """

    peer: NodeId
    device: int
    model: ModelId
    size: Size
    parts: tuple[MemoryPart, ...] = ()
    victims: tuple[Resident, ...] = ()
    seconds: Seconds | None = None
    is_there: bool = False
    free_bytes: int = 0
    is_tight: bool = False

    @property
    def free_after_bytes(self) -> int:
        freed_bytes = sum(victim.reserved_bytes for victim in self.victims)
        return self.free_bytes + freed_bytes - (0 if self.is_there else self.size.num_bytes)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not there. `short_bytes` of the `needed_bytes` are missing, 0 where it is not about
    bytes; `wait_s` is when it may be otherwise by itself, None where that is not known.
    """

    peer: NodeId
    device: int | None
    reason: Reason
    words: str
    short_bytes: int = 0
    needed_bytes: int = 0
    wait_s: Seconds | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """`plan` is None where no peer could; `refusals` are of all places that could not, and `others`
    what would do as well, but not as soon, the best one first.
    """

    plan: Plan | None
    refusals: tuple[Refusal, ...] = ()
    others: tuple[Plan, ...] = ()

    def at(self, peer: NodeId) -> Planned:
        """The same, made by a peer that did not know what it is called."""
        return Planned(
            None if self.plan is None else replace(self.plan, peer=peer),
            tuple(replace(refusal, peer=peer) for refusal in self.refusals),
            tuple(replace(plan, peer=peer) for plan in self.others),
        )


def planned(found: Sequence[Plan | Refusal]) -> Planned:
    """Out of all places, the best plan first."""
    plans = [one for one in found if isinstance(one, Plan)]
    refusals = tuple(one for one in found if isinstance(one, Refusal))
    return Planned(plans[0] if plans else None, refusals, tuple(plans[1:]))
