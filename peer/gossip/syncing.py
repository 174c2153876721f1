"""Anti-entropy: two peers lay their tables side by side, and each takes what it lacks.

Only the words of the exchange are made here; how they travel is the caller's. A synchronised
verdict is weaker than a heard one: who seems dead elsewhere is suspected here, and may refute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from .beliefs import Beliefs
from .facts import Facts
from .ids import NodeId
from .members import Members, Standing, State
from .own import Own
from .records import Address, Alive, Contact, Dead, Digest, Left, Row, Suspect

Comparison: TypeAlias = tuple[tuple[Row, ...], tuple[Digest, ...]]


def digest(own: Own, members: Members) -> tuple[Digest, ...]:
    """What we hold of everybody, without the facts themselves."""
    ours = Digest(own.node, *own.standing, own.facts.complete)
    theirs = (Digest(m.node, *m.standing, m.facts.complete) for m in members)
    return (ours, *theirs)


def answer(own: Own, members: Members, asked: Sequence[Digest]) -> Comparison:
    """The rows where we are ahead of the asker, and what we want of its."""
    held = {entry.node: entry for entry in digest(own, members)}
    theirs = {entry.node: entry for entry in asked}
    behind = [
        theirs.get(node) or _nothing(node)
        for node, mine in held.items()
        if _is_ahead(mine, theirs.get(node))
    ]
    wants = [
        held.get(entry.node) or _nothing(entry.node)
        for entry in asked
        if _is_ahead(entry, held.get(entry.node))
    ]
    return rows(own, members, behind), tuple(wants)


def rows(own: Own, members: Members, wants: Iterable[Digest]) -> tuple[Row, ...]:
    """The wanted rows, each with the sections that the other side misses."""
    found: list[Row] = []
    for want in wants:
        member = members.get(want.node)
        if want.node == own.node:
            found.append(_row(own.node, own.standing, own.facts, own.address, want))
        elif member is not None:
            row = _row(member.node, member.standing, member.facts, member.published, want)
            found.append(replace(row, announced_ver=member.announced_ver))
    return tuple(found)


def merge(
    now_s: float, own: Own, members: Members, beliefs: Beliefs, teller: NodeId, row: Row
) -> None:
    """Take one row from a synchronisation with `teller`."""
    member = members.get(row.node)
    is_verdict = row.state in (State.SUSPECT, State.DEAD)
    if row.address is not None and (is_verdict or row.state == State.ALIVE):
        ver = max(row.ver, row.announced_ver)
        contact = Contact(row.address.ip, row.address.port, ver)
        beliefs.hear(now_s, Alive(row.node, row.gen, row.inc, contact))
    if row.state == State.LEFT:
        beliefs.hear(now_s, Left(row.node, row.gen, row.inc))
    elif row.state == State.DEAD and member is None and row.node != own.node:
        # Nobody whom we know is called dead by this; the tombstone keeps old news of it away.
        beliefs.hear(now_s, Dead(row.node, row.gen, row.inc, teller))
    elif is_verdict:
        beliefs.hear(now_s, Suspect(row.node, row.gen, row.inc, teller))
    member = members.get(row.node)
    if member is not None and member.standing.gen == row.gen:
        beliefs.merge_facts(member, row.sections, row.ver)


def _is_ahead(mine: Digest, theirs: Digest | None) -> bool:
    if theirs is None:
        # Tombstones go at another moment everywhere: were those who have forgotten one taught it
        # again, it would stand for ever. Who is new here needs none.
        return mine.state <= State.SUSPECT
    is_newer = mine.gen == theirs.gen and mine.ver > theirs.ver
    return is_newer or (mine.gen, mine.inc, mine.state) > (theirs.gen, theirs.inc, theirs.state)


def _nothing(node: NodeId) -> Digest:
    return Digest(node, 0, 0, 0, 0)


def _row(
    node: NodeId, standing: Standing, facts: Facts, address: Address | None, want: Digest
) -> Row:
    held_ver = want.ver if want.gen == standing.gen else 0
    return Row(node, *standing, facts.complete, facts.since(held_ver), address)
