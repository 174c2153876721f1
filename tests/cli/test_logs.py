"""Two peers as processes, and their logs as the command shows them."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any, cast

import pytest

from bench.live.peers import Peers, free_ports, peers_in, until
from bench.live.process import PeerProcess
from cortex.cli.log_reading import LastingSource, followed, read_all
from cortex.cli.log_text import PeerLine, PeerSkipped, line_json, line_text
from cortex.engine.errors import CortexError
from cortex.peer.errors import HostLost
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.lasting_clock import AmpleClock
from cortex.peer.onlooker.log_lines import LogLine

Cortex = Callable[..., Any]
PATIENCE_S = 60.0
HERE = ("--port", "0", "--no-mdns", "--fleet-host", "127.0.0.1", "--engine", "fake")
LINE = LogLine(1_700_000_000.25, "warning", "peer.node", "engine lost")


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Generator[Peers]:
    """atlas and borea; borea has answered a request."""
    [port] = free_ports(1)
    key = new_fleet_key(random.Random(3).randbytes)
    with peers_in(tmp_path_factory.mktemp("logs"), key) as both:
        both.make("atlas", *HERE, "--fleet-port", str(port))
        both.make("borea", *HERE, "--fleet-port", "0", "--join", f"127.0.0.1:{port}")
        both.start()
        until(both.all_see_all, PATIENCE_S, "two peers")
        _ask(both.all[1])
        yield both


def _ask(peer: PeerProcess) -> None:
    peer.post("/v1/completions", {"model": "fake", "prompt": "a", "max_tokens": 2}, PATIENCE_S)


def _address(peer: PeerProcess) -> str:
    return f"{peer.host}:{peer.port}"


@pytest.fixture
def logs(peers: Peers, cortex_here: Cortex) -> Callable[..., Any]:
    """`cortex logs ARGUMENTS`, asked of atlas."""
    return lambda *words: cortex_here("logs", *words, "--peer", _address(peers.all[0]))


def _texts(stdout: str) -> list[str]:
    return [json.loads(line)["text"] for line in stdout.splitlines()]


def test_another_peer_s_log_is_told_with_time_level_and_source(logs: Callable[..., Any]) -> None:
    told = logs("borea")
    assert told.code == 0, told.stderr
    [line] = [each for each in told.stdout.splitlines() if " request id=" in each]
    time, level, source, _ = line.split(maxsplit=3)
    assert (len(time), level, source) == (len("14:02:31.123"), "info", "peer.api.request_log")


def test_lines_are_chosen_by_their_level_and_age(logs: Callable[..., Any]) -> None:
    assert any("request id=" in text for text in _texts(logs("borea", "--json").stdout))
    assert logs("borea", "--json", "--level", "error").stdout == ""
    none = logs("borea", "--json", "--since", "0")
    assert (none.code, none.stdout) == (0, "")
    assert none.stderr == "nothing of that was logged in the last 0.0s; for longer: --since 24h\n"


def test_the_logs_of_all_are_told_together_in_order(logs: Callable[..., Any]) -> None:
    told = [json.loads(line) for line in logs("--all", "--json").stdout.splitlines()]
    assert {line["peer"] for line in told} >= {"borea"}
    assert [line["time"] for line in told] == sorted(line["time"] for line in told)
    assert "  borea  " in logs("--all").stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("boera",), 1, "did you mean borea?"),
        (("borea", "--all"), 2, "exclude each other"),
        (("--level", "loud"), 2, "loud"),
        (("--since", "yesterday"), 2, "yesterday"),
    ],
)
def test_what_cannot_be_is_one_error(
    logs: Callable[..., Any], words: tuple[str, ...], code: int, said: str
) -> None:
    done = logs(*words)
    assert (done.code, done.stdout) == (code, "")
    assert said in done.stderr


@pytest.mark.parametrize("words", [(), ("-f",), ("--all",), ("--all", "-f")])
def test_where_nobody_is_asked_it_says_so(
    cortex_here: Cortex, tmp_path: Any, words: tuple[str, ...]
) -> None:
    done = cortex_here("logs", *words, "--peer", "127.0.0.1:1", "--state-dir", str(tmp_path))
    assert (done.code, done.stdout) == (3, "")
    assert "no peer answers at 127.0.0.1:1" in done.stderr


@pytest.mark.parametrize("words", [("borea",), ("--all",)])
def test_a_log_is_followed_until_ctrl_c(
    peers: Peers, words: tuple[str, ...], tmp_path: Any
) -> None:
    """Quietly, with 130."""
    with _following(peers, tmp_path, *words) as following:
        assert following.stdout is not None
        before = following.stdout.readline()
        _ask(peers.all[1])
        assert before and " request id=" in _line_with(following, " request id=")
        following.send_signal(signal.SIGINT)
        _, said = following.communicate(timeout=PATIENCE_S)
    assert (following.returncode, said) == (130, "")


def test_a_reader_that_goes_away_ends_it_quietly(peers: Peers, tmp_path: Any) -> None:
    with _following(peers, tmp_path, "borea") as following:
        assert following.stdout is not None and following.stderr is not None
        following.stdout.readline()
        following.stdout.close()
        ending = threading.Thread(target=following.wait)
        ending.start()
        while ending.is_alive():  # it finds out when it has something to say
            _ask(peers.all[1])
            ending.join(0.2)
        assert (following.returncode, following.stderr.read()) == (0, "")


def _following(peers: Peers, folder: Any, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "cortex.cli",
            "logs",
            "-f",
            *words,
            "--peer",
            _address(peers.all[0]),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def _line_with(following: subprocess.Popen[str], words: str) -> str:
    assert following.stdout is not None
    return next(line for line in following.stdout if words in line)


class FakeSource:
    """A peer's log that ends with an error, if it has any."""

    def __init__(self, *at_s: float, error: CortexError | None = None) -> None:
        self._told = [PeerLine("p", replace(LINE, time_s=each)) for each in at_s]
        self._error = error

    def read(self) -> list[PeerLine]:
        if self._error is not None:
            raise self._error
        return self._told

    def follow(self) -> Iterator[PeerLine]:
        yield from self._told
        raise self._error or HostLost("lost", "")


def test_who_does_not_say_is_named_and_the_others_are_told() -> None:
    silent: Any = FakeSource(error=HostLost("borea is lost", ""))
    late, early = FakeSource(2.0, 4.0), FakeSource(1.0, 3.0)
    sources: list[Any] = [silent, late, early]
    lost: list[str] = []
    told = read_all(sources, lambda error: lost.append(error.message))
    assert [one.line.time_s for one in told if isinstance(one, PeerLine)] == [1.0, 2.0, 3.0, 4.0]
    assert lost == ["borea is lost"]
    with pytest.raises(HostLost, match="borea is lost"):
        read_all([silent], lambda error: lost.append(error.message))


def test_logs_that_are_followed_together_go_on_until_the_last_has_ended() -> None:
    sources: list[Any] = [FakeSource(1.0, 2.0), FakeSource(), FakeSource(3.0)]
    lost: list[str] = []
    told: list[float] = []
    with pytest.raises(HostLost):
        for one in followed(sources, lambda error: lost.append(error.message)):
            assert isinstance(one, PeerLine)
            told.append(one.line.time_s)
    assert (sorted(told), len(lost)) == ([1.0, 2.0, 3.0], 2)


@dataclass(frozen=True)
class Peer:
    """It ends as often as that, and notes since when it was asked for."""

    since_s: float
    begun: list[float]
    ends: list[FakeSource]

    def read(self) -> list[PeerLine]:
        return []

    def follow(self) -> Iterator[PeerLine]:
        self.begun.append(self.since_s)
        yield from self.ends.pop(0).follow()


@pytest.mark.parametrize(
    ("ends", "asked_s"),
    [
        (((1.0, 1.0), (), (1.0, 2.0)), [600.0, 12.0, 19.0]),
        (((), (), (1.0, 1.0, 2.0)), [600.0, 607.0, 614.0]),
    ],
    ids=["behind what is known", "from the beginning, where nothing came"],
)
def test_a_log_that_has_ended_is_followed_again(
    ends: tuple[tuple[float, ...], ...], asked_s: list[float]
) -> None:
    begun, silent = list[float](), list[str]()
    now = iter(range(100, 1000, 7))
    peer = cast(Any, Peer(600.0, begun, [FakeSource(*each) for each in ends]))
    source = LastingSource(
        peer, lambda e: silent.append(e.message), lambda: None, lambda: next(now)
    )
    lines = source.follow()
    told = [cast(PeerLine, next(lines)).line.time_s for _ in range(3)]
    assert told == [1.0, 1.0, 2.0]
    assert begun == asked_s
    assert silent == ["lost"], "once, however often it is asked for"


def test_what_was_logged_while_this_machine_slept_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, night_s = list[float](), 8 * 3600.0

    now_s = [5000.0]

    def at_s(clock: int) -> float:
        return now_s[-1]

    def sleep() -> None:
        now_s.append(5000.0 + night_s)

    monkeypatch.setattr(time, "clock_gettime", at_s)
    peer = cast(Any, Peer(600.0, begun, [FakeSource(1.0), FakeSource(2.0)]))
    lines = LastingSource(peer, lambda _: None, sleep).follow()
    assert [cast(PeerLine, next(lines)).line.time_s for _ in range(2)] == [1.0, 2.0]
    assert night_s <= begun[1] < night_s + 600


def test_what_was_logged_while_this_machine_was_halted_is_asked_for_by_the_peoples_clock() -> None:
    begun, night_s = list[float](), 8 * 3600.0
    wall_s = [1e9]

    def be_halted() -> None:
        wall_s.append(wall_s[-1] + night_s)

    peer = cast(Any, Peer(600.0, begun, [FakeSource(1.0), FakeSource(2.0)]))
    clock = AmpleClock(lambda: 5000.0, lambda: wall_s[-1])
    lines = LastingSource(peer, lambda _: None, be_halted, clock).follow()
    assert [cast(PeerLine, next(lines)).line.time_s for _ in range(2)] == [1.0, 2.0]
    assert begun[1] == pytest.approx(night_s + 5)


def test_a_log_that_cannot_be_had_at_all_is_an_error() -> None:
    source = cast(Any, FakeSource(error=HostLost("borea is lost", "")))
    with pytest.raises(HostLost):
        next(LastingSource(source, lambda _: None, lambda: None).follow())


def test_lines_as_people_and_programs_read_them() -> None:
    told, skipped = PeerLine("atlas", LINE), PeerSkipped("atlas", 1240)
    today = date.fromtimestamp(LINE.time_s)
    text = partial(line_text, today=today)
    assert text(told, with_peer=True)[12:] == "  atlas  warning  peer.node  engine lost"
    assert text(told, with_peer=False)[12:] == "  warning  peer.node  engine lost"
    assert text(skipped, with_peer=False) == "… 1,240 lines skipped"
    later = line_text(told, with_peer=False, today=today + timedelta(days=1))
    assert later == f"{today.isoformat()} {text(told, with_peer=False)}"
    assert line_json(told) == {
        "schema": 1,
        "peer": "atlas",
        "time": 1_700_000_000.25,
        "level": "warning",
        "source": "peer.node",
        "text": "engine lost",
    }
    assert line_json(skipped) == {"schema": 1, "peer": "atlas", "skipped": 1240}
