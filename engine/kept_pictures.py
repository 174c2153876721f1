"""Pictures that were made ready before: a conversation shows the same ones again in every turn.

Known by the bytes that the client sends, so that nothing of them need be decoded again. May be
asked from several threads.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from .images import prepare_image
from .pieces import KEPT_S
from .preprocessor import PixelBudget, Preprocessor
from .types import PreparedImage

# What was shown since then stays, and what comes finds no room: a conversation shows its pictures
# in order, and where they are too many each would push out the one that is shown next.
_STAYS_S = 60.0


class KeptPictures:
    """Those that were shown lately, under a byte budget."""

    def __init__(self, budget_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget_bytes = budget_bytes
        self._clock = clock
        self._used_bytes = 0
        self._lock = threading.Lock()
        # With when they were last shown, in that order.
        self._kept: OrderedDict[Hashable, tuple[PreparedImage, float]] = OrderedDict()

    def prepare(
        self, data: bytes, preprocessor: Preprocessor, budget: PixelBudget, max_image_pixels: int
    ) -> PreparedImage:
        """As `prepare_image`, but for pictures that are kept. Raises InvalidImage."""
        key = hashlib.sha256(data).digest(), preprocessor, budget, max_image_pixels
        with self._lock:
            if (kept := self._kept.pop(key, None)) is not None:
                self._kept[key] = kept[0], self._clock()
                return kept[0]
        image = prepare_image(data, preprocessor, budget, max_image_pixels)
        with self._lock:
            self._let_go(_STAYS_S, self._budget_bytes - len(image.rgb))
            has_room = self._used_bytes + len(image.rgb) <= self._budget_bytes
            if has_room and key not in self._kept:
                self._kept[key] = image, self._clock()
                self._used_bytes += len(image.rgb)
        return image

    def forget(self) -> None:
        """Let go of what was not shown for long."""
        with self._lock:
            self._let_go(KEPT_S, 0)

    def _let_go(self, unshown_s: float, left_bytes: int) -> None:
        """Those shown longest ago, each at least so long, until no more is left."""
        latest_s = self._clock() - unshown_s
        while self._kept and self._used_bytes > left_bytes:
            key, (image, shown_s) = next(iter(self._kept.items()))
            if shown_s > latest_s:
                return
            del self._kept[key]
            self._used_bytes -= len(image.rgb)
