"""Who runs next: admission, the token budget of a step, and who gives way when memory ends.

Plain numbers and no torch. Bytes come before slots: a sequence that has pages for its prompt and a
slot for its state runs; the others wait in order of priority and arrival. Who begins like one whose
prompt is being read waits for that (`following.py`).
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from .cache.pages import PageAllocator
from .chunks import LEAST_SPARED_TOKENS
from .following import should_follow
from .sequence import Sequence

# A request's priority falls by one in this time, so that none waits for ever.
AGING_S = 30.0
# Pages for so many tokens of an answer are taken at once, that they may follow on each other.
_EXPECTED_ANSWER_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Chunk:
    """The part of a prompt, up to `end`, that one step computes."""

    sequence: Sequence
    end: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """`decode` goes by slots: neighbours in memory are neighbours in the batch."""

    decode: tuple[Sequence, ...]
    chunks: tuple[Chunk, ...]


class Scheduler:
    """The sequences of one model on one device."""

    def __init__(
        self, allocator: PageAllocator, *, page_tokens: int, num_slots: int, step_tokens: int
    ) -> None:
        """`step_tokens` is what one step may compute: decodes first, then prompt chunks."""
        self._allocator = allocator
        self._page_tokens = page_tokens
        self._step_tokens = step_tokens
        self._free_slots = list(range(num_slots))
        self.num_slots = num_slots
        # Fewer while that many turned out to be too many for the device.
        self.most_running = num_slots
        self._arrivals = 0
        # Whether the last chunks were led by who is first in order.
        self._was_first = False
        self._order: dict[Sequence, int] = {}
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []

    def __bool__(self) -> bool:
        return bool(self.waiting or self.running)

    @property
    def num_pages(self) -> int:
        return self._allocator.num_pages

    @property
    def num_used_pages(self) -> int:
        return self._allocator.num_pages - self._allocator.num_free

    def add(self, sequence: Sequence) -> None:
        self._order[sequence] = self._arrivals
        self._arrivals += 1
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """It ended, however: what it held is free."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        else:
            self.waiting.remove(sequence)
        del self._order[sequence]

    def suspend(self, sequence: Sequence) -> None:
        """It gives its place up and waits for another; its memory was saved before."""
        self.running.remove(sequence)
        self._release(sequence)
        self.waiting.append(sequence)

    def in_order(self, sequences: Iterable[Sequence], now_s: float) -> list[Sequence]:
        """By priority, the more pressing the longer it waits, then by arrival; answers that have
        begun before they came go first.
        """
        return sorted(sequences, key=lambda sequence: self._rank(sequence, now_s))

    def admit(self, now_s: float) -> Sequence | None:
        """The first waiting sequence, given pages and a slot; None where it has to wait.

        Nobody overtakes it: a long prompt that waits for memory is not starved by short ones. Only
        who waits for what another is just reading lets those behind it go ahead.
        """
        if not self.waiting or len(self.running) >= self.most_running:
            return None
        order = self.in_order(self.waiting, now_s)
        first = next((s for s in order if not self._follows(s, now_s)), None)
        if first is None:
            return None
        known = max(len(first.tokens), first.num_prompt)
        expected = min(first.num_prompt + first.max_tokens, known + _EXPECTED_ANSWER_TOKENS)
        first.pages = self._allocator.allocate(self._num_pages(expected)) or (
            self._allocator.allocate(self._num_pages(known + 1))
        )
        if first.pages is None:
            return None
        first.slot = heapq.heappop(self._free_slots)
        self.waiting.remove(first)
        self.running.append(first)
        return first

    def victim(self, now_s: float) -> Sequence | None:
        """Who must be suspended before the next step fits; None where it does.

        Every sequence that decodes gets the page its next token needs; where none is left, the
        last in order gives way.
        """
        order = self.in_order(self.running, now_s)
        for sequence in order:
            if sequence.is_prefilled and not self.has_page(sequence):
                return order[-1]
        return None

    def has_page(self, sequence: Sequence) -> bool:
        """Whether there is a page for what comes behind all that is computed of it; one that is
        free is taken for it.
        """
        pages = sequence.pages
        assert pages is not None
        return sequence.num_computed < len(pages.pages) * self._page_tokens or pages.extend(1)

    def plan(self, now_s: float) -> StepPlan:
        """The next step: all that decode and have a token to feed, and chunks as far as the budget
        reaches.

        At least one chunk is taken where a prompt is unfinished, however many decode. Who has no
        room for its next one is passed over by those whose next is smaller. What little is left
        behind a chunk, as the last tokens of a chat are behind its last boundary, goes with it
        whatever the budget: in a step of its own the first token would wait for two.
        """
        decode = [s for s in self.running if s.is_prefilled and s.undrawn is None]
        decode.sort(key=lambda s: -1 if s.slot is None else s.slot)
        budget = self._step_tokens - len(decode)
        chunks: list[Chunk] = []
        for sequence in self._reading(now_s):
            done = sequence.num_computed
            for end in sequence.cuts[bisect_right(sequence.cuts, done) :]:
                is_rest = done > sequence.num_computed and (
                    sequence.cuts[-1] - done < LEAST_SPARED_TOKENS
                )
                if chunks and end - done > budget and not is_rest:
                    break
                chunks.append(Chunk(sequence, end))
                budget -= end - done
                done = end
        return StepPlan(tuple(decode), tuple(chunks))

    def _reading(self, now_s: float) -> list[Sequence]:
        """Whose prompts are unfinished, in order; but every other step begins with the one that has
        the least left to read, so that nobody waits for all of a long prompt.

        Of those that asked to be the most pressing: the first may be so by having waited alone.
        """
        order = [s for s in self.in_order(self.running, now_s) if not s.is_prefilled]
        if not order:
            return []
        first = order[0]
        most_pressing = min(s.priority for s in order)
        pressing = (s for s in order if s.priority == most_pressing)
        leader = min(pressing, key=lambda s: s.num_unfinished) if self._was_first else first
        self._was_first = leader is first
        return [leader, *(s for s in order if s is not leader)]

    def _rank(self, sequence: Sequence, now_s: float) -> tuple[float, bool, int]:
        aged = int((now_s - sequence.arrived_s) / AGING_S)
        return sequence.priority - aged, not sequence.is_resumed, self._order[sequence]

    def _follows(self, sequence: Sequence, now_s: float) -> bool:
        """Whether it waits for a prompt like its own; never for one that would go behind it."""
        rank = self._rank(sequence, now_s)
        return any(
            should_follow(sequence, leader) and self._rank(leader, now_s) < rank
            for leader in self.running
        )

    def _num_pages(self, num_tokens: int) -> int:
        return -(-num_tokens // self._page_tokens)

    def _release(self, sequence: Sequence) -> None:
        assert sequence.pages is not None and sequence.slot is not None
        sequence.pages.release()
        heapq.heappush(self._free_slots, sequence.slot)
        sequence.pages = sequence.slot = None
