"""What stands in a peer's sections, and where it is by them and by what was seen of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from ..gossip.codec import MessageError
from ..gossip.facts import Facts
from ..gossip.members import Member
from ..gossip.own import Own
from ..gossip.records import Address
from ..gossip.sections import Content, Ident, unpack_content
from ..resolving import MAX_ADDRESSES

C = TypeVar("C", bound=Content)


def read(kind: type[C], facts: Facts) -> C | None:
    """None where it has said nothing of the kind, or nothing that can be read."""
    content = facts.content(kind.SECTION)
    try:
        return None if content is None else unpack_content(kind, content)
    except MessageError:
        return None


def our_addresses(own: Own) -> tuple[Address, ...]:
    """Where we are met, by what we tell and by where we are seen."""
    return tuple(dict.fromkeys((own.address, *told_addresses(own.facts))))


def tcp_addresses(member: Member, ours: Collection[Address]) -> tuple[Address, ...]:
    """Where its fleet port may answer, the likeliest first: seen beats said, but for a port that
    only a NAT knows. At `ours` we would meet ourselves: every machine may have a bridge of that
    address.
    """
    seen, said = member.heard_from, member.published
    if seen is not None and said is not None and seen.port != said.port:
        seen = None
    told = (each for each in told_addresses(member.facts) if each not in ours)
    known = (seen, said, *told)
    return tuple(dict.fromkeys(each for each in known if each is not None))[:MAX_ADDRESSES]


def told_addresses(facts: Facts) -> tuple[Address, ...]:
    """Those that a peer tells of itself, in its order."""
    ident = read(Ident, facts)
    told = sorted(ident.addresses, key=lambda each: each.preference) if ident else ()
    return tuple(Address(each.ip, each.port) for each in told)[:MAX_ADDRESSES]
