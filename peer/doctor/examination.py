"""All checks at once, each within its time, and what they found in an order that reads well.

The fleet is not joined: the peer that runs here is asked what it sees, and each peer that it names
is asked from here once more. Without a running peer those that are heard by mDNS are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeroconf import Error as ZeroconfError

from cortex.engine.errors import CortexError

from ..config import Card
from ..fleet.beacons import Found
from ..fleet.interfaces import Choice, choose, multicast_on, read_interfaces
from ..fleet.seeds import look_up, parse_seed
from ..gossip.ids import ID_BYTES, NodeId
from ..keys.keyring import Keyring
from ..onlooker.asking import Asking, Door
from ..onlooker.pictures import FleetPicture, PeerPicture
from ..units import counted
from .company import judge_builds, judge_reach
from .findings import Finding, fail, ok, warn
from .key import judge_node, look_at_key
from .machine import (
    LITTLE_FOR_MODELS_BYTES,
    LITTLE_FOR_STATE_BYTES,
    judge_machine,
    judge_place,
    look_at_machine,
    look_at_place,
)
from .multicast import hear_back, judge_interfaces, judge_multicast
from .neighbours import hear_neighbours, judge_neighbours
from .ports import look_at_port
from .reach import Prober, Target

# No check takes as long by itself: this is for one that hangs.
LIMIT_S = 12.0
MAX_PROBED = 64
_ASK_S = 3.0
_ANY_SEED = "HOST:PORT"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is to be looked at. `doors` lead to the peers that run here, the youngest first;
    `pulling_dir` is where models come: where they are only read, nothing needs room.
    """

    key_file: Path
    state_dir: Path
    pulling_dir: Path
    doors: tuple[Door, ...] = ()
    join: tuple[str, ...] = ()
    has_mdns: bool = True
    interfaces: tuple[str, ...] | None = None
    bound_host: str = "0.0.0.0"
    fleet_port: int | None = None
    cards: Sequence[Card] = ()
    torch_cuda: str | None = None
    c_compiler: str | None = None
    compiled_dir: Path | None = None


async def examine(inquiry: Inquiry, limit_s: float = LIMIT_S) -> list[Finding]:
    """All that was found. Raises nothing for what is broken here: that is what is told."""
    keyring, of_key = await asyncio.to_thread(look_at_key, inquiry.key_file)
    checks: Sequence[tuple[str, Callable[[], Awaitable[list[Finding]]]]] = (
        ("software", lambda: _machine(inquiry)),
        ("disk", lambda: asyncio.to_thread(_places, inquiry)),
        ("multicast", lambda: _network(inquiry)),
        ("id", lambda: asyncio.to_thread(judge_node, inquiry.state_dir / "node.json")),
        ("fleet", lambda: _fleet(inquiry, keyring)),
    )
    parts = await asyncio.gather(*(_within(limit_s, name, check) for name, check in checks))
    return [finding for part in (*parts[:3], [of_key], *parts[3:]) for finding in part]


async def _within(
    limit_s: float, name: str, check: Callable[[], Awaitable[list[Finding]]]
) -> list[Finding]:
    try:
        async with asyncio.timeout(limit_s):
            return await check()
    except TimeoutError:
        return [warn(name, f"this check did not end within {limit_s:g} s", "run it again with -v")]
    # A check that breaks says something about this machine too, and must not take the others along.
    except Exception as error:
        _LOG.info("check broke name=%s", name, exc_info=error)
        text = f"this check broke: {type(error).__name__}: {error}"
        return [warn(name, text, "run it again with -v")]


async def _machine(inquiry: Inquiry) -> list[Finding]:
    machine = await look_at_machine(inquiry.cards, inquiry.torch_cuda, inquiry.c_compiler)
    return judge_machine(machine)


def _places(inquiry: Inquiry) -> list[Finding]:
    state = look_at_place("state", inquiry.state_dir, LITTLE_FOR_STATE_BYTES)
    models = [look_at_place("models", inquiry.pulling_dir, LITTLE_FOR_MODELS_BYTES)]
    folder = inquiry.compiled_dir
    if inquiry.cards and folder is not None and folder != inquiry.state_dir:
        models.insert(0, look_at_place("kernels", folder, LITTLE_FOR_STATE_BYTES))
    return [judge_place(place) for place in (state, *models)]


async def _choice(inquiry: Inquiry) -> Choice:
    interfaces = await asyncio.to_thread(read_interfaces)
    return choose(interfaces, inquiry.interfaces, inquiry.bound_host)


async def _network(inquiry: Inquiry) -> list[Finding]:
    if not inquiry.has_mdns:
        return [ok("multicast", "mDNS is off: peers are met by --join alone")]
    choice = await _choice(inquiry)
    tried = [interface for interface in choice.used if interface.ipv4]
    heard = await asyncio.gather(*(asyncio.to_thread(hear_back, each) for each in tried))
    return [*judge_interfaces(choice, _ANY_SEED), *judge_multicast(heard, _ANY_SEED)]


async def _fleet(inquiry: Inquiry, keyring: Keyring | None) -> list[Finding]:
    (picture, found), neighbours = await asyncio.gather(
        asyncio.to_thread(_ask_peer, inquiry.doors), _neighbours(inquiry)
    )
    if picture is None:
        found.append(look_at_port(inquiry.bound_host, inquiry.fleet_port))
    tags = [key.mdns_tag for key in keyring.trusted] if keyring else []
    found += judge_neighbours(neighbours, tags)
    if keyring is None:
        return found
    own = _node(picture.asked) if picture and picture.asked else None
    targets = _targets(picture, [one for one in neighbours if one.tag in tags])
    sought, problems = await _sought(inquiry.join)
    known = {(target.ip, target.port) for target in targets}
    targets += [target for target in sought if (target.ip, target.port) not in known]
    found += problems
    if picture and picture.asked:
        builds = {peer.name: peer.build for peer in picture.peers if peer.state == "up"}
        found += judge_builds(picture.asked.build, builds)
    prober = Prober(keyring)
    probed = targets[:MAX_PROBED]
    for target, reach in zip(probed, await asyncio.gather(*map(prober.probe, probed)), strict=True):
        found += judge_reach(target, reach, own)
    return found


def _ask_peer(doors: Sequence[Door]) -> tuple[FleetPicture | None, list[Finding]]:
    """What the peer here sees, and what is to be said of it."""
    problem = warn("peer", "no peer is running on this machine", "cortex peer")
    for door in doors:
        try:
            picture = Asking(_ASK_S).fleet(door).picture
        except CortexError as error:
            problem = warn("peer", error.message, error.hint or "cortex peer")
        else:
            return picture, of_peer(door, picture)
    return None, [problem]


def of_peer(door: Door, picture: FleetPicture) -> list[Finding]:
    others = sum(not peer.is_asked for peer in picture.peers)
    name = picture.asked.name if picture.asked else "a peer"
    text = f"{name} runs at {door.address} and sees {counted(others, 'other peer')}"
    return [ok("peer", text), *map(_of_notice, picture.notices)]


def _of_notice(notice: str) -> Finding:
    """What mends it stands after a semicolon, where it is known."""
    text, _, fix = notice.partition("; ")
    return warn("notice", text, fix)


async def _neighbours(inquiry: Inquiry) -> tuple[Found, ...]:
    if not inquiry.has_mdns:
        return ()
    choice = await _choice(inquiry)
    try:
        return await hear_neighbours(multicast_on(choice)) if choice.used else ()
    except (OSError, ZeroconfError):
        return ()  # the check of multicast says why


def _targets(picture: FleetPicture | None, neighbours: Sequence[Found]) -> list[Target]:
    """Whom to try: the peers that are seen, and those of this fleet that are heard and not seen."""
    seen = [peer for peer in picture.peers if peer.state != "left"] if picture else []
    targets = [target for peer in seen if (target := _target(peer)) is not None]
    known = {target.node for target in targets}
    for one in {one.node: one for one in neighbours if one.node not in known}.values():
        targets += [Target(one.node, one.name, ip, one.fleet_port) for ip in one.addresses[:1]]
    return targets


async def _sought(join: Sequence[str]) -> tuple[list[Target], list[Finding]]:
    """Those that are to be joined by their fleet port, and what is wrong with their names."""
    targets: list[Target] = []
    problems: list[Finding] = []
    for seed in (seed for text in join if not (seed := parse_seed(text)).endpoint):
        try:
            address = (await look_up(seed.host, seed.port))[0]
        except (OSError, IndexError):
            text = f"nobody knows an address of {seed.host}, which is to be joined"
            problems.append(fail("join", text, "name another: cortex peer --join HOST:PORT"))
        else:
            targets.append(Target(None, seed.host, address.ip, address.port))
    return targets, problems


def _target(peer: PeerPicture) -> Target | None:
    node = _node(peer)
    ip, _, port = (peer.address or "").rpartition(":")
    if node is None or not ip or not port.isdecimal():
        return None
    return Target(node, peer.name, ip.strip("[]"), int(port), peer.is_asked, peer.state)


def _node(peer: PeerPicture) -> NodeId | None:
    try:
        node = bytes.fromhex(peer.node)
    except ValueError:
        return None
    return NodeId(node) if len(node) == ID_BYTES else None
