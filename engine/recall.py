"""What was computed before is not computed again: prefixes, and sequences that gave way.

Copies between the pools of one model and host memory. Where host memory has no room, nothing is
lost but time: it is computed anew. Copies are waited for, so that what a step is wanted for comes
first: what is worth remembering is noted, and remembered at its end. Runs on the device thread, its
callers in inference mode.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from .cache.place import Place
from .cache.pools import KeyValues, Pools, States
from .cache.prefix import PrefixTree, Segment, Source
from .cache.store import PrefixStore
from .cache.symbols import SYMBOL_BYTES
from .child import log_unexpected
from .chunks import fast_ends
from .failing import shortage_of
from .poison import raise_poison
from .sequence import Saved, Sequence

HostStore = PrefixStore[KeyValues, States]
HostTree = PrefixTree[KeyValues, States]

# States that lie on the device twice until the end of a step: a chat of some turns notes so many.
# They are in nobody's budget.
_MOST_KEPT_STATES = 4

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Noted:
    """A beginning that is to be remembered, and where it lies, whose ever that place is by then.
    `states` are those behind it, where the slot's own have moved on.
    """

    sequence: Sequence
    place: Place
    states: States | None = None


class Recall:
    """One model's sequences to and from what is remembered in host memory."""

    def __init__(
        self,
        pools: Pools,
        store: HostStore,
        tree: HostTree,
        *,
        grid_tokens: int,
        is_exact: bool = True,
    ) -> None:
        """Where it `is_exact`, a prompt is taken up only where it would be cut anyway, and an
        answer that begins again is fed token by token.

        Otherwise anywhere, and it is cut where that spares work later; an answer is read in chunks
        of `grid_tokens`. The tree is of one mode.
        """
        self._grid_tokens = grid_tokens
        self._pools = pools
        self._store = store
        self._tree = tree
        self._is_exact = is_exact
        self._noted: list[_Noted] = []

    @property
    def used_bytes(self) -> int:
        """Host memory that holds something now: prefixes of all models, and who gave way."""
        return self._store.used_bytes + self._store.reserved_bytes

    def begin(self, sequence: Sequence) -> None:
        """Fill the place that a sequence was just given with as much as is known of it.

        Where every hidden state of the prompt is needed that is nothing.
        """
        if sequence.saved is not None:
            self._resume(sequence, sequence.saved)
        elif sequence.reads_all:
            self._pools.clear_state(sequence.place().slot)
        else:
            self._restore(sequence)

    def suspend(self, sequence: Sequence) -> None:
        """Save all of it before its place is taken away; or let it start again.

        What is remembered of its prompt is not copied once more; it stays meanwhile.
        """
        num_tokens = sequence.num_computed
        computed = sequence.symbols[: num_tokens * SYMBOL_BYTES]
        held = self._tree.hold(computed, self._allowed_ends(sequence))
        num_bytes = (num_tokens - held.num_tokens) * self._pools.token_bytes
        reservation = self._store.reserve(num_bytes + self._pools.state_bytes)
        if reservation is None:
            held.release()
            sequence.start_again()
            return
        place = sequence.place()
        try:
            if sequence.unread is not None:
                sequence.unread.part()
            keys_values = self._pools.copy_out(place, held.num_tokens, num_tokens)
            states = self._pools.copy_states_out(place.slot)
        except Exception as error:
            reservation.release()
            held.release()
            if (shortage := shortage_of(error)) is None:
                raise
            logger.warning("an answer gives way and begins again: %s", shortage.message)
            sequence.start_again()
            return
        sequence.saved = Saved(held, keys_values, states, reservation)

    @property
    def has_noted(self) -> bool:
        return bool(self._noted)

    def note(self, sequence: Sequence) -> None:
        """After a chunk: this beginning may be wanted again."""
        if sequence.num_computed in sequence.remembered:
            self._noted.append(_Noted(sequence, sequence.place()))

    def move_on(self, sequence: Sequence) -> None:
        """Before a chunk: where its state was noted, that is kept as it is now. On the device, if
        there is room for it: else everything noted is waited for.
        """
        last = next((n for n in reversed(self._noted) if n.sequence is sequence), None)
        if last is None or last.states is not None or not self._pools.state_bytes:
            return
        if sum(noted.states is not None for noted in self._noted) < _MOST_KEPT_STATES:
            try:
                last.states = self._pools.copy_states(last.place.slot)
                return
            except Exception as error:
                if shortage_of(error) is None:
                    raise
        self.remember_noted()

    def remember_noted(self) -> None:
        """Copy what was noted: before anybody is given a place, and before the next decode step.

        Raises DevicePoisoned. Nobody ends because something else fails: answers need no copy.
        """
        noted, self._noted = self._noted, []
        for each in noted:
            try:
                self._remember(each)
            except Exception as error:
                raise_poison(error)
                if (shortage := shortage_of(error)) is not None:
                    logger.warning("a prompt is not remembered: %s", shortage.message)
                else:
                    log_unexpected(logger, "remembering failed", error)

    def _remember(self, noted: _Noted) -> None:
        sequence, place = noted.sequence, noted.place
        end = place.num_tokens

        def copy_state() -> States:
            states = noted.states
            return self._pools.copy_states_out(place.slot) if states is None else states.on_host()

        source = Source(
            copy_kv=partial(self._pools.copy_out, place),
            kv_bytes_per_token=self._pools.token_bytes,
            copy_state=copy_state if self._pools.state_bytes else None,
            state_bytes=self._pools.state_bytes,
        )
        self._tree.insert(
            sequence.symbols,
            end,
            source,
            is_border=end in sequence.prompt.boundaries,
            begins_answer=end == sequence.prompt.answer_start,
            allowed_ends=self._allowed_ends(sequence),
        )

    def forget(self, sequence: Sequence) -> None:
        """It ended: what was saved for it alone is let go."""
        if sequence.saved is not None:
            sequence.saved.reservation.release()
            sequence.saved.held.release()
            sequence.saved = None

    def _could_hold(self, num_tokens: int) -> bool:
        """Whether so many tokens of a prompt could be remembered, if nothing else was."""
        num_bytes = num_tokens * self._pools.token_bytes + self._pools.state_bytes
        return num_bytes <= self._store.budget_bytes

    def _allowed_ends(self, sequence: Sequence) -> tuple[int, ...] | None:
        """Where it may share with others what is remembered; anywhere where that is None."""
        return sequence.cuts if self._is_exact else None

    def _copy_in(self, place: Place, segments: Iterable[Segment[KeyValues]]) -> None:
        for segment in segments:
            self._pools.copy_in(place, segment.start, segment.kv, segment.num_tokens)

    def _resume(self, sequence: Sequence, saved: Saved) -> None:
        place = sequence.place()
        start = saved.held.num_tokens
        self._copy_in(place, saved.held.segments)
        self._pools.copy_in(place, start, saved.keys_values, sequence.num_computed - start)
        self._pools.copy_states_in(place.slot, saved.states)
        self.forget(sequence)

    def _restore(self, sequence: Sequence) -> None:
        """The longest remembered beginning; exact mode's ends at a cut of this very prompt.

        Read from there on, the prompt runs through the chunks it would have run through anyway.
        """
        place = sequence.place()
        match = self._tree.lookup(sequence.symbols, self._allowed_ends(sequence))
        logger.debug("request %s: %s", sequence.request_id, match.reason)
        with self._tree.restoring(match):
            self._copy_in(place, match.segments)
            if match.state is not None:
                self._pools.copy_states_in(place.slot, match.state)
            else:
                self._pools.clear_state(place.slot)
        sequence.skip_to(match.num_tokens)
        if not self._is_exact:
            ends = fast_ends(
                sequence.num_prompt,
                sequence.remembered,
                match.num_tokens,
                match.diverged_at,
                is_recurrent=self._tree.is_recurrent,
            )
            sequence.remember_also(end for end in ends if self._could_hold(end))
            sequence.read_answer(self._grid_tokens)
