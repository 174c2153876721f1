"""Sequences through the decode step of a device: by its graph, where that was tried, or as it is.

Runs on the device thread, its callers in inference mode. The host tells the device everything at
once, and waits for it once, for the tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, cast

import torch

from ..cache.place import Place
from ..cache.pools import Pools, States
from ..models.base import ServableModel
from ..poison import raise_poison
from ..sampler import Chosen, SamplingRow
from ..sampling.wishes import ANY_TOKEN, DrawTokens, RowWishes, Truncations, truncations_of
from ..sequence import Sequence
from ..speculation.head import HeadDrafts
from .arriving import Arrive
from .graphs import Capture, Graphs, Replayable
from .inputs import Staging, StepInputs, StepRow, layout_of, step_row
from .keys import StepKey, bucket, most_numbers, most_parts, padded
from .step import DecodeStep

_log = logging.getLogger(__name__)

# By how much of the largest number states may differ that should be the same.
_TOLERANCE = 1e-3
# A graph is tried with so many, that one may not be taken for the other. Their states lie on the
# device three times meanwhile, which is in nobody's budget: where that does not fit it is put off.
_TRIED_ROWS = 2

Outcome = tuple[list[int], list[States]]


class Launched(NamedTuple):
    """A step on its way. Whoever `asked` will have a token; the others have scores, [vocab], which
    the next step writes over.
    """

    rows: dict[Sequence, int]
    asked: Mapping[Sequence, SamplingRow]
    scores: dict[Sequence, torch.Tensor]
    read: Callable[[], list[int]]

    def drawn(self) -> dict[Sequence, Chosen | None]:
        """Who asked has a token, None where none can be drawn. Waits for the device."""
        if not self.asked:
            return {}
        token_ids = self.read()
        return {
            s: Chosen(token_ids[row]) if token_ids[row] >= 0 else None
            for s, row in self.rows.items()
            if s in self.asked
        }


class DecodeSteps:
    """The decode steps of one model over one set of pools."""

    def __init__(
        self,
        step: DecodeStep,
        pools: Pools,
        graphs: Graphs[StepKey],
        most_rows: int,
        most_parts: int,
        head: HeadDrafts | None = None,
        arrive: Arrive | None = None,
    ) -> None:
        """A step has a graph up to `most_parts`, rows times parts of the longest. The draft head,
        where there is one, hears of all that is computed. With `arrive` a step can be launched
        before the tokens of the last one are known.
        """
        self._num_replayed = 0
        self._head = head
        self.graphs = graphs
        self._step = step
        self._pools = pools
        self._staging = Staging(pools.device)
        self._arrive = arrive
        # What graphs read stays in its place.
        self._most_parts = most_parts
        num_numbers = most_numbers(most_rows, pools.page_tokens, most_parts)
        self._told = torch.empty(num_numbers, dtype=torch.int64, device=pools.device)

    def launch(
        self, sequences: Iterable[Sequence], asked: Mapping[Sequence, SamplingRow]
    ) -> Launched:
        """Feed each sequence its next known token, and draw the next of those that `asked`, whose
        rows are all `is_usual` and without masks.
        """
        return self._launch({s: step_row(s) for s in sequences}, asked)

    def launch_behind(
        self, last: Launched, asked: Mapping[Sequence, SamplingRow]
    ) -> Launched | None:
        """Feed those that `asked` what the step launched last draws for them; nobody knows it yet.

        None where it has to be launched when they are known: because its graph is still to be made,
        or because tokens come only to whom waits for them.
        """
        fed = {s: step_row(s, last.rows[s]) for s in asked}
        if self._arrive is None or not self._is_ready(self._key(list(fed.values()), asked)):
            return None
        return self._launch(fed, asked)

    def _launch(
        self, fed: Mapping[Sequence, StepRow], asked: Mapping[Sequence, SamplingRow]
    ) -> Launched:
        rows = list(fed.values())
        wishes = [
            RowWishes(asked[s].sampling, asked[s].position) if s in asked else ANY_TOKEN
            for s in fed
        ]
        self._compute(self._key(rows, asked), rows, wishes)
        if self._head is not None and self._step.hidden is not None:
            # Read some steps later perhaps, when others lie where these do.
            hidden = self._step.hidden[: len(rows)].clone()
            self._head.note(dict(zip(fed, hidden[:, None], strict=True)))
        for sequence in fed:
            sequence.num_computed += 1
        places = {s: row for row, s in enumerate(fed)}
        scores = {s: self._step.scores[row] for s, row in places.items() if s not in asked}
        arrive = self._arrive if self._arrive and asked else _when_waited_for
        return Launched(places, asked, scores, arrive(self._step.drawn[: len(rows)]))

    def _key(self, rows: list[StepRow], asked: Mapping[Sequence, SamplingRow]) -> StepKey:
        return StepKey(
            len(rows),
            layout_of(rows, self._pools.page_tokens).num_pages,
            truncations_of([row.sampling for row in asked.values()]) if asked else None,
            keeps_scores=len(asked) < len(rows),
        )

    def take_num_replayed(self) -> int:
        """How many steps were graphs since this was asked."""
        count, self._num_replayed = self._num_replayed, 0
        return count

    @torch.inference_mode()
    def try_out(self) -> None:
        """A step of padding alone. Raises where the model does not compute from tensors alone."""
        key = self._padded(StepKey(1, 1, Truncations(False, False, False), True))
        assert key is not None, "the smallest step has a graph"
        self._staging.send(key.layout.pack([], self._pools.page_tokens), self._told)
        self._step(key, key.layout.views(self._told))
        self._step.outcome(key, 1)

    def _is_ready(self, exact: StepKey) -> bool:
        """Whether nothing is recorded when it is computed."""
        key = self._graph_key(exact)
        return key is None or self.graphs.is_settled(key)

    def _graph_key(self, exact: StepKey) -> StepKey | None:
        return self._padded(exact) if self.graphs.are_on else None

    def _padded(self, exact: StepKey) -> StepKey | None:
        return padded(exact, self._pools.page_tokens, self._most_parts)

    def _compute(self, exact: StepKey, rows: list[StepRow], wishes: list[RowWishes]) -> None:
        page_tokens = self._pools.page_tokens
        key = self._graph_key(exact)
        graph = self.graphs.find(key) if key else None
        # Padding is for graphs: it takes memory of its own, where there may be little.
        if key is None or (graph is None and not self.graphs.has_room):
            numbers = exact.layout.pack(rows, page_tokens, wishes)
            self._step(exact, exact.layout.views(self._staging.send(numbers)))
            return
        numbers = key.layout.pack(rows, page_tokens, wishes)
        self._staging.send(numbers, self._told)
        if graph is not None:
            graph.replay()
            self._num_replayed += 1
        elif all(row.token_id >= 0 for row in rows) and self.graphs.is_due(key):
            # Where tokens that only the device knows lie, a trial draws its own.
            graph = self._tried_graph(key, rows[:_TRIED_ROWS], wishes)
            self._staging.send(numbers, self._told)
            if graph is not None:
                graph.replay()
            else:
                self._step(key, key.layout.views(self._told))
        else:
            self._step(key, key.layout.views(self._told))

    def _tried_graph(
        self, key: StepKey, rows: list[StepRow], wishes: list[RowWishes]
    ) -> Replayable | None:
        """The graph, if it does with these rows and padding what the step does. They are as before
        afterwards, whatever was found.
        """
        numbers = key.layout.pack(rows, self._pools.page_tokens, wishes[: len(rows)])
        inputs, places = key.layout.views(self._told), [row.place for row in rows]
        before: list[States] = []

        def begin_again() -> None:
            # None where there was no memory for them: then nothing was computed either.
            for place, states in zip(places, before, strict=False):
                self._pools.copy_states_in(place.slot, states)
                self._pools.clear_token(place)
            self._staging.send(numbers, self._told)

        def attempt() -> Replayable | None:
            before.extend(self._states(places))
            begin_again()
            self._step(key, inputs)
            expected = self._step.outcome(key, len(rows)), self._states(places)
            graph = self._captured(key, inputs)
            begin_again()
            graph.replay()
            found = self._step.outcome(key, len(rows)), self._states(places)
            return graph if _agree(found, expected) else None

        graph = self.graphs.try_out(key, attempt)
        begin_again()
        return graph

    def _captured(self, key: StepKey, inputs: StepInputs) -> Replayable:
        """Of padding alone: whatever of a step the host still decided would show with other rows,
        and no row is computed twice where capturing computes.
        """
        self._staging.send(key.layout.pack([], self._pools.page_tokens), self._told)
        return self.graphs.capture(lambda: self._step(key, inputs))

    def _states(self, places: list[Place]) -> list[States]:
        """Copies on the device: by way of the host they would stop everybody for long."""
        return [self._pools.copy_states(place.slot) for place in places]


def _agree(found: Outcome, expected: Outcome) -> bool:
    (tokens, states), (expected_tokens, expected_states) = found, expected
    pairs = zip(states, expected_states, strict=True)
    return tokens == expected_tokens and all(a.is_close_to(b, _TOLERANCE) for a, b in pairs)


def _most_parts(model: ServableModel) -> int:
    dims = [each.head_dim for each in model.shape.memory.attention.values()]
    return most_parts(model.shape.num_heads, max(dims, default=0))


def _when_waited_for(drawn: torch.Tensor) -> Callable[[], list[int]]:
    return lambda: cast("list[int]", drawn.tolist())


def open_steps(
    model: ServableModel,
    pools: Pools,
    forbidden_ids: torch.Tensor,
    draw_tokens: DrawTokens,
    capture: Capture | None,
    num_slots: int,
    head: HeadDrafts | None,
    arrive: Arrive | None = None,
) -> DecodeSteps | None:
    """None where a step cannot be computed from tensors alone: a log line says why.

    Raises DevicePoisoned where the try spoiled the device.
    """
    most_rows = bucket(num_slots) or num_slots
    step = DecodeStep(
        model, pools, forbidden_ids, draw_tokens, most_rows, keeps_hidden=head is not None
    )
    steps = DecodeSteps(step, pools, Graphs(capture), most_rows, _most_parts(model), head, arrive)
    try:
        steps.try_out()
    except Exception as error:
        raise_poison(error)
        _log.warning("steps are told the device part by part, and have no graphs: %s", error)
        return None
    return steps
