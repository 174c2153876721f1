"""Comments with progress, server-sent events, error envelopes, notes of running peers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cortex.engine import errors as engine_errors
from cortex.engine.errors import CortexError, ErrorInfo, to_info
from cortex.engine.stream import Accepted, Finished, Piece, Stage, TextDelta, Usage
from cortex.engine.types import ImageTokens
from cortex.peer import errors as peer_errors
from cortex.peer.api.errors import About, error_response, tell
from cortex.peer.client.backends import normalise_address
from cortex.peer.client.chunks import StreamReader
from cortex.peer.client.progress import AnsweredBy, Remark, from_comment, to_comment
from cortex.peer.dialects import events
from cortex.peer.dialects.errors import openai_envelope
from cortex.peer.errors import from_info
from cortex.peer.serving.announcement import Announcement, announced, read_announcements


@pytest.mark.parametrize(
    "event",
    [
        Stage("starting"),
        Stage("starting", eta_s=12.5),
        Stage("loading", 3, 9, "bytes"),
        Stage("loading", 3, 9, "bytes", eta_s=0.0),
        Accepted(12, (ImageTokens(64, 32, 2), ImageTokens(1, 1, 1)), 99),
        AnsweredBy("Köln\n"),
    ],
)
def test_progress_survives_its_comment(event: Remark):
    assert from_comment(to_comment(event)) == event


@pytest.mark.parametrize(
    "text",
    [
        "keep-alive",
        "cortex",
        "cortex {",
        'cortex {"stage":"\\u001b[2J"}',
        "cortex []",
        "cortex 5",
        'cortex {"stage":"loading","done":1e999}',
    ],
)
def test_comment_that_is_not_ours_is_no_event(text: str):
    assert from_comment(text) is None


def test_stage_in_a_newer_peers_words_is_told_in_them():
    assert from_comment('cortex {"stage":"flying","done":2}') == Stage("flying", 2)


def test_stream_without_its_end_is_an_error():
    reader = StreamReader()
    chunk = {"choices": [{"delta": {"content": "hi"}, "finish_reason": None}]}
    assert reader.read_line(events.data(chunk)) == [Piece((TextDelta("hi"),))]
    with pytest.raises(engine_errors.EngineFailed):
        reader.check_end()


def test_error_event_is_raised_as_the_class_it_was():
    told = events.data(
        openai_envelope(tell(engine_errors.InsufficientVram("no room", "free some"), About()))
    )
    with pytest.raises(engine_errors.InsufficientVram, match="no room") as caught:
        StreamReader().read_line(told)
    assert caught.value.hint == "free some"


@pytest.mark.parametrize(("is_final", "status"), [(False, 503), (True, 400)])
def test_shortage_of_memory_travels_with_its_numbers(is_final: bool, status: int):
    shortage = engine_errors.MemoryShortage(3 << 30, 2 << 30, is_final)
    error = from_info(to_info(engine_errors.InsufficientVram("no", "wait", shortage=shortage)))
    response = error_response(tell(error, About()), "req_1", "chat")
    assert response.status == status
    assert ("retry-after" in response.headers) == (not is_final)
    told = openai_envelope(tell(error, About()))
    assert (told["error"]["required_bytes"], told["error"]["available_bytes"]) == (3 << 30, 2 << 30)
    with pytest.raises(engine_errors.InsufficientVram) as caught:
        StreamReader().read_line(events.data(told))
    assert caught.value.shortage == shortage


def test_finish_waits_for_the_usage_that_follows_it():
    reader = StreamReader()
    choice: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "length"}
    assert reader.read_line(events.data({"choices": [choice], "usage": None})) == []
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    finished = Finished("length", Usage(3, 2))
    assert reader.read_line(events.data({"choices": [], "usage": usage})) == [finished]
    reader.check_end()


ALL_ERRORS = sorted(CortexError.__subclasses__(), key=lambda error: error.code())


@pytest.mark.parametrize("error", ALL_ERRORS)
def test_every_error_has_a_status_and_both_envelope_keys(error: type[CortexError]):
    response = error_response(tell(error("what", "do this"), About("m", None)), "req_1", "chat")
    assert 400 <= response.status < 600
    assert isinstance(response.body, bytes)
    told = json.loads(response.body)["error"]
    assert {"message", "type", "param", "code", "model_id", "suggestion"} <= told.keys()
    assert (told["message"], told["code"]) == ("what; do this", error.code())
    assert (response.status in (429, 503)) == ("retry-after" in response.headers)
    assert error.is_of_request == (response.status < 500)


@pytest.mark.parametrize("error", [peer_errors.UnsupportedParameter, engine_errors.Overloaded])
def test_errors_of_both_trees_come_back_by_code(error: type[CortexError]):
    again = from_info(to_info(error("a", "b", param="c")))
    assert (type(again), again.message, again.hint, again.param) == (error, "a", "b", "c")


@pytest.mark.parametrize(("is_of_request", "status"), [(True, 400), (False, 500)])
def test_error_that_only_a_newer_peer_knows_stays_the_client_s_or_the_server_s(
    is_of_request: bool, status: int
):
    error = from_info(ErrorInfo("newer", "x", is_of_request=is_of_request))
    assert tell(error, About("m", None)).status == status


def test_note_of_a_peer_is_there_while_it_runs_and_gone_after(tmp_path: Path):
    older = Announcement("a", os.getpid(), "127.0.0.1", 1, 10)
    newer = Announcement("b", os.getpid(), "::1", 2, 20)
    with announced(tmp_path / "run", older), announced(tmp_path / "run", newer):
        assert read_announcements(tmp_path / "run") == (newer, older)
    assert list((tmp_path / "run").iterdir()) == []
    assert newer.address == "[::1]:2"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"node":"a","pid":"x","host":"h","port":1}'])
def test_other_files_among_the_notes_are_skipped(tmp_path: Path, text: str):
    (tmp_path / "node.json").write_text(text)
    assert read_announcements(tmp_path) == ()


@pytest.mark.parametrize("pid", [-1, 0, 2**22 + 1, 2**80])
def test_note_of_a_dead_process_is_skipped(tmp_path: Path, pid: int):
    note = {"node": "a", "pid": pid, "host": "127.0.0.1", "port": 1, "started_s": 1}
    (tmp_path / "a.json").write_text(json.dumps(note))
    (tmp_path / "node.json").write_text("{}")
    assert read_announcements(tmp_path) == ()
    with announced(tmp_path, Announcement("b", os.getpid(), "127.0.0.1", 1, 2)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["node.json"]


def test_folder_that_may_not_be_read_holds_no_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", refuse)
    assert read_announcements(tmp_path) == ()


def test_note_that_cannot_be_left_is_an_error_with_the_folder_s_name(tmp_path: Path):
    (tmp_path / "run").write_text("a file where the folder should be")
    note = Announcement("a", 1, "127.0.0.1", 1, 1)
    leaving = announced(tmp_path / "run", note)
    with pytest.raises(peer_errors.CannotAnnounce, match="note") as caught, leaving:
        pass
    assert str(tmp_path / "run") in caught.value.message
    assert "--state-dir" in caught.value.hint


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("beast", "beast:13131"),
        ("beast:80", "beast:80"),
        ("http://beast:80/v1", "beast:80"),
        ("[::1]", "[::1]:13131"),
        ("[::1]:5", "[::1]:5"),
    ],
)
def test_peer_address_gets_the_default_port_where_none_is_named(peer: str, address: str):
    assert normalise_address(peer) == address
