"""Orders over plain HTTP: refusals come back as what they were, and other doors are tried."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cortex.engine.errors import CortexError, ModelNotFound
from cortex.peer.errors import HostLost, InvalidApiKey, NoPeer
from cortex.peer.onlooker.asking import Asking, Door
from cortex.peer.onlooker.log_following import follow_log
from cortex.peer.onlooker.log_lines import LogLine, Skipped
from cortex.peer.onlooker.ordering import Ordering

Answer = Callable[..., str]
RUNNING = {"id": "job_1", "state": "running"}
DONE = {"id": "job_1", "state": "done"}
LINE = {"time": 7.5, "level": "info", "source": "s", "text": "a\x1bb"}


@pytest.fixture
def heard() -> list[tuple[str, str, str | None, bytes]]:
    """Method, path, authorization and body of what came."""
    return []


@pytest.fixture
def answer(heard: list[tuple[str, str, str | None, bytes]]) -> Generator[Answer]:
    """A server that answers this to whatever it is asked; gives its address."""
    told: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            heard.append((self.command, self.path, self.headers.get("authorization"), body))
            self.send_response(told["status"])
            self.send_header("content-length", str(len(told["body"])))
            self.end_headers()
            self.wfile.write(told["body"])

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def tell(body: bytes, status: int = 200) -> str:
            told.update(body=body, status=status)
            return f"127.0.0.1:{server.server_port}"

        yield tell
        server.shutdown()
        thread.join()


def events(*jobs: Any, name: str = "job") -> bytes:
    return b"".join(f"event: {name}\ndata: {json.dumps(job)}\n\n".encode() for job in jobs)


def test_an_order_is_sent_with_its_body_and_key(answer: Answer, heard: list[Any]) -> None:
    orders = Ordering([Door(answer(b'{"status": "loaded"}'), "sk-1")])
    assert orders.call("POST", "/models/load", {"model": "qwen"}) == {"status": "loaded"}
    assert heard == [("POST", "/models/load", "Bearer sk-1", b'{"model": "qwen"}')]


def test_a_refusal_is_the_error_that_it_was(answer: Answer) -> None:
    told = {"message": "no qwen; did you mean qwen3?", "code": "model_not_found"}
    body = json.dumps({"error": told | {"hint": "did you mean qwen3?"}}).encode()
    with pytest.raises(ModelNotFound, match=r"^no qwen$") as raised:
        Ordering([Door(answer(body, 404))]).call("POST", "/models/load", {"model": "qwen"})
    assert raised.value.hint == "did you mean qwen3?"


def test_a_missing_key_is_told_as_people_set_it(answer: Answer) -> None:
    body = b'{"error": {"message": "no", "code": "invalid_api_key"}}'
    with pytest.raises(InvalidApiKey) as raised:
        Ordering([Door(answer(body, 401))]).call("GET", "/requests")
    assert "CORTEX_API_KEY" in raised.value.hint


@pytest.mark.parametrize(
    ("body", "status"), [(b"hello", 200), (b"[]", 200), (b"{}", 500), (b'{"error": 1}', 404)]
)
def test_what_is_no_peer_is_said_to_be_none(answer: Answer, body: bytes, status: int) -> None:
    with pytest.raises(NoPeer, match="no cortex peer"):
        Ordering([Door(answer(body, status))]).call("GET", "/requests")


def test_a_field_that_every_peer_tells_and_this_one_does_not_says_that_it_is_no_peer(
    answer: Answer,
) -> None:
    told = Ordering([Door(answer(b'{"jobs": [{}]}'))]).call("GET", "/jobs")
    assert told.get("id") is None
    for look in (lambda: told["id"], lambda: told["jobs"][0]["kind"]):
        with pytest.raises(NoPeer, match="no cortex peer"):
            look()
    with pytest.raises(NoPeer, match="it tells no 'state'"):
        follow(answer(events({})))


def test_no_text_of_an_answer_or_a_refusal_moves_the_cursor(answer: Answer) -> None:
    body = json.dumps({"id": "a\x1b[2Jb", "jobs": [{"model": "m\r\n"}]}).encode()
    told = Ordering([Door(answer(body))]).call("GET", "/jobs")
    assert told == {"id": "a[2Jb", "jobs": [{"model": "m"}]}
    body = json.dumps({"error": {"message": "no\x1b[2J", "hint": "go\n", "code": "x"}}).encode()
    with pytest.raises(CortexError) as raised:
        Ordering([Door(answer(body, 500))]).call("GET", "/jobs")
    assert (raised.value.message, raised.value.hint) == ("no[2J", "go")


def test_the_first_door_that_answers_is_asked_from_then_on(
    answer: Answer, unused_tcp_port: int, heard: list[Any]
) -> None:
    closed = Door(f"127.0.0.1:{unused_tcp_port}")
    orders = Ordering([closed, Door(answer(events(RUNNING, DONE)))])
    with pytest.raises(NoPeer):  # that is no JSON object
        orders.call("GET", "/jobs/job_1")
    answer(b"{}")
    assert orders.call("GET", "/requests") == {}
    answer(events(RUNNING, DONE))
    assert list(orders.job("job_1")) == [RUNNING, DONE]
    assert heard[-1][:2] == ("GET", "/jobs/job_1/events")


def follow(address: str) -> list[Any]:
    return list(Ordering([Door(address)], Asking(5.0)).job("job_1"))


def test_a_job_is_followed_to_its_end_and_no_further(answer: Answer) -> None:
    assert follow(answer(events(RUNNING, DONE, RUNNING))) == [RUNNING, DONE]


def test_a_peer_that_ends_before_the_job_is_gone(answer: Answer) -> None:
    with pytest.raises(NoPeer, match="has ended"):
        follow(answer(events(RUNNING)))


def test_a_job_whose_own_peer_is_lost_says_so(answer: Answer) -> None:
    lost = {"error": {"code": "host_lost", "message": "borea was lost", "hint": ""}}
    with pytest.raises(HostLost, match="borea was lost"):
        follow(answer(events(RUNNING) + events(lost, name="error")))


def test_a_job_that_is_not_there_is_refused(answer: Answer) -> None:
    with pytest.raises(ModelNotFound):
        follow(answer(b'{"error": {"message": "no", "code": "model_not_found"}}', 404))


def test_what_nobody_waits_for_any_more_is_asked_of_no_door(
    answer: Answer, heard: list[Any]
) -> None:
    door, asking = Door(answer(events(LINE, name="line"))), Asking(5.0)
    asking.close()
    with pytest.raises(NoPeer, match="nobody waits"):
        list(follow_log(Ordering([door, door], asking), "atlas", 600.0, "debug"))
    assert heard == []


def test_nobody_to_ask_is_an_error() -> None:
    with pytest.raises(NoPeer, match="no peer is running"):
        Ordering([]).call("GET", "/requests")


def test_a_stream_is_that_of_the_first_door_that_answers(
    answer: Answer, unused_tcp_port: int
) -> None:
    closed = Door(f"127.0.0.1:{unused_tcp_port}")
    orders = Ordering([closed, Door(answer(events({"text": "one"}, {"text": "two"}, name="line")))])
    told: list[Any] = []
    with pytest.raises(NoPeer, match="has ended"):
        for event in orders.stream("/logs?follow=1"):
            told.append(event)
    assert told == [("line", {"text": "one"}), ("line", {"text": "two"})]


def test_the_door_of_a_stream_is_asked_from_then_on(answer: Answer, unused_tcp_port: int) -> None:
    asked: list[Door] = []

    class Noted(Asking):
        def reply(self, door: Door, method: str, path: str, body: bytes | None = None) -> Any:
            asked.append(door)
            return super().reply(door, method, path, body)

    closed, door = Door(f"127.0.0.1:{unused_tcp_port}"), Door(answer(events(LINE, name="line")))
    orders = Ordering([closed, door], Noted(5.0))
    for _ in range(2):
        with pytest.raises(NoPeer, match="has ended"):
            list(orders.stream("/logs?follow=1"))
    assert asked == [closed, door, door]


def test_a_stream_that_is_refused_raises_what_it_was(answer: Answer) -> None:
    body = b'{"error": {"message": "no", "code": "invalid_api_key"}}'
    with pytest.raises(InvalidApiKey):
        list(Ordering([Door(answer(body, 401))]).stream("/logs?follow=1"))
    with pytest.raises(NoPeer, match="no peer is running"):
        list(Ordering([]).stream("/logs?follow=1"))


def test_lines_of_a_log_and_what_was_skipped_come_in_turn_and_the_rest_is_passed_over(
    answer: Answer, heard: list[Any]
) -> None:
    body = events(LINE, name="line") + b": alive\n\n" + events({}, name="new")
    orders = Ordering([Door(answer(body + events({"count": 12}, name="skipped")), "sk-1")])
    log = follow_log(orders, "bo rea", 11.0, "debug")
    assert [next(log), next(log)] == [LogLine(7.5, "info", "s", "ab"), Skipped(12)]
    with pytest.raises(NoPeer, match="has ended"):
        next(log)
    assert heard[0][1] == "/logs?since_s=11&level=debug&peer=bo+rea&follow=1"


@pytest.mark.parametrize(
    "body", [b"event: line\ndata: {\n\n", b'event: line\ndata: {"time":1}\n\n']
)
def test_what_is_no_log_is_no_peer(answer: Answer, body: bytes) -> None:
    with pytest.raises(NoPeer):
        list(follow_log(Ordering([Door(answer(body))]), None, 1.0, "info"))


def test_an_error_in_a_log_is_raised(answer: Answer) -> None:
    error = {"error": {"code": "host_lost", "message": "gone"}}
    body = events(LINE, name="line") + events(error, name="error")
    with pytest.raises(HostLost, match="gone"):
        list(follow_log(Ordering([Door(answer(body))]), None, 1.0, "info"))
