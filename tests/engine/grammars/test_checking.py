"""Hostile grammars: refused soon, in bounded memory, and whoever comes next is served."""

from __future__ import annotations

import itertools
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from cortex.engine.bounds import MAX_SCHEMA_BYTES
from cortex.engine.errors import EngineFailed, InvalidRequest
from cortex.engine.grammars import checking
from cortex.engine.grammars.checking import SPENT, GrammarTrial, TrialBudget, worded
from cortex.engine.grammars.schemas import MAX_SCHEMA_NODES, read_schema
from cortex.engine.grammars.trial import bound

# A busy machine may be slow, but not so slow.
_SOON_S = 20.0


@pytest.fixture
def hasty() -> Iterator[GrammarTrial]:
    trial = GrammarTrial(seconds=0.0001)
    yield trial
    trial.close()


def schema(**fields: Any) -> str:
    return f"start: %json {json.dumps(fields)}\n"


HOSTILE = {
    "wide": schema(properties={f"p{i}": {"type": "string"} for i in range(20_000)}),
    "crossed": schema(
        allOf=[{"anyOf": [{"properties": {f"p{i}{j}": {}}} for i in range(8)]} for j in range(9)]
    ),
    "doubling": schema(
        **{"$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(30)}},
        **{"$ref": "#/$defs/d0"},
    ),
    "counting": "start: /((((a{1,99}){1,99}){1,99}){1,99}){1,99}/\n",
    "expression": "start: /" + "(a|b)*a(a|b){99}" * 50 + "/\n",
    "patterns": schema(
        anyOf=[
            {"properties": {f"p{i}": {"type": "string", "pattern": f"^(a|b)*a(a|b){{{i}}}$"}}}
            for i in range(500)
        ]
    ),
    "rules": "start: r0\n"
    + "".join(f"r{i}: r{i + 1} r{i + 1}\n" for i in range(500))
    + 'r500: "a"\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_grammar_is_over_with_soon(trial: GrammarTrial, name: str) -> None:
    began_s = time.monotonic()
    trial.why_not(HOSTILE[name])
    assert time.monotonic() - began_s < _SOON_S
    assert trial.why_not('start: "a"\n') is None


def test_a_grammar_that_takes_too_long_ends_its_process_and_no_other(hasty: GrammarTrial) -> None:
    assert "too long" in (hasty.why_not(HOSTILE["patterns"]) or "")
    assert "too long" in (hasty.why_not(HOSTILE["wide"]) or "")


def test_a_grammar_that_takes_too_much_memory_ends_its_process() -> None:
    trial = GrammarTrial(memory_bytes=96 * 1024 * 1024)
    try:
        assert trial.why_not('start: "a"\n') is None
        huge = "start: " + " | ".join(f'"{n:0200}"' for n in range(200_000)) + "\n"
        assert "too much memory" in (trial.why_not(huge) or "")
        assert trial.why_not('start: "b"\n') is None
    finally:
        trial.close()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that try grammars, in order."""
    processes: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen[bytes]

    def recorded(*command: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(start(*command, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", recorded)
    return processes


def test_a_trial_that_died_meanwhile_is_no_grammars_fault(
    started: list[subprocess.Popen[bytes]],
) -> None:
    trial = GrammarTrial()
    try:
        assert trial.why_not('start: "a"\n') is None
        started[0].kill()
        started[0].wait()
        assert trial.why_not('start: "b"\n') is None
        assert len(started) == 2
    finally:
        trial.close()


def test_a_trial_that_dies_of_something_else_is_tried_again_and_remembered_for_some_minutes(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = checking.asked
    deadly = [True, False, True, True]

    def asked(stdin: IO[bytes], stdout: IO[bytes], grammar: str) -> str | None:
        if deadly and deadly.pop(0):
            started[-1].kill()
            started[-1].wait()
        return ask(stdin, stdout, grammar)

    monkeypatch.setattr(checking, "asked", asked)
    now_s = 0.0
    trial = GrammarTrial(clock_s=lambda: now_s)
    try:
        assert trial.why_not('start: "a"\n') is None
        assert "too long" in (trial.why_not('start: "b"\n') or "")
        now_s = 299.0
        assert "too long" in (trial.why_not('start: "b"\n') or "")
        assert len(started) == 3
        now_s = 301.0
        assert trial.why_not('start: "b"\n') is None
    finally:
        trial.close()


def test_a_grammar_that_took_too_long_is_not_tried_again(
    hasty: GrammarTrial, started: list[subprocess.Popen[bytes]]
) -> None:
    for _ in range(2):
        assert "too long" in (hasty.why_not(HOSTILE["patterns"]) or "")
    assert len(started) == 1


def test_a_trial_that_takes_too_long_by_the_clock_ends_and_is_not_remembered(
    started: list[subprocess.Popen[bytes]],
) -> None:
    trial = GrammarTrial(seconds=600, real_seconds=0.0001)
    try:
        for number in range(1, 3):
            assert "too long" in (trial.why_not(HOSTILE["patterns"]) or "")
            assert [process.returncode for process in started] == [-signal.SIGALRM] * number
    finally:
        trial.close()


@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGILL, signal.SIGTRAP])
def test_a_trial_that_dies_by_its_own_doing_is_not_tried_again(
    number: signal.Signals,
    started: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(*_: object) -> None:
        started[-1].send_signal(number)
        started[-1].wait()

    monkeypatch.setattr(checking, "asked", asked)
    trial = GrammarTrial()
    for _ in range(2):
        assert "too long" in (trial.why_not('start: "a"\n') or "")
    assert len(started) == 1


def test_a_trial_that_does_not_start_is_no_grammars_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))  # it ends at once
    trial = GrammarTrial()
    for _ in range(2):
        with pytest.raises(EngineFailed, match="does not start on this machine"):
            trial.why_not('start: "a"\n')


def test_a_trial_that_is_closed_while_it_starts_is_ended(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    trial, ends = GrammarTrial(), list[int | None]()

    def closed_meanwhile(_: IO[bytes]) -> None:
        trial.close()
        ends.append(started[0].returncode)

    monkeypatch.setattr(checking, "_read", closed_meanwhile)
    with pytest.raises(EngineFailed, match="does not start on this machine"):
        trial.why_not('start: "a"\n')
    assert ends == [-signal.SIGKILL]


def test_a_system_that_bounds_no_address_space_tries_grammars_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    bound(resource.RLIMIT_AS, 1 << 30)


def test_modules_in_the_folder_of_a_peers_start_do_not_try_its_grammars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llguidance.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    trial = GrammarTrial()
    try:
        assert trial.why_not('start: "a"\n') is None
    finally:
        trial.close()


def test_the_parts_of_one_answer_have_a_budget_that_the_whole_and_others_have_not() -> None:
    times_s = itertools.count(0, 4)
    trial, budget = GrammarTrial(clock_s=lambda: next(times_s)), TrialBudget(10)
    try:
        reasons = [trial.why_not(f'start: "{number}"\n', budget) for number in range(5)]
        assert reasons == [None] * 3 + [SPENT] * 2
        assert trial.why_not('start: "2"\n', budget) is None
        assert trial.why_not('start: "3"\n', TrialBudget(10)) is None
        assert trial.why_not('start: "4"\n') is None
    finally:
        trial.close()


def test_what_was_tried_is_known(trial: GrammarTrial) -> None:
    trial.why_not(HOSTILE["wide"])
    began_s = time.monotonic()
    for _ in range(100):
        trial.why_not(HOSTILE["wide"])
    assert time.monotonic() - began_s < 1.0


def test_a_reason_shows_nothing_of_the_grammar() -> None:
    error = 'at 1(8): failed to compile JSON schema: Unimplemented keys: ["not"]\n   1 | start: x'
    assert worded(error) == 'not supported: ["not"]'
    assert worded("lexer error: too many states\n<non-verbose/>") == "lexer error: too many states"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"enum": ["' + "a" * MAX_SCHEMA_BYTES + '"]}', "bytes long"),
        ('{"items":' * 101 + "{}" + "}" * 101, "nested deeper"),
        ('{"items":' * 20_000 + "{}" + "}" * 20_000, "not the JSON text"),
        (json.dumps({"enum": [1] * MAX_SCHEMA_NODES}), "parts"),
    ],
)
def test_a_schema_too_large_is_refused_by_what_is_too_large(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as refused:
        read_schema(text, "the schema", "response_format")
    assert refused.value.param == "response_format"


_CHAIN = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(6_000)}


@pytest.mark.parametrize(
    "fields",
    [
        {"$ref": "#"},
        {"items": {"$ref": "#/items"}},
        {"properties": {"a~/b": {"$ref": "#/properties/a~0~1b"}}},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        {"$defs": {**_CHAIN, "d6000": {"$ref": "#/$defs/d0"}}},
        {"anyOf": [{"$ref": "#"}]},
        {"properties": {"a": {"oneOf": [{"$ref": "#/properties/a"}]}}},
        {"$defs": {**_CHAIN, "d6000": {"anyOf": [{"$ref": "#/$defs/d0"}, {"$ref": "#/$defs/d9"}]}}},
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"allOf": [{"$ref": "#/$defs/a"}]}]}}},
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {}], "oneOf": [{"$ref": "#/$defs/a"}]}}},
    ],
)
def test_a_reference_that_leads_to_itself_alone_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="leads to nothing but itself") as refused:
        read_schema(json.dumps(fields), "the schema", "response_format")
    assert refused.value.param == "response_format"


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "array", "items": {"$ref": "#"}},
        {"properties": {"$ref": {"type": "string"}, "allOf": {"$ref": "#"}}},
        {"$defs": {**_CHAIN, "d6000": {"type": "null"}}, "$ref": "#/$defs/d0"},
        {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {}}},
        {"enum": [{"$ref": "#/$defs/a"}], "default": {"$ref": "#/default"}},
        {"anyOf": [{"$ref": "#"}, {"type": "string"}]},
        {"anyOf": [{"type": "null"}, {"items": {"$ref": "#"}, "type": "array"}]},
        {"anyOf": [], "oneOf": [True, {"$ref": "#"}]},
        {"$defs": {**_CHAIN, "d6000": {"anyOf": [{"$ref": "#/$defs/d0"}, {"type": "null"}]}}},
    ],
)
def test_schemas_may_well_hold_themselves_and_words_that_look_like_it(
    fields: dict[str, Any],
) -> None:
    assert read_schema(json.dumps(fields), "the schema", "response_format") == fields


def test_what_asks_nothing_is_left_out_and_nothing_else() -> None:
    idle = {"propertyNames": {"type": "string"}, "uniqueItems": False}
    asking = {"propertyNames": {"type": "string", "minLength": 2}, "uniqueItems": True}
    named = {"propertyNames": {"type": "string"}, "uniqueItems": False}
    sent = {
        **idle,
        "properties": {**named, "a": {"items": [idle], "const": idle}},
        "$defs": {"b": {**asking, **{"anyOf": [idle]}}},
    }
    assert read_schema(json.dumps(sent), "it", "x") == {
        "properties": {**named, "a": {"items": [{}], "const": idle}},
        "$defs": {"b": {**asking, "anyOf": [{}]}},
    }


def test_a_count_may_be_null_or_written_as_a_float(trial: GrammarTrial) -> None:
    counts = {"minLength": None, "maxLength": 20.0}
    sent = {"properties": {"minLength": counts, "a": {"const": counts}}, "minItems": 1.5}
    read = read_schema(json.dumps(sent), "it", "x")
    assert read == {**sent, "properties": {"minLength": {"maxLength": 20}, "a": {"const": counts}}}
    assert trial.why_not(f"start: %json {json.dumps(read['properties']['minLength'])}\n") is None
