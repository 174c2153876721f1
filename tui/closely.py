"""One peer seen closely, asked again and again while somebody looks at it."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from cortex.engine.errors import CortexError
from cortex.peer.onlooker.details import PeerDetail, read_detail
from cortex.peer.onlooker.understanding import understood

from .frame import Frame


class Closely:
    """`problem` is why nothing newer is known of that node; what was known of it stays."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._is_asking = False
        self._node = ""
        self._detail: PeerDetail | None = None
        self.seen: datetime | None = None
        self.problem = ""

    def of(self, node: str) -> PeerDetail | None:
        return self._detail if self._node == node else None

    async def look(self, node: str) -> bool:
        """Whether something is known now that was not; at once where a question is under way."""
        if self._is_asking:
            return False
        self._is_asking = True
        if node != self._node:
            self._node, self._detail, self.seen, self.problem = node, None, None, ""
        try:
            told = await self._frame.acting.ask(f"/fleet/peers/{quote(node, safe='')}")
            self._detail = understood(read_detail, told)
            self.seen, self.problem = self._frame.now(), ""
        except CortexError as error:
            self.problem = error.message
        finally:
            self._is_asking = False
        return True
