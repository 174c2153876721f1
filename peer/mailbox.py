"""What one request's makers leave for its reader.

A reader slower than the engine costs no more memory than the answer itself: stages replace each
other and text pieces melt together. It knows nothing of processes or requests.
"""

from __future__ import annotations

import asyncio

from cortex.engine.errors import CortexError
from cortex.engine.types import Finished, Stage, TextDelta


class Mailbox:
    """Single reader; everything happens on one event loop."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._texts: list[str] = []
        self._token_ids: list[int] = []
        self._ending: Finished | CortexError | None = None
        self._filled = asyncio.Event()

    @property
    def is_ended(self) -> bool:
        return self._ending is not None

    def put_stage(self, stage: Stage) -> None:
        self._stage = stage
        self._filled.set()

    def put_text(self, text: str, token_ids: tuple[int, ...]) -> None:
        """Add a piece. Text overtakes a stage nobody read: the wait it told of is over."""
        self._stage = None
        self._texts.append(text)
        self._token_ids.extend(token_ids)
        self._filled.set()

    def end(self, ending: Finished | CortexError) -> None:
        """Say how it ended; only the first ending counts."""
        if self._ending is None:
            self._stage = None
            self._ending = ending
            self._filled.set()

    async def get(self) -> Stage | TextDelta | Finished:
        """The next thing, waiting for it.

        Raises the error that the request ended with, once the text before it has been read.
        """
        while True:
            await self._filled.wait()
            if self._stage is not None:
                stage, self._stage = self._stage, None
                return stage
            if self._texts:
                return self._take_text()
            if self._ending is not None:
                if isinstance(self._ending, CortexError):
                    raise self._ending
                return self._ending
            self._filled.clear()

    def _take_text(self) -> TextDelta:
        delta = TextDelta("".join(self._texts), tuple(self._token_ids))
        self._texts.clear()
        self._token_ids.clear()
        return delta
