"""The published facts of one peer: few fixed sections, overwritten in place, never deleted.

The owner numbers its writes; a section carries the number of its last write. A reader knows up to
which number it misses nothing (`complete`), which is what it tells others so that they can send
the rest. What the bytes of a section mean is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cortex.engine.errors import CortexError

from .records import MAX_SECTION_BYTES, MAX_SECTIONS, Section

MAX_ROW_BYTES = MAX_SECTION_BYTES


class FactsTooLarge(CortexError):
    """This peer wants to publish more than a row may hold. Others' mistakes raise nothing."""


@dataclass(slots=True)
class Facts:
    """The sections of one generation of one peer."""

    complete: int = 0  # no write up to this number is missing here
    _sections: dict[int, Section] = field(default_factory=dict[int, Section])

    def content(self, section: int) -> bytes | None:
        held = self._sections.get(section)
        return held.content if held else None

    def version_of(self, section: int) -> int:
        held = self._sections.get(section)
        return held.sver if held else 0

    def write(self, section: int, content: bytes) -> Section:
        """What the owner does: number the write and overwrite the slot.

        Raises FactsTooLarge.
        """
        written = Section(section, self.complete + 1, content)
        if not self._fits(written):
            raise FactsTooLarge(
                f"section {section} of {len(content)} bytes does not fit a row of "
                f"{MAX_SECTIONS} sections and {MAX_ROW_BYTES} bytes",
                "publish a count and a digest, and let peers fetch the rest",
            )
        self._sections[section] = written
        self.complete = written.sver
        return written

    def merge(self, news: Section) -> bool:
        """Take one section heard by itself. True if it is news that fits."""
        if news.sver <= self.version_of(news.section) or not self._fits(news):
            return False
        self._sections[news.section] = news
        if news.sver == self.complete + 1:
            self.complete = news.sver
        return True

    def merge_row(self, sections: Iterable[Section], complete: int) -> bool:
        """Take what a reader of ours was missing: the owner's writes up to a number.

        True if any is news. Where a section finds no room the rest counts as still missing.
        """
        has_news = False
        for section in sections:
            if section.sver > self.version_of(section.section):
                if not self.merge(section):
                    return has_news
                has_news = True
        self.complete = max(self.complete, complete)
        return has_news

    def since(self, version: int) -> tuple[Section, ...]:
        """The sections written after this number, oldest first: cut anywhere, it is a prefix."""
        newer = [held for held in self._sections.values() if held.sver > version]
        return tuple(sorted(newer, key=lambda held: held.sver))

    def _fits(self, news: Section) -> bool:
        others = [held for held in self._sections.values() if held.section != news.section]
        num_bytes = sum(len(held.content) for held in others) + len(news.content)
        return len(others) < MAX_SECTIONS and num_bytes <= MAX_ROW_BYTES
