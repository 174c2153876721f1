"""What two peers say to each other over the hop: requests one way, their events the other.

One connection carries many requests, each attempt under an id that the asking side made up: what
an abandoned one still sends is dropped by it. A side that has nothing to say beats, so that
silence means death. A message that is too long to go at once is
sent in slices. Unknown fields are passed over, but for those of a ChatRequest; a message of an
unknown type is dropped, and one that says of a request what only newer peers know ends that request
alone.
"""

from __future__ import annotations

import msgspec

from cortex.engine.errors import ErrorInfo
from cortex.engine.stream import Accepted, Began, Finished, Piece, Resume, Stage, Vector
from cortex.engine.types import ChatRequest

from ..gossip.ids import U8, U63, Model, Node, Word
from ..orders.values import Report

# ingress -> host


class Ask(msgspec.Struct, frozen=True, tag=True):
    """`request.model` is the host's own id of the weights that `model` names; a host that has
    others under it refuses. With a `resume` only the rest of an answer is wanted. A host answers
    itself: nothing is passed on to a third peer. `num_losses` engines have ended under it so far.
    """

    request_id: Word
    model: Model
    request: ChatRequest
    resume: Resume | None = None
    num_losses: U8 = 0


class CountAsk(msgspec.Struct, frozen=True, tag=True):
    """How many tokens does the prompt of this request have?"""

    request_id: Word
    model: Model
    request: ChatRequest


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Nobody wants it any more."""

    request_id: Word


class LeaseAsk(msgspec.Struct, frozen=True, tag=True):
    """To the arbiter of a model: who loads it? `candidates` are the peers that could; those that
    have it already are `holders`, and another one is wanted beside them. `lost` are peers that the
    request has failed with.
    """

    request_id: Word
    model: Model
    candidates: tuple[Node, ...]
    holders: tuple[Node, ...] = ()
    lost: tuple[Node, ...] = ()


class OrderAsk(msgspec.Struct, frozen=True, tag=True):
    """Do this. `order` is packed on its own, so that a peer that does not know it says so."""

    request_id: Word
    order: bytes


# host -> ingress


class Unread(msgspec.Struct, frozen=True, tag=True):
    """What only newer peers can read: nobody sends it, it is found where bytes are read."""


class Part(msgspec.Struct, frozen=True):
    request_id: Word
    event: Stage | Accepted | Began | Piece | Finished | Vector | Unread


class Parts(msgspec.Struct, frozen=True, tag=True):
    """What happened to requests of this ingress: everything of one step in one message."""

    parts: tuple[Part, ...]


class Failed(msgspec.Struct, frozen=True, tag=True):
    request_id: Word
    error: ErrorInfo


class Counted(msgspec.Struct, frozen=True, tag=True):
    request_id: Word
    prompt_tokens: int


class Leased(msgspec.Struct, frozen=True, tag=True):
    """The answer to a LeaseAsk: this peer is to load it."""

    request_id: Word
    holder: Node


class Reported(msgspec.Struct, frozen=True, tag=True):
    """What an order has come to so far; without a report it is over. The first one comes at once:
    a peer that says nothing knows no orders.
    """

    request_id: Word
    report: Report | None


# both ways


class Slice(msgspec.Struct, frozen=True, tag=True):
    """Some bytes of a long message about this request, beginning at `offset` of `total_bytes`.

    The slices of one message follow each other; one at offset 0 begins another message.
    """

    request_id: Word
    total_bytes: U63
    offset: U63
    data: bytes


class Beat(msgspec.Struct, frozen=True, tag=True):
    """I am here."""


class Goodbye(msgspec.Struct, frozen=True, tag=True):
    """This side ends: what it had under way is to be taken elsewhere, now."""


Message = (
    Ask
    | CountAsk
    | Cancel
    | LeaseAsk
    | OrderAsk
    | Parts
    | Failed
    | Counted
    | Leased
    | Reported
    | Slice
    | Beat
    | Goodbye
)
