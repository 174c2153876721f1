"""What is on a device, what that leaves, and by which rules something may go: the values that
plans are made of. Whose they are, a peer's own or another's as the fleet tells it, is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from ..config import EvictionConfig
from ..gossip.ids import ModelId, NodeId

# Plans travel between peers: whatever others say, times stay numbers.
Seconds: TypeAlias = Annotated[float, Meta(ge=0.0, le=1e9)]
# How long a load of these weights, of so many bytes, takes; anywhere, or at one peer.
Eta = Callable[[ModelId, int], float | None]
EtaAt = Callable[[NodeId, ModelId, int], float | None]
# By which something may go.
Rules: TypeAlias = EvictionConfig
ResidentState = Literal["loading", "ready", "unloading"]


@dataclass(frozen=True, slots=True)
class Resident:
    """A model on a device, as it is judged when another one wants its place.

    `num_inflight` are requests that it has been granted to, the first of them for `busy_s`: with
    any it is never a victim. `idle_s` is how long nobody has used it, `age_s` how long it has been
    ready, `reload_s` how long it would take to bring back, None where nothing is known. The higher
    `priority` outlasts.
    """

    model: ModelId
    id: str
    state: ResidentState
    reserved_bytes: int
    num_inflight: int = 0
    busy_s: Seconds = 0.0
    idle_s: Seconds = 0.0
    age_s: Seconds = 0.0
    reload_s: Seconds | None = None
    is_pinned: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class DeviceBooks:
    """`budget_bytes` is what the engine may use in all, `foreign_bytes` what other programs have
    taken of that. Models that are on their way are in the books with all that they will have.
    One that `is_of_start` has a share of what was free when its peer started, now as then.
    """

    index: int
    name: str
    budget_bytes: int
    foreign_bytes: int = 0
    residents: tuple[Resident, ...] = ()
    is_of_start: bool = False

    @property
    def reserved_bytes(self) -> int:
        return sum(resident.reserved_bytes for resident in self.residents)

    @property
    def free_bytes(self) -> int:
        """What one more model could have; negative where others have taken what was promised."""
        return self.budget_bytes - self.foreign_bytes - self.reserved_bytes


@dataclass(frozen=True, slots=True)
class Size:
    """One way to load a model, and what it would reserve in all. One that `is_large` is for
    requests that no other has room for.
    """

    context_tokens: int
    num_slots: int
    num_bytes: int
    is_large: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """A model that wants a place. `sizes` has the most welcome one first and the smallest that
    would do last; so has `own_sizes`, by device, where they are others. The smallest is everywhere
    the same.

    With less context than `least_tokens` it is of no use to who waits for it, and whatever may go
    goes for that; for what is between that and `comfort_tokens` only what nobody has used for long.
    """

    model: ModelId
    id: str
    sizes: tuple[Size, ...]
    priority: int = 0
    own_sizes: Mapping[int, tuple[Size, ...]] = field(default_factory=dict[int, tuple[Size, ...]])
    least_tokens: int = 0
    comfort_tokens: int = 0

    def sizes_on(self, device: int) -> tuple[Size, ...]:
        return self.own_sizes.get(device, self.sizes)
