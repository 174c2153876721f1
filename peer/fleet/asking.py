"""Asking several peers at once how busy they are, over datagrams: whoever has not answered by the
half of the time is asked once more, and at its end does without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from ..gossip.ids import ModelId, NodeId
from ..gossip.messages import LoadAnswer
from .driver import Driver
from .publishing import Publisher


class _Round:
    """One question to several."""

    def __init__(self, nodes: Sequence[NodeId]) -> None:
        self.missing = set(nodes)
        self.answers: dict[NodeId, LoadAnswer] = {}
        self.is_complete = asyncio.Event()

    def take(self, answer: LoadAnswer) -> None:
        if answer.node in self.missing:
            self.missing.discard(answer.node)
            self.answers[answer.node] = answer
            if not self.missing:
                self.is_complete.set()


class LoadQuestions:
    """Those that wait for answers, by the number under which they were asked."""

    def __init__(self, driver: Driver, publisher: Publisher) -> None:
        self._driver = driver
        self._publisher = publisher
        self._waiting: dict[int, _Round] = {}

    def on_answer(self, answer: LoadAnswer) -> None:
        asked = self._waiting.pop(answer.seq, None)
        if asked is not None:
            asked.take(answer)

    async def ask(
        self, nodes: Sequence[NodeId], model: ModelId, cost_tokens: int, limit_s: float
    ) -> Mapping[NodeId, LoadAnswer]:
        """The answers of those that gave one in time."""
        own = self._driver.act(lambda core, _: core.own.node)
        asked = _Round([node for node in nodes if node != own])
        if own in nodes:
            asked.answers[own] = self._publisher.own_answer(model)
        seqs: list[int] = []
        try:
            for _ in range(2):
                if not asked.missing:
                    break
                seqs += self._send(asked, model, cost_tokens)
                try:
                    async with asyncio.timeout(limit_s / 2):
                        await asked.is_complete.wait()
                except TimeoutError:
                    continue
        finally:
            for seq in seqs:
                self._waiting.pop(seq, None)
        return asked.answers

    def _send(self, asked: _Round, model: ModelId, cost_tokens: int) -> list[int]:
        """Enter the question under all its numbers before any answer can come."""
        return self._driver.act(
            lambda core, _: [
                seq
                for node in sorted(asked.missing)
                if (seq := core.ask_load(node, model, cost_tokens)) is not None
                and self._enter(seq, asked)
            ]
        )

    def _enter(self, seq: int, asked: _Round) -> bool:
        self._waiting[seq] = asked
        return True
