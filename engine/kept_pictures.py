"""Pictures that were made ready before: a conversation shows the same ones again in every turn.

Known by the bytes that the client sends, so that nothing of them need be decoded again. May be
asked from several threads.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable

from .images import prepare_image
from .preprocessor import PixelBudget, Preprocessor
from .types import PreparedImage


class KeptPictures:
    """The last ones used, under a byte budget."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, PreparedImage] = OrderedDict()

    def prepare(
        self, data: bytes, preprocessor: Preprocessor, budget: PixelBudget, max_image_pixels: int
    ) -> PreparedImage:
        """As `prepare_image`, but for pictures that are kept. Raises InvalidImage."""
        key = hashlib.sha256(data).digest(), preprocessor, budget, max_image_pixels
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        image = prepare_image(data, preprocessor, budget, max_image_pixels)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = image
                self._used_bytes += len(image.rgb)
            while self._used_bytes > self._budget_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._used_bytes -= len(oldest.rgb)
        return image
