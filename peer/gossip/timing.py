"""How often, how long and how many: every number of the membership protocol, in one place.

The values were chosen by simulation, and docs/fleet.md says what they come to; the formulas that
grow them with the size of the fleet stand beside them. Nothing here keeps time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """The knobs of one peer. All peers of a fleet are expected to use the same."""

    probe_period_s: float = 1.0
    ping_gap_s: float = 0.15  # between the repeated pings of one direct probe
    direct_timeout_s: float = 0.5
    direct_pings: int = 3
    lossy_direct_pings: int = 6
    lossy_ping_gap_s: float = 0.09
    lossy_above: float = 0.2  # loss per packet, measured, from which a probe pings more often
    num_relays: int = 3
    relay_pings: int = 2
    nack_after: float = 0.8  # of the time that is left to an indirect probe
    suspects_per_round: int = 3
    last_chance_s: float = 0.8
    reprieve_s: float = 1.0  # what a suspect gets that answered its last chance
    veto_s: float = 2.0  # a peer heard this recently is not believed dead
    suspicion_s: float = 4.0
    suspicion_stretch: float = 6.0
    num_confirmations: int = 2
    gossip_tick_s: float = 0.2
    gossip_fanout: int = 3
    rumour_copies: int = 4
    load_tick_s: float = 0.5
    load_fanout: int = 3
    load_records: int = 22
    quiet_load_fanout: int = 2  # where nothing has changed, and
    quiet_load_ticks: int = 4  # only so seldom
    load_refresh_s: float = 10.0
    first_load_refresh_s: float = 1.0  # others may have heard of our load before they heard of us
    sync_period_s: float = 10.0
    sync_flat_below: int = 32
    sync_jitter: float = 0.25
    reconnect_period_s: float = 1.0
    reconnect_floor: float = 0.1
    accusation_gap_s: float = 0.5
    answer_gap_s: float = 0.1  # between two datagrams to one stranger
    goodbyes: int = 8
    seed_period_s: float = 10.0
    lonely_seed_period_s: float = 1.0
    quick_seeking_s: float = 60.0  # so long who hears nobody looks as often as that, and then
    rarest_seeking_s: float = 60.0  # ever more seldom, until each address rests so long
    dead_kept_s: float = 24 * 3600.0
    left_kept_s: float = 3600.0
    max_tombstones: int = 4096
    max_peers: int = 20_000
    max_sessions: int = 20_000
    max_strangers: int = 1024  # boots that have not yet echoed a challenge
    max_seeds: int = 256
    max_health: int = 7
    lag_s: float = 0.25  # a timer this late says that our own loop stalls
    suspend_periods: float = 5.0  # a gap of so many probe periods says that the machine slept

    def suspicion_range_s(self, num_peers: int) -> tuple[float, float]:
        """The shortest and the longest life of a suspicion in a fleet of this size."""
        shortest = self.suspicion_s * max(1.0, math.log10(max(num_peers, 1)))
        return shortest, shortest * self.suspicion_stretch

    def confirmations(self, num_peers: int) -> int:
        """How many others must agree for the shortest suspicion: none where there are none."""
        return self.num_confirmations if num_peers >= 4 else 0

    def copies(self, num_peers: int) -> int:
        """How often one peer sends one rumour."""
        return self.rumour_copies * max(1, math.ceil(math.log10(num_peers + 1)))

    def seeking_rest_s(self, sought_s: float) -> float:
        """How long an address rests between two tries, once all were sought in vain for so long:
        as long as they have been since the quick ones, so that the rest doubles with every try.
        """
        rest_s = max(self.lonely_seed_period_s, sought_s - self.quick_seeking_s)
        return min(rest_s, self.rarest_seeking_s)

    def sync_every_s(self, num_peers: int) -> float:
        """Anti-entropy gets rarer in large fleets, so that its bytes stay level."""
        if num_peers <= self.sync_flat_below:
            return self.sync_period_s
        doublings = math.ceil(math.log2(num_peers / self.sync_flat_below))
        return self.sync_period_s * (doublings + 1)
