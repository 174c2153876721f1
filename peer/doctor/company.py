"""What the probes of all peers come to, one finding and more for each. Values in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ..addresses import authority
from ..fleet.driver import RETIRED_KEY
from ..gossip.ids import NodeId
from .advice import let_through
from .findings import Finding, fail, ok, warn
from .reach import Reach, Target

# Less than what whole seconds and a slow answer can feign.
CLOCK_S = 2.0
_GONE = ("dead", "left")
_JOIN = "give it this fleet's key: run `cortex key` here, and its line there"
_ADD = "here: `cortex key add` with what `cortex key` shows there, then `cortex key use`"
_START = "start it again: cortex peer"


def judge_reach(target: Target, reach: Reach, own_node: NodeId | None) -> Iterator[Finding]:
    """`own_node` is the peer on this machine, of which the other may tell."""
    view = None if target.is_self or own_node is None else reach.view
    us = _told_of(view, own_node.hex()) if view is not None and own_node is not None else None
    hears = us is not None and us.get("state") not in ("suspect", "dead")
    yield _from_here(target, reach, hears=hears)
    if target.is_self or reach.tls_s is None:
        return
    if view is not None and not hears:
        yield _to_here(target, us)
    if reach.clock_ahead_s is not None and abs(reach.clock_ahead_s) > CLOCK_S:
        by_s = reach.clock_ahead_s
        side = "ahead of" if by_s > 0 else "behind"
        text = f"the clock is {abs(by_s):.1f} s {side} that of {target.name}"
        yield warn("clock", text, "sudo timedatectl set-ntp true, on both")


def judge_builds(own_build: str, targets: Mapping[str, str]) -> Iterator[Finding]:
    """`targets` are builds by name."""
    for name, build in targets.items():
        if own_build and build and build != own_build:
            text = f"{name} runs cortex {build}, this peer {own_build}"
            yield warn("version", text, "update both to one release")


def _from_here(target: Target, reach: Reach, *, hears: bool) -> Finding:
    who = f"{'this peer' if target.is_self else target.name} at {authority(target.ip, target.port)}"
    broken = _broken(who, target, reach)
    if broken is not None:
        return broken
    if reach.datagram_s is None and reach.tls_s is None:
        return _silent(who, target, reach)
    if reach.datagram_s is None:
        text = f"{who}: TLS answers, UDP does not" + _because(reach.refusal)
        return fail("reach", text, f"there: {let_through(target.port, 'udp')}")
    if reach.tls_s is None:
        text = f"{who}: UDP answers, TLS does not ({reach.tls_problem})"
        return fail("reach", text, f"there: {let_through(target.port, 'tcp')}")
    times = f"UDP {reach.datagram_s * 1000:.1f} ms, TLS {reach.tls_s * 1000:.0f} ms"
    return ok("reach", f"{who} answers: {times}" + ("; it hears this peer" if hears else ""))


def _broken(who: str, target: Target, reach: Reach) -> Finding | None:
    """What no firewall does."""
    if reach.refusal == RETIRED_KEY:
        return fail("key", f"{who} no longer takes this fleet key", _ADD)
    if reach.tls_problem == "key":
        return fail("key", f"{who} has another fleet key", _JOIN)
    if reach.tls_problem == "node" and target.state in _GONE:
        return warn("reach", f"{who} is {target.state}, and another peer has its port", _START)
    if reach.tls_problem == "node" and target.node is not None:
        text = f"{who}: another peer answers there than {target.node.hex()}"
        return fail("id", text, "give each peer a fleet port of its own, and one --advertise each")
    return None


def _silent(who: str, target: Target, reach: Reach) -> Finding:
    if target.state in _GONE:
        return warn("reach", f"{who} does not answer; it is {target.state}", _START)
    if reach.tls_problem == "refused":
        text = f"{who}: nobody listens there"
        return fail("reach", text, f"{_START}; or mend its --advertise")
    text = f"{who} does not answer by UDP or TLS" + _because(reach.refusal)
    return fail("reach", text, f"there: {let_through(target.port, 'udp', 'tcp')}")


def _because(refusal: str) -> str:
    return f" ({refusal})" if refusal else ""


def _to_here(target: Target, us: Mapping[str, Any] | None) -> Finding:
    """That it does not reach us, by what it says of us."""
    fix = "open this machine's fleet port for UDP and TCP, or tell another: --advertise HOST:PORT"
    if us is None:
        return warn("reach", f"{target.name} does not know this peer", fix)
    text = (
        f"one way only: {target.name} answers this peer, and gets no answer from it"
        f" at {us.get('address')}; there it is {us.get('state')}"
    )
    return fail("reach", text, fix)


def _told_of(view: Mapping[str, Any], node: str) -> Mapping[str, Any] | None:
    peers: Any = view.get("peers")
    for peer in cast(list[Any], peers) if isinstance(peers, list) else ():
        if isinstance(peer, dict):
            told = cast(Mapping[str, Any], peer)
            if told.get("node") == node:
                return told
    return None
