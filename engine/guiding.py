"""The guides of a model's answers, worked off the device thread, each one step ahead of its draw.

A token that was drawn is taken by the answer's guide while the next step is computed, and what may
come next is made ready by then. Compiling has a thread of its own: a large grammar that is new
holds up nobody's masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import torch

from .grammars.guide import Allowed, Guide, Next, needs_guide
from .grammars.matchers import Matchers
from .grammars.tokens import grammar_tokenizer
from .tokenizer import Tokenizer
from .types import Prompt


class Guiding:
    """The guides of one loaded model. Its threads are begun when they are first needed."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._opening = ThreadPoolExecutor(1, thread_name_prefix="grammar")
        self._masking = ThreadPoolExecutor(1, thread_name_prefix="masks")
        self._matchers: Matchers | None = None

    def open(self, prompt: Prompt, resume_token_ids: Sequence[int]) -> GuidedAnswer | None:
        """None where nothing is asked of the answer."""
        if not needs_guide(prompt):
            return None
        opened = self._opening.submit(self._open, prompt, resume_token_ids)
        return GuidedAnswer(opened, self._masking)

    def close(self) -> None:
        for threads in (self._opening, self._masking):
            threads.shutdown(wait=False, cancel_futures=True)

    def _open(self, prompt: Prompt, resume_token_ids: Sequence[int]) -> tuple[Guide, Next]:
        matcher = None
        if prompt.grammar:
            if self._matchers is None:
                self._matchers = Matchers(grammar_tokenizer(self._tokenizer))
            matcher = self._matchers.open(prompt.grammar)
        guide = Guide(self._tokenizer, prompt, matcher)
        for token_id in resume_token_ids:
            guide.take(token_id)
        return guide, guide.next()


class GuidedAnswer:
    """One answer's guide. After every token that was drawn: `take` it, later ask for `next`.

    Once it `is_open` it takes but a moment to be ready; before, its grammar may be compiled still.
    """

    def __init__(self, opened: Future[tuple[Guide, Next]], threads: ThreadPoolExecutor) -> None:
        self.work = opened
        self.is_open = False
        self._threads = threads

    @property
    def is_ready(self) -> bool:
        return self.work.done()

    def take(self, token_id: int) -> None:
        guide, _ = self.work.result()
        self.is_open = True
        if not guide.is_free_for_good:
            self.work = self._threads.submit(_advanced, guide, token_id)

    def next(self) -> Next:
        """What may come now, where it `is_ready`.

        Raises InvalidRequest where nothing may.
        """
        return self.work.result()[1]

    def close(self) -> None:
        self.work.cancel()


def wait_for(answers: Iterable[GuidedAnswer], timeout_s: float, *, all_of: bool) -> None:
    """Until they are ready, or one of them is, but no longer than this."""
    until = ALL_COMPLETED if all_of else FIRST_COMPLETED
    wait([answer.work for answer in answers], timeout_s, until)


def mask_tensor(allowed: Allowed, vocab_size: int) -> torch.Tensor:
    """int32 [vocab / 32, rounded up]: a bit for each token of a model, none for its padding."""
    num_bytes = -(-vocab_size // 32) * 4
    return torch.frombuffer(allowed.mask[:num_bytes].ljust(num_bytes, b"\0"), dtype=torch.int32)


def _advanced(guide: Guide, token_id: int) -> tuple[Guide, Next]:
    guide.take(token_id)
    return guide, guide.next()
