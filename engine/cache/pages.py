"""Which pages of a device's KV pool belong to whom.

Pages are numbers here: what they hold, and how large they are, is for others. A sequence's pages
lie next to each other wherever possible, because a consecutive run can be read in place, without
being gathered. Free pages are kept as runs (maximal: no two touch), by start, by end and by size,
so that nothing is ever searched page by page.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable

from ..errors import InternalError


class PageAllocator:
    """Hands out the pages 0 to num_pages - 1, each to one holder at a time."""

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        self._free = _FreeRuns()
        self._held: set[SequencePages] = set()
        if num_pages:
            self._free.add(0, num_pages)

    @property
    def num_free(self) -> int:
        return self._free.num_pages

    def allocate(self, num_pages: int) -> SequencePages | None:
        """That many pages, as one run if any is long enough; None, and nothing taken, if too many.

        Among the runs that fit the smallest is taken; where none fits, the largest first.
        """
        if num_pages > self.num_free:
            return None
        pages = SequencePages(self._free, self._held, self._free.take(num_pages))
        self._held.add(pages)
        return pages

    def check_integrity(self) -> None:
        """Raise InternalError unless every page is free once or held once, and the books agree."""
        held = [page for holder in self._held for page in holder.pages]
        everything = sorted(self._free.checked_pages() + held)
        if everything != list(range(self.num_pages)):
            raise InternalError(
                f"of {self.num_pages} pages {self.num_free} are free and {len(held)} are held"
            )


class SequencePages:
    """One sequence's pages, in the order of its tokens."""

    def __init__(self, free: _FreeRuns, held: set[SequencePages], pages: list[int]) -> None:
        self._free = free
        self._held = held
        # Numbers as steps are told them: those of a long conversation are copied every time.
        self._pages = array("q", pages)

    @property
    def pages(self) -> array[int]:
        """Not a copy: read it, and leave it as it is."""
        return self._pages

    def runs(self) -> list[tuple[int, int]]:
        """The pages as (first page, number) of consecutive runs."""
        return _runs(self._pages)

    def extend(self, num_pages: int) -> bool:
        """Add pages, consecutive if that can be; False, and nothing taken, if too few are free."""
        self._check_held()
        if num_pages > self._free.num_pages:
            return False
        self._pages.extend(self._free.take_behind(self._pages[-1], num_pages))
        return True

    def release(self) -> None:
        """Give all pages back. Twice is an error: they may be another's by then."""
        self._check_held()
        self._held.remove(self)
        for start, size in _runs(sorted(self._pages)):
            self._free.add(start, size)

    def _check_held(self) -> None:
        if self not in self._held:
            raise InternalError(f"{len(self._pages)} pages were already given back")


class _FreeRuns:
    """The free pages as runs. Whoever takes has seen that there are enough."""

    def __init__(self) -> None:
        self.num_pages = 0
        self._size_at: dict[int, int] = {}  # a run's first page: its size
        self._start_before: dict[int, int] = {}  # the page after a run: its first page
        self._by_size: list[tuple[int, int]] = []  # (size, first page), ascending

    def take(self, num_pages: int) -> list[int]:
        """From the smallest run that is large enough, else from the largest ones."""
        taken: list[int] = []
        while (missing := num_pages - len(taken)) > 0:
            best = bisect_left(self._by_size, (missing, 0))
            size, start = self._by_size[min(best, len(self._by_size) - 1)]
            taken += self._take_from(start, min(size, missing))
        return taken

    def take_behind(self, page: int, num_pages: int) -> list[int]:
        """Right behind a page as far as that is free, then from the largest run.

        The largest, and not the one that fits best: what is taken next can follow on there.
        """
        behind = min(self._size_at.get(page + 1, 0), num_pages)
        taken = self._take_from(page + 1, behind) if behind else []
        while (missing := num_pages - len(taken)) > 0:
            size, start = self._by_size[-1]
            taken += self._take_from(start, min(size, missing))
        return taken

    def add(self, start: int, size: int) -> None:
        """Free a run, joined to the free runs that it touches."""
        before = self._start_before.get(start)
        if before is not None:
            size += self._remove(before)
            start = before
        if start + size in self._size_at:
            size += self._remove(start + size)
        self._insert(start, size)

    def checked_pages(self) -> list[int]:
        """All free pages. Raises InternalError where the books disagree or two runs touch."""
        runs = self._size_at.items()
        touching = [start for start in self._size_at if start in self._start_before]
        by_size = sorted((size, start) for start, size in runs)
        by_end = {start + size: start for start, size in runs}
        pages = [page for start, size in runs for page in range(start, start + size)]
        books = (self._by_size, self._start_before, self.num_pages)
        if touching or books != (by_size, by_end, len(pages)):
            raise InternalError(f"the books of {len(pages)} free pages disagree: {touching=}")
        return pages

    def _take_from(self, start: int, num_pages: int) -> list[int]:
        """The first pages of the run that begins at `start`."""
        size = self._remove(start)
        if size > num_pages:
            self._insert(start + num_pages, size - num_pages)
        return list(range(start, start + num_pages))

    def _insert(self, start: int, size: int) -> None:
        self._size_at[start] = size
        self._start_before[start + size] = start
        insort(self._by_size, (size, start))
        self.num_pages += size

    def _remove(self, start: int) -> int:
        size = self._size_at.pop(start)
        del self._start_before[start + size]
        del self._by_size[bisect_left(self._by_size, (size, start))]
        self.num_pages -= size
        return size


def _runs(pages: Iterable[int]) -> list[tuple[int, int]]:
    """Pages as (first page, number) of consecutive runs, in their order."""
    runs: list[tuple[int, int]] = []
    for page in pages:
        if runs and sum(runs[-1]) == page:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((page, 1))
    return runs
