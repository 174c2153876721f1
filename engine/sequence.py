"""One request on its way through the engine: its tokens, what is computed, where it lives.

A sequence knows its own life and nothing of the others: who runs next is the scheduler's, what a
step computes the runner's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cache.place import Place
from .cache.symbols import prefix_marks, prompt_symbols
from .chunks import chunk_ends, remembered_ends
from .messages import Wanted
from .models.base import ModelShape
from .positions import RopePositions, rope_positions
from .types import FinishReason, PreparedImage, Prompt, TokenScores

if TYPE_CHECKING:
    import torch

    from .cache.ledger import Reservation
    from .cache.pages import SequencePages
    from .cache.pools import KeyValues, States
    from .cache.prefix import Held
    from .guiding import GuidedAnswer
    from .pooling import PooledStates
    from .sampling.adjusting import TokenCounts
    from .speculation.guesses import Foreseen, Guesses
    from .speculation.head import Unread


# Inside long messages one state is remembered in so many tokens.
_SPACING_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Saved:
    """A suspended sequence in host memory: what the device held.

    Of its tokens the first are `held` with what is remembered, `keys_values` are of the others.
    """

    held: Held[KeyValues, States]
    keys_values: KeyValues
    states: States
    reservation: Reservation


@dataclass(slots=True, eq=False)
class Sequence:
    """`tokens` are the prompt's and all of the answer that is known, drawn here or resumed.

    The first `num_computed` of them are in the model's memory. `cuts` are the ends of the chunks
    that it is read in, ascending: of the prompt up to its length, and of what is known of the
    answer where that is not fed token by token. After the `remembered` ones a copy is worth it.
    `symbols` are the prompt as prefix trees compare it, `marks` what stands for its beginnings up
    to where the chunk rule cuts it. `pooled` is what has come of a prompt that is read for its
    vector, and `prompt_scores` are those of its tokens but the first, where they are to be told.
    `guided` says what may come next, where anything is asked of the answer, and `undrawn` are the
    scores of a next token that waits for that: float32 [vocab]. `guesses` are at what will come,
    looked up, `foreseen` those of the draft head, and `unread` is what that has not read yet: None
    where it does not follow. Of its prompt `num_cached` tokens were remembered when it came; what
    it finds of its own once it `was_dropped` does not count. One that `is_resumed` began elsewhere,
    or with an engine before this one.
    """

    request_id: str
    epoch: int
    prompt: Prompt
    positions: RopePositions
    cuts: tuple[int, ...]
    remembered: frozenset[int]
    symbols: bytes
    marks: dict[int, bytes]
    tokens: list[int]
    max_tokens: int
    arrived_s: float
    priority: int
    counts: TokenCounts | None = None
    pooled: PooledStates | None = None
    prompt_scores: tuple[TokenScores, ...] | None = None
    guided: GuidedAnswer | None = None
    undrawn: torch.Tensor | None = None
    guesses: Guesses | None = None
    foreseen: Foreseen | None = None
    unread: Unread | None = None
    num_computed: int = 0
    num_cached: int = 0
    pages: SequencePages | None = None
    slot: int | None = None
    saved: Saved | None = None
    image_spans: tuple[ImageSpan, ...] = ()
    is_resumed: bool = False
    was_dropped: bool = False
    # The device's memory did not reach for it alone.
    was_short: bool = False

    @property
    def key(self) -> tuple[str, int]:
        return self.request_id, self.epoch

    @property
    def num_prompt(self) -> int:
        return len(self.prompt.token_ids)

    @property
    def num_answered(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def limited_by(self) -> FinishReason:
        """How its answer ends when it has `max_tokens`: memory may be what bounds it."""
        is_asked = self.max_tokens == self.prompt.max_tokens
        return self.prompt.limited_by if is_asked else "context"

    @property
    def is_prefilled(self) -> bool:
        return self.num_unfinished <= 0

    @property
    def num_unfinished(self) -> int:
        """How many tokens are still to be read in chunks."""
        return self.cuts[-1] - self.num_computed

    @property
    def wants_token(self) -> bool:
        """Everything known is computed: the next token must be drawn."""
        return self.num_computed == len(self.tokens)

    @property
    def is_scored(self) -> bool:
        """Whoever has a token of the answer has been told of the prompt's."""
        is_wanted = bool(self.prompt.echo) and self.prompt.top_logprobs is not None
        return is_wanted and not self.num_answered

    @property
    def reads_all(self) -> bool:
        """Every hidden state of its prompt is needed: what is remembered is of no use."""
        return self.prompt.pooling is not None or self.is_scored

    def take_prompt_scores(self) -> tuple[TokenScores, ...] | None:
        """They are told once, with whatever is told first."""
        scores, self.prompt_scores = self.prompt_scores, None
        return scores

    def pictures_in(self, start: int, end: int) -> list[ImageSpan]:
        """The pictures that these tokens of the prompt show, or parts of, in order."""
        return [span for span in self.image_spans if span.start < end and start < span.end]

    def place(self) -> Place:
        """Where it lives on the device; only a sequence that was admitted has a place."""
        assert self.pages is not None and self.slot is not None
        return Place(self.pages.pages, self.slot, self.num_computed)

    def skip_to(self, num_tokens: int) -> None:
        """So much of the prompt was restored from what is remembered."""
        self.num_computed = num_tokens
        if not self.was_dropped:
            self.num_cached = num_tokens

    def remember_also(self, ends: Iterable[int]) -> None:
        """More places to cut the prompt at, and to remember it."""
        self.remembered = self.remembered.union(ends)
        self.cuts = tuple(sorted({*self.cuts, *self.remembered}))

    def read_answer(self, grid_tokens: int) -> None:
        """What is known of the answer is read in chunks behind the prompt."""
        ends = chunk_ends(self.num_answered, (), grid_tokens)
        self.cuts = tuple(sorted({*self.cuts, *(self.num_prompt + end for end in ends)}))

    def start_again(self) -> None:
        """Nothing of it is in memory any more: it will be computed from the first token on."""
        self.was_dropped = True
        self.num_computed = 0
        self.counts = None
        self.pooled = None
        self.prompt_scores = None
        self.undrawn = None
        self.unread = None

    def append(self, token_id: int) -> None:
        """A token that was drawn; it is computed by the next step."""
        # On the device: where its memory does not reach for this, no token has been taken.
        if self.counts is not None:
            self.counts.add(token_id)
        self.tokens.append(token_id)
        if self.guided is not None:
            self.guided.take(token_id)


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """The picture places of one picture in the prompt: tokens `start` to `end`."""

    start: int
    end: int
    image: PreparedImage


def open_sequence(
    wanted: Wanted,
    prompt: Prompt,
    shape: ModelShape,
    *,
    capacity_tokens: int,
    grid_tokens: int,
    now_s: float,
) -> Sequence:
    """A request at its beginning, its answer bounded by what memory can hold.

    Raises InvalidRequest where pictures and their places differ.
    """
    merge = shape.vision.merge_size if shape.vision else 1
    num_prompt = len(prompt.token_ids)
    positions = rope_positions(
        prompt.token_ids, [i.grid_thw for i in prompt.images], merge, shape.image_token_id
    )
    cuts = chunk_ends(num_prompt, prompt.boundaries, grid_tokens)
    symbols = prompt_symbols(prompt, shape.image_token_id, merge)
    # A vector wants every hidden state, which nothing remembers; its prompt does not come again.
    kept = remembered_ends(
        num_prompt, prompt.boundaries, _SPACING_TOKENS, grid_tokens, prompt.answer_start
    )
    return Sequence(
        wanted.request_id,
        wanted.epoch,
        prompt,
        positions,
        cuts,
        frozenset(kept if prompt.pooling is None else ()),
        symbols,
        prefix_marks(symbols, cuts),
        [*prompt.token_ids, *wanted.resume_token_ids],
        min(prompt.max_tokens, capacity_tokens - num_prompt),
        now_s,
        wanted.priority,
        image_spans=image_spans(prompt, shape.image_token_id, merge),
        is_resumed=bool(wanted.resume_token_ids),
    )


def image_spans(prompt: Prompt, image_token_id: int | None, merge: int) -> tuple[ImageSpan, ...]:
    """Where each picture of a prompt stands, in order. The prompt was checked to be whole."""
    spans: list[ImageSpan] = []
    at = 0
    for image in prompt.images:
        assert image_token_id is not None, "pictures in a prompt of a model without places for them"
        times, rows, columns = image.grid_thw
        start = prompt.token_ids.index(image_token_id, at)
        at = start + times * rows * columns // merge**2
        spans.append(ImageSpan(start, at, image))
    return tuple(spans)
