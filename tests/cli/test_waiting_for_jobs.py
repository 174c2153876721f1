"""A job waited for at the command line: shown, ended, failed, and left when interrupted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

import pytest

from cortex.cli import progress
from cortex.cli.config import read_environment
from cortex.cli.ordering import placement_lines, waited_for
from cortex.engine.errors import InsufficientVram
from cortex.peer.errors import JobCancelled, NoPeer
from cortex.peer.onlooker.ordering import Ordering

JOB: dict[str, Any] = {
    "id": "job_1",
    "kind": "load",
    "state": "running",
    "stage": "loading",
    "done": 1,
    "total": 4,
    "unit": "bytes",
    "eta_s": None,
    "error": None,
}
Wait = Callable[..., dict[str, Any]]


class FakeOrders:
    """`interrupts` is ctrl-c once all has been told; so often the peer is `silent` before."""

    def __init__(
        self, jobs: Sequence[dict[str, Any]], *, interrupts: bool = False, silent: int = 0
    ) -> None:
        self._jobs = jobs
        self._interrupts = interrupts
        self._silent = silent

    def job(self, job_id: str) -> Generator[dict[str, Any]]:
        assert job_id == "job_1"
        if self._silent:
            self._silent -= 1
            yield JOB
            raise NoPeer("no peer answers")
        yield from self._jobs
        if self._interrupts:
            raise KeyboardInterrupt


def wait(*jobs: dict[str, Any], interrupts: bool = False) -> dict[str, Any]:
    orders = cast(Ordering, FakeOrders(jobs, interrupts=interrupts))
    return waited_for(read_environment({}), orders, JOB)


def test_the_last_word_of_a_job_is_its_outcome() -> None:
    done = JOB | {"state": "done"}
    assert wait(JOB, done) == done


def test_what_a_job_failed_with_is_the_commands_error() -> None:
    error = {"code": "insufficient_vram", "message": "3 GiB short", "hint": "unload qwen"}
    with pytest.raises(InsufficientVram, match="3 GiB short") as raised:
        wait(JOB, JOB | {"state": "failed", "error": error})
    assert raised.value.hint == "unload qwen"


def test_a_job_that_somebody_else_cancels_is_an_error() -> None:
    with pytest.raises(JobCancelled, match="the load was cancelled"):
        wait(JOB | {"state": "cancelled"})


def test_who_is_interrupted_is_told_that_the_load_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        wait(JOB, interrupts=True)
    said = capsys.readouterr().err
    assert said == "the load goes on: cortex models shows it, cortex cancel job_1 ends it\n"


def test_whoever_interrupts_may_have_it_ended_instead(capsys: pytest.CaptureFixture[str]) -> None:
    orders = cast(Ordering, FakeOrders([JOB], interrupts=True))
    with pytest.raises(KeyboardInterrupt):
        waited_for(read_environment({}), orders, JOB, lambda _, job: f"ended {job['id']}")
    assert capsys.readouterr().err == "ended job_1\n"


def test_a_peer_that_is_silent_for_a_moment_is_asked_again() -> None:
    done, pauses = JOB | {"state": "done"}, list[int]()
    orders = cast(Ordering, FakeOrders([done], silent=30))
    told = waited_for(read_environment({}), orders, JOB, pause=lambda: pauses.append(1))
    assert (told, len(pauses)) == (done, 30), "what was told in between begins the count anew"


@pytest.mark.parametrize(("silence_s", "num_asked"), [(0.0, 21), (15.0, 2)])
def test_a_peer_that_stays_silent_is_given_up_after_a_while_and_the_job_may_go_on(
    capsys: pytest.CaptureFixture[str], silence_s: float, num_asked: int
) -> None:
    """However long each question takes to fail; once is not enough."""
    now_s, asked = [0.0], list[str]()

    class Silent(FakeOrders):
        def job(self, job_id: str) -> Generator[dict[str, Any]]:
            asked.append(job_id)
            if len(asked) == 1:
                yield JOB
            now_s[0] += silence_s
            raise NoPeer("no peer answers")

    def pause() -> None:
        now_s[0] += 1.0

    orders = cast(Ordering, Silent([]))
    with pytest.raises(NoPeer):
        waited_for(read_environment({}), orders, JOB, pause=pause, clock=lambda: now_s[0])
    assert len(asked) == num_asked
    said = capsys.readouterr().err
    assert said.count("no peer answers; asking again.\n") == 1
    assert "perhaps the load goes on: cortex models shows it" in said


def test_a_stage_that_a_newer_peer_words_anew_is_shown_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LOG_FROM_S", 0.0)
    wait(JOB | {"stage": "kneading"}, JOB | {"stage": "kneading", "state": "done"})
    assert capsys.readouterr().err.startswith("kneading")


@pytest.mark.parametrize(
    ("was_there", "words"), [(True, "was there already"), (False, "in 11.4 s")]
)
def test_a_placement_is_told_with_what_went_for_it(was_there: bool, words: str) -> None:
    placement = {
        "model": "qwen",
        "peer": "atlas",
        "device": 0,
        "context_tokens": 32768,
        "slots": 4,
        "reserved_bytes": 3 << 29,
        "evicted": ["guest"],
        "seconds": 11.4,
        "was_there": was_there,
    }
    assert placement_lines(placement) == [
        f"qwen   atlas, device 0   context 32,768   4 at a time   1.5 GiB   {words}",
        "unloaded guest for it",
    ]
