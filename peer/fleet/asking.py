"""Asking several peers at once how busy they are, over datagrams: whoever has not answered by the
half of the time is asked once more, and at its end does without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from ..gossip.core import Core
from ..gossip.ids import ModelId, NodeId
from ..gossip.messages import LoadAnswer
from .driver import Driver
from .publishing import Publisher

# Of one peer, to come.
_Answer: TypeAlias = asyncio.Future[LoadAnswer]


class LoadQuestions:
    """Those that wait for answers, by the number under which they were asked."""

    def __init__(self, driver: Driver, publisher: Publisher) -> None:
        self._driver = driver
        self._publisher = publisher
        self._waiting: dict[int, tuple[NodeId, _Answer]] = {}

    def on_answer(self, answer: LoadAnswer) -> None:
        node, coming = self._waiting.pop(answer.seq, (None, None))
        if coming is not None and node == answer.node and not coming.done():
            coming.set_result(answer)

    async def ask(
        self, nodes: Sequence[NodeId], model: ModelId, limit_s: float
    ) -> Mapping[NodeId, LoadAnswer]:
        """The answers of those that gave one in time."""
        loop = asyncio.get_running_loop()
        answers: dict[NodeId, _Answer] = {node: loop.create_future() for node in sorted(nodes)}
        own = self._driver.act(lambda core, _: core.own.node)
        if own in answers:
            answers[own].set_result(self._publisher.own_answer(model))
        seqs: list[int] = []
        try:
            for _ in range(2):
                missing = {node: coming for node, coming in answers.items() if not coming.done()}
                if missing:
                    seqs += self._send(missing, model)
                    await asyncio.wait(missing.values(), timeout=limit_s / 2)
        finally:
            for seq in seqs:
                self._waiting.pop(seq, None)
        return {node: coming.result() for node, coming in answers.items() if coming.done()}

    def _send(self, missing: Mapping[NodeId, _Answer], model: ModelId) -> Iterable[int]:
        def send(core: Core, _: float) -> Iterable[int]:
            """Enter the question under all its numbers before any answer can come."""
            seqs = {node: core.ask_load(node, model) for node in missing}
            sent = {seq: (node, missing[node]) for node, seq in seqs.items() if seq is not None}
            self._waiting |= sent
            return sent.keys()

        return self._driver.act(send)
