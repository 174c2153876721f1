"""What a person is told where one peer refuses another, or has to: keys, versions."""

from __future__ import annotations

from ..gossip.events import Refused
from ..gossip.hearing import WRONG_PROTOCOL
from .driver import RETIRED_KEY

_MENDED_BY = {
    WRONG_PROTOCOL: "update the older of the two",
    RETIRED_KEY: "here: `cortex key add` with what `cortex key` shows there, then `cortex key use`",
}


def words_of(event: Refused) -> str:
    where = f"{event.address.ip} port {event.address.port}"
    mend = f"; {_MENDED_BY[event.reason]}" if event.reason in _MENDED_BY else ""
    if event.by_us:
        return f"the peer at {where} speaks another version of the protocol{mend}"
    return f"the peer at {where} refuses us: {event.reason}{mend}"
