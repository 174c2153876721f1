"""How long a reader lets one wait: the first question once it is loaded, and a large page.

Pictures are opened, scaled and read as for users; only the clock is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .hand import HAND_FOLDER

FIRST_TOKEN_BAR_S = 2.0
PAGE_BAR_S = 8.0
_RECEIPT = HAND_FOLDER.parent / "receipt.png"
PAGE = HAND_FOLDER / "invoice-page.png"  # of 1,000 cells


class Streams(Protocol):
    def stream(self, pngs: Sequence[bytes], question: str) -> Iterator[int]: ...

    def image_tokens(self, png: bytes) -> int: ...


@dataclass(frozen=True, slots=True)
class Timing:
    name: str
    seconds: float
    bar_s: float

    @property
    def cleared(self) -> bool:
        return self.seconds <= self.bar_s


def first_tokens(reader: Streams, clock: Callable[[], float]) -> tuple[Timing, Timing]:
    """From a question to its first token. Ask it before anything else: then nothing is warm."""
    question = "What is the total?"

    def timed(what: str, path: Path, bar_s: float) -> Timing:
        png = path.read_bytes()
        asked_s = clock()
        answer = reader.stream((png,), question)
        next(answer, None)  # an answer may be empty
        seconds = clock() - asked_s
        for _ in answer:  # to its end: the next question waits for nobody
            pass
        return Timing(f"{what}, {reader.image_tokens(png)} image tokens", seconds, bar_s)

    return (
        timed("first token after loading", _RECEIPT, FIRST_TOKEN_BAR_S),
        timed("first token of a page", PAGE, PAGE_BAR_S),
    )
