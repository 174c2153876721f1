"""A fleet so large that its meeting costs more than what is measured: it meets once, and every
measure goes on from there in a process of its own.

Nothing is lost while a fleet meets, so that the figures are those of fleets that met for each.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterable
from functools import partial

from .figures import Figure, Measure
from .simulator import Fleet


def measured_apart(size: int, seed: int, measures: Iterable[tuple[Measure, float]]) -> list[Figure]:
    """The figures of each measure at its share of lost packets."""
    # A million members, and hardly a cycle among them: to look for those takes a third of the time.
    gc.disable()
    try:
        fleet = Fleet(size, seed)
        figures: list[Figure] = []
        for measure, loss in measures:
            figures += _forked(partial(measure, size, loss, (seed,), partial(_met, fleet)))
        return figures
    finally:
        gc.enable()


def _met(fleet: Fleet, size: int, seed: int, loss: float) -> Fleet:
    fleet.network.loss = loss
    return fleet


def _forked(measure: Callable[[], list[Figure]]) -> list[Figure]:
    """What it gives, with nothing left of what it did."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=lambda: there.send(measure()))
    process.start()
    there.close()
    try:
        return here.recv()
    finally:
        process.join()
