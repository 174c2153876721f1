"""Rates, ratios and equality of tokens, from timelines made by hand; paused processes; turns."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.compare import Measured, decode_rate, equal_tokens, prefill_rate, ratios, table
from bench.machine import read_kib, tree, tree_peak_bytes
from bench.peers.base import CannotRun
from bench.peers.process import end, last_words, pause, resume, run, started
from bench.turns import NUM_TURNS, converse, describe, growth
from cortex.peer.measure.timeline import Arrival, Timeline


def timeline(*at_s: float, token_ids: tuple[int, ...] = (), text: str = "") -> Timeline:
    arrivals = tuple(Arrival(at) for at in at_s)
    return Timeline(0.0, at_s[-1] if at_s else 0.0, arrivals, token_ids, text)


def measured(engine: str, *rates: float) -> list[Measured]:
    return [Measured(engine, "prefill", n, rate, 0.0) for n, rate in enumerate(rates)]


def test_decoding_is_measured_only_while_all_are_decoding() -> None:
    early = timeline(1.0, 2.0, 3.0, 4.0)
    late = timeline(2.5, 3.0, 3.5, 4.0, 4.5)
    # From 2.5 to 4: two tokens of the one, three of the other.
    assert decode_rate([early, late]) == pytest.approx(5 / 1.5)


def test_decoding_alone_leaves_the_first_token_out() -> None:
    assert decode_rate([timeline(5.0, 6.0, 7.0)]) == pytest.approx(1.0)


def test_requests_that_never_decoded_together_have_no_rate() -> None:
    assert decode_rate([timeline(1.0, 2.0), timeline(3.0, 4.0)]) == 0.0


def test_prefill_is_the_prompt_by_the_time_to_the_first_token() -> None:
    assert prefill_rate(timeline(4.0), 1000) == 250.0


def test_ids_agree_until_the_first_that_does_not() -> None:
    reference = [timeline(token_ids=(1, 2, 3)), timeline(token_ids=(4, 5, 6))]
    other = [timeline(token_ids=(1, 9, 3)), timeline(token_ids=(4, 5, 6))]
    assert equal_tokens(reference, other) == 1 + 3


def test_an_engine_without_ids_is_compared_by_its_text() -> None:
    reference = [timeline(token_ids=(1, 2, 3), text="aaaabbbbcccc")]
    assert equal_tokens(reference, [timeline(text="aaaabbbbcccc")]) == 3
    assert equal_tokens(reference, [timeline(text="aaaabbxxcccc")]) == 1
    assert equal_tokens(reference, [timeline(text="")]) == 0


def test_ratios_are_taken_within_a_round() -> None:
    figures = [*measured("cortex", 10, 20), *measured("other", 5, 20)]
    (ratio, best) = ratios(figures, frozenset({"other"}))
    assert (ratio.other, ratio.median, ratio.lowest, ratio.highest) == ("other", 1.5, 1.0, 2.0)
    assert (best.other, best.median) == ("best", 1.5)


def test_the_best_is_the_best_of_every_round_and_never_one_that_computes_something_else() -> None:
    figures = [*measured("cortex", 10, 10), *measured("a", 5, 20), *measured("b", 20, 5)]
    figures += measured("wrong", 1000, 1000)
    best = [ratio for ratio in ratios(figures, frozenset({"a", "b"})) if ratio.other == "best"]
    assert [ratio.median for ratio in best] == [0.5]


def test_an_engine_that_was_not_there_in_a_round_has_no_ratio_for_it() -> None:
    found = ratios([*measured("cortex", 10, 20), *measured("other", 5)], frozenset())
    assert [(ratio.other, ratio.median) for ratio in found] == [("other", 2.0)]


def test_the_table_has_a_row_for_each_engine_and_one_for_the_best() -> None:
    figures = [*measured("cortex", 10), *measured("other", 5)]
    rows = table(figures, ratios(figures, frozenset({"other"})), {"other": "8 of 8"})
    assert [row[0] for row in rows] == ["cortex", "other", "best of the others"]
    assert rows[1][3] == "5.0"
    assert rows[1][-2:] == ("2.00 (2.00-2.00)", "8 of 8")


def state(pid: int) -> str:
    """What the system says a process does; nothing where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def comes_true(condition: Callable[[], bool]) -> bool:
    """Whether it does within a bound: a signal acts when its process next runs."""
    deadline_s = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        os.sched_yield()
    return True


def test_an_engine_is_paused_and_ended_with_what_it_started_in_other_sessions(
    tmp_path: Path,
) -> None:
    child = "import subprocess, sys; print(1, flush=True); sys.stdin.read()"
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True,"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); child.wait()"
    )
    with started([sys.executable, "-c", parent], tmp_path / "log", env={}, piped=True) as process:
        assert process.stdout is not None
        child_pid = int(process.stdout.readline())
        assert tree(process.pid) == [process.pid, child_pid]
        assert tree_peak_bytes(process.pid) > read_kib(Path("/proc/self/status"), "VmLck")
        pause(process.pid)
        assert comes_true(lambda: (state(process.pid), state(child_pid)) == ("T", "T"))
        resume(process.pid)
        assert comes_true(lambda: "T" not in (state(process.pid), state(child_pid)))
        end(process)
        assert comes_true(lambda: state(child_pid) in ("", "Z"))


def test_of_a_long_log_the_errors_are_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("(pid 1) ModuleNotFoundError: No module named 'x'\n  at y\nsee the web\n")
    assert last_words(log) == "ModuleNotFoundError: No module named 'x'"
    log.write_text("started\n\nkilled\n")
    assert last_words(log) == "started / killed"


def test_a_step_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="ended with 3: no such wheel"):
        run([sys.executable, "-c", "print('no such wheel'); exit(3)"], tmp_path / "log")
    with pytest.raises(CannotRun, match="no-such-program"):
        run(["no-such-program"], tmp_path / "log")


class Remembering:
    """An endpoint that counts letters as tokens and keeps everything up to the last answer."""

    def __init__(self, *, remembers: bool) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._remembers = remembers
        self._last_tokens = 0

    async def ask(self, path: str, body: dict[str, Any]) -> Timeline:
        self.bodies.append(body)
        prompt_tokens = sum(len(message["content"]) for message in body["messages"])
        cached_tokens = self._last_tokens if self._remembers else 0
        self._last_tokens = prompt_tokens
        first = Arrival((prompt_tokens - cached_tokens) / 1000)
        return Timeline(
            0.0, 9.0, (first,), prompt_tokens=prompt_tokens, cached_tokens=cached_tokens
        )


def test_a_chat_that_is_remembered_costs_what_is_new_in_each_turn() -> None:
    rounds = [asyncio.run(converse(Remembering(remembers=True), "m", 20, 8, None, 0))]
    assert len(rounds[0]) == NUM_TURNS
    assert growth(rounds) == pytest.approx(1.0, abs=0.05)
    assert describe(rounds)[-1] == "turns that reuse all there is: 7 of 7"


def test_a_chat_that_is_forgotten_shows() -> None:
    rounds = [asyncio.run(converse(Remembering(remembers=False), "m", 20, 8, None, 0))]
    assert growth(rounds) > 2
    assert describe(rounds)[-1] == "turns that reuse all there is: 0 of 7"
