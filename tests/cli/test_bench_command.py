"""`cortex bench` as a command: its table, its JSON, its errors, and ctrl-c."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from cortex.cli.bench_report import as_json, notes, table_rows
from cortex.cli.commands import bench
from cortex.cli.commands.bench import read_concurrencies
from cortex.cli.errors import UsageProblem
from cortex.peer.config import Locations
from cortex.peer.measure.questions import Way
from cortex.peer.measure.rounds import Plan, Sample
from cortex.peer.measure.timeline import Arrival, Timeline
from cortex.peer.serving.announcement import Announcement, announced
from cortex.peer.serving.state_lock import only_peer_of

Cortex = Callable[..., Any]

READY_S = 30.0
COMMAND = (sys.executable, "-m", "cortex.cli")
QUICK = ("--prompt-tokens", "30", "--output-tokens", "12", "--rounds", "2", "--requests", "3")
PLAN = Plan("m", (1, 8), 100, 3, rounds=2, requests=None, seed=0)
WAY = Way("completions", has_extras=True)


def seen(tokens_per_s: float, error: str = "") -> Timeline:
    step_s = 1 / tokens_per_s
    arrivals = tuple(Arrival(step_s * (number + 1)) for number in range(3))
    return Timeline(0.0, 3 * step_s, arrivals, has_token_ids=True, prompt_tokens=100, error=error)


@pytest.fixture
def peer_url() -> Generator[str]:
    """A peer with the fake engine that takes a while for each token."""
    command = (*COMMAND, "peer", "--port", "0", "--engine", "fake")
    slowly = ("--fake-token-interval-ms", "5")
    with subprocess.Popen(
        [*command, *slowly], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        deadline = threading.Timer(READY_S, process.kill)
        deadline.start()
        try:
            assert process.stdout is not None
            address = next(
                (m[1] for line in process.stdout if (m := re.search(r"(http://\S+/v1)", line))), ""
            )
            assert address, f"the peer was not ready within {READY_S:g} s"
            yield address
        finally:
            deadline.cancel()
            process.kill()


def test_a_peer_is_measured_and_shown_as_a_table(cortex_here: Cortex, peer_url: str) -> None:
    done = cortex_here("bench", "--url", peer_url, "--concurrency", "1,2", *QUICK)
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"fake at {peer_url}"
    assert lines[1].split()[:2] == ["CONCURRENCY", "ANSWERED"]
    assert [line.split()[:2] for line in lines[2:4]] == [["1", "6/6"], ["2", "6/6"]]
    assert done.stderr == ""


def test_json_holds_every_request(cortex_here: Cortex, peer_url: str) -> None:
    done = cortex_here("bench", "--url", peer_url, "--concurrency", "2", "--json", *QUICK)
    told = json.loads(done.stdout)
    assert (told["schema"], told["model"], told["complete"]) == (1, "fake", True)
    (level,) = told["levels"]
    assert [len(round_["requests"]) for round_ in level["rounds"]] == [3, 3]
    assert level["rounds"][0]["requests"][0]["ttft_s"] > 0
    assert level["spread"]["tokens_per_s"]["lowest"] > 0


class Answering(BaseHTTPRequestHandler):
    """An endpoint that tells its server of every answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        event = {"choices": [{"text": "a", "finish_reason": "stop"}]}
        self.wfile.write(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
        cast(Counting, self.server).count()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Counting(ThreadingHTTPServer):
    """Calls `at_enough` once it has answered that often."""

    daemon_threads = True
    enough = 20
    answered = 0
    at_enough: Callable[[], None]

    def count(self) -> None:
        self.answered += 1
        if self.answered == self.enough:
            self.at_enough()


def test_ctrl_c_shows_what_was_measured_until_then() -> None:
    endless = ("--concurrency", "1", "--rounds", "1", "--requests", "1000000", "--json")
    with Counting(("127.0.0.1", 0), Answering) as server:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        command = [*COMMAND, "bench", "--url", url, "--model", "m", *endless]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            server.at_enough = lambda: process.send_signal(signal.SIGINT)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stdout, _ = process.communicate(timeout=60)
            server.shutdown()
    assert process.returncode == 130
    told = json.loads(stdout)
    assert told["complete"] is False
    assert told["levels"][0]["rounds"][0]["num_answered"] >= 10


def test_nobody_at_the_address_is_an_error_with_the_next_step(cortex_here: Cortex) -> None:
    done = cortex_here("bench", "--url", "http://127.0.0.1:9/v1")
    assert done.code == 3
    assert "no endpoint answers at http://127.0.0.1:9/v1" in done.stderr
    assert "hint: start one with: cortex peer" in done.stderr


def test_the_peer_of_this_machine_is_measured_with_the_key_that_it_left(
    cortex_here: Cortex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str | None] = []

    class Locked(Answering):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            asked.append(self.headers["authorization"])
            if asked[-1] != "Bearer its key":
                self.send_error(401)
                return
            super().do_POST()

    with Counting(("127.0.0.1", 0), Locked) as server:
        server.enough = 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        monkeypatch.setattr(bench, "_DEFAULT_URL", url)
        note = Announcement("ab", os.getpid(), "127.0.0.1", server.server_port, 0, "its key")
        # The youngest, which answers nobody.
        hung = Announcement("cd", os.getpid(), "127.0.0.1", 9, 1, "no key")
        once = ("--model", "m", "--concurrency", "1", "--rounds", "1", "--requests", "1")
        state, own = tmp_path / "own", ("--state-dir", str(tmp_path / "own"))
        notes = Locations(tmp_path, state).announcements_dir
        try:
            with only_peer_of(state), announced(notes, note), announced(notes, hung):
                done = cortex_here("bench", *own, *once)
                named = cortex_here("bench", *own, *once, "--url", url)
                unnoted = cortex_here("bench", *once)
                monkeypatch.setenv("CORTEX_API_KEY", "another")
                refused = cortex_here("bench", *own, *once)
        finally:
            server.shutdown()
    assert done.code == 0, done.stderr
    assert (named.code, unnoted.code, refused.code) == (4, 4, 4)
    assert asked == [*["Bearer its key"] * (len(asked) - 3), None, None, "Bearer another"]
    assert "hint: set CORTEX_API_KEY to a key of that endpoint" in refused.stderr


def test_a_bench_that_nobody_answered_has_failed(cortex_here: Cortex) -> None:
    class Dying(Answering):
        """It answers the probe, and nothing else."""

        def do_POST(self) -> None:
            if cast(Counting, self.server).answered:
                self.send_error(503)
            else:
                super().do_POST()

    with Counting(("127.0.0.1", 0), Dying) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            levels = ("--concurrency", "1,2", "--rounds", "2", "--requests", "3", "--json")
            asked = ("bench", "--url", url, "--model", "m", *levels)
            done = cortex_here(*asked)
            server.answered = 0
            reads, writes = os.pipe()
            os.close(reads)
            unread = subprocess.run(
                [*COMMAND, *asked], stdout=writes, stderr=subprocess.PIPE, text=True, timeout=60
            )
            os.close(writes)
        finally:
            server.shutdown()
    assert (unread.returncode, unread.stderr) == (1, done.stderr)
    assert done.code == 1
    assert json.loads(done.stdout)["complete"] is True
    assert done.stderr.splitlines() == [
        "error: none of 6 requests was answered at concurrency 1: 6 x status 503.",
        "hint: the endpoint's log may say why",
    ]


def test_where_no_peer_left_a_note_the_usual_address_is_asked(
    cortex_here: Cortex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "_DEFAULT_URL", "http://127.0.0.1:9/v1")
    done = cortex_here("bench")
    assert (done.code, done.stdout) == (3, "")
    assert "no endpoint answers at http://127.0.0.1:9/v1" in done.stderr
    assert "or name another with --url" in done.stderr


def test_a_peer_that_is_silent_is_not_taken_for_none(
    cortex_here: Cortex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cortex.peer.client.backends._NAMED_PROBE_S", 0.1)
    notes = Locations(tmp_path, tmp_path / "own").announcements_dir
    with socket.create_server(("127.0.0.1", 0)) as halted:
        port = halted.getsockname()[1]
        note = Announcement("ab", os.getpid(), "127.0.0.1", port, 0)
        with only_peer_of(tmp_path / "own"), announced(notes, note):
            done = cortex_here("bench", "--state-dir", str(tmp_path / "own"))
    assert (done.code, done.stdout) == (3, "")
    assert f"the peer at 127.0.0.1:{port} does not answer (silent for" in done.stderr


def test_concurrencies_are_numbers_each_once() -> None:
    assert read_concurrencies("1,8,8,32") == (1, 8, 32)


@pytest.mark.parametrize("text", ["", "1,", "0", "many", "1,5000"])
def test_other_concurrencies_are_refused_with_what_is_wanted(text: str) -> None:
    with pytest.raises(UsageProblem, match="numbers from 1 to 4096"):
        read_concurrencies(text)


def test_the_table_shows_the_median_round_and_the_notes_the_spread() -> None:
    samples = [Sample(1, number, seen(speed)) for number, speed in enumerate((10.0, 30.0, 20.0))]
    (row,) = table_rows(samples)
    assert row[:2] == ("1", "3/3")
    assert row[2] == "50.0 ms"
    assert row[-2:] == ("20.0", "2,000.0")
    assert "concurrency 1: 3 rounds, 10.0 to 30.0 tok/s." in notes(WAY, PLAN, samples)


def test_failures_are_told_by_name_and_count() -> None:
    bad = Sample(8, 0, seen(10.0, error="status 503 overloaded"))
    samples = [bad, bad, Sample(8, 0, seen(10.0))]
    assert table_rows(samples)[0][1] == "1/3"
    assert "concurrency 8: 2 x status 503 overloaded." in notes(WAY, PLAN, samples)


def test_the_notes_say_what_a_token_is() -> None:
    blind = Timeline(0.0, 1.0, (Arrival(0.5), Arrival(1.0)))
    assert any(
        "per token, by the ids" in line for line in notes(WAY, PLAN, [Sample(1, 0, seen(9))])
    )
    assert any("per event" in line for line in notes(WAY, PLAN, [Sample(1, 0, blind)]))


def test_a_part_measured_says_that_it_is_one() -> None:
    told = as_json("u", PLAN, WAY, [Sample(1, 0, seen(9))], is_complete=False, date="d")
    assert told["complete"] is False
    assert [level["concurrency"] for level in told["levels"]] == [1]
