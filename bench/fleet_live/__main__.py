"""A fleet of real processes against its bars: `python -m bench.fleet_live [--out FILE]`.

Peers with the fake engine on this machine, otherwise idle. Every figure is the median of a few
rounds; the rest of the machine should rest too. The figures of virtual time are `bench.fleet`'s.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cortex.peer.keys.fleet_key import new_fleet_key

from ..live.peers import Peers, peers_in
from ..machine import load_average
from ..report import arguments, written
from .deaths import errors, gaps, routed_around
from .meeting import joins
from .rest import cold_burst, idle_bytes_per_s, suspicions_under_load

Measure = Callable[[Peers], Mapping[str, float]]

MEASURES: Mapping[str, Measure] = {
    "joins": joins,
    "routing": routed_around,
    "gaps": gaps,
    "errors": errors,
    "cold": cold_burst,
    "idle": idle_bytes_per_s,
    "load": suspicions_under_load,
}
BARS = {
    "seen everywhere after its start, by seed, s": 2.0,
    "seen everywhere after its start, by mDNS, s": 4.0,
    "killed and asked: out of routing, s": 1.0,
    "halted: out of routing, s": 5.0,
    "gap in a stream after kill -9, s": 1.0,
    "gap in a stream after SIGSTOP, s": 4.0,
    "gap in a stream after kill -9 of its engine, s": 1.0,
    "error without another holder after kill -9, s": 3.0,
    "error without another holder after SIGSTOP, s": 3.0,
    "loaders of 100 first requests on 10 ingresses": 1.0,
    "refused of 100 first requests on 10 ingresses": 0.0,
    "idle, bytes/s/peer": 1000.0,
    "suspicions during 64 MiB a second for 60 s": 0.0,
    "suspicions during 30 s of busy processors": 0.0,
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=MEASURES, action="append")
    args = parser.parse_args()
    before = load_average()
    figures: dict[str, float] = {}
    for name in args.only or MEASURES:
        key = new_fleet_key(secrets.token_bytes)
        with tempfile.TemporaryDirectory() as folder, peers_in(Path(folder), key) as peers:
            found = MEASURES[name](peers)
        figures |= found
        for figure, value in found.items():
            verdict = "" if value <= BARS[figure] else "   MISSED"
            print(f"{value:9.2f}  <= {BARS[figure]:g}  {figure}{verdict}", flush=True)
    written(
        args.out,
        "a fleet of real processes against its bars",
        command="python -m bench.fleet_live",
        load_average_before=before,
        figures=[{"name": n, "value": v, "bar": BARS[n]} for n, v in figures.items()],
    )


if __name__ == "__main__":
    main()
