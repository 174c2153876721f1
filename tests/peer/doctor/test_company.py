"""What the probes of a peer come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortex.peer.doctor.company import judge_builds, judge_reach
from cortex.peer.doctor.findings import Finding
from cortex.peer.doctor.reach import Reach, Target
from cortex.peer.gossip.ids import NodeId

OWN = NodeId(b"atlasatl")
BOREA_NODE = NodeId(b"boreabor")
BOREA = Target(BOREA_NODE, "borea", "192.168.1.21", 13132)


def view_of_us(state: str) -> dict[str, Any]:
    return {"peers": [{"node": OWN.hex(), "state": state, "address": "10.0.0.7:13132"}]}


WELL = Reach(datagram_s=0.0004, tls_s=0.003, clock_ahead_s=0.2, view=view_of_us("up"))


def judged(reach: Reach, target: Target = BOREA) -> list[Finding]:
    return list(judge_reach(target, reach, OWN))


def test_a_peer_that_answers_and_sees_us_is_well() -> None:
    (finding,) = judged(WELL)

    assert finding.level == "ok"
    answers = "borea at 192.168.1.21:13132 answers: UDP 0.4 ms, TLS 3 ms"
    assert finding.text == f"{answers}; it hears this peer"
    (unasked,) = judge_reach(BOREA, WELL, None)
    assert unasked.text == answers


@pytest.mark.parametrize(
    ("changes", "check", "words", "fix"),
    [
        ({"datagram_s": None}, "reach", "TLS answers, UDP does not", "13132/udp"),
        ({"tls_s": None, "tls_problem": "silent"}, "reach", "TLS does not (silent)", "13132/tcp"),
        (
            {"datagram_s": None, "tls_s": None, "tls_problem": "refused"},
            "reach",
            "nobody listens",
            "cortex peer",
        ),
        (
            {"datagram_s": None, "tls_s": None, "tls_problem": "silent"},
            "reach",
            "does not answer by UDP or TLS",
            "13132/udp",
        ),
        (
            {"datagram_s": None, "tls_s": None, "tls_problem": "key"},
            "key",
            "has another fleet key",
            "cortex key",
        ),
        (
            {"datagram_s": None, "tls_s": None, "tls_problem": "node"},
            "id",
            f"another peer answers there than {BOREA_NODE.hex()}",
            "--advertise",
        ),
        (
            {"datagram_s": None, "tls_s": None, "tls_problem": "key", "refusal": "retired key"},
            "key",
            "no longer takes this fleet key",
            "cortex key add",
        ),
    ],
)
def test_what_does_not_work_is_named_with_its_fix(
    changes: dict[str, Any], check: str, words: str, fix: str
) -> None:
    finding = judged(replace(WELL, view=None, **changes))[0]

    assert finding.level == "FAIL"
    assert finding.check == check
    assert words in finding.text
    assert "192.168.1.21:13132" in finding.text
    assert fix in finding.fix


def test_one_way_reach_is_told_with_the_address_that_was_tried() -> None:
    _, one_way = judged(replace(WELL, view=view_of_us("suspect")))

    assert one_way.level == "FAIL"
    assert one_way.text.startswith("one way only: borea answers this peer")
    assert "10.0.0.7:13132" in one_way.text
    assert "--advertise" in one_way.fix


@pytest.mark.parametrize("view", [{"peers": []}, {}, {"peers": [7, {"node": 3}]}])
def test_a_peer_that_does_not_know_us_is_told(view: dict[str, Any]) -> None:
    _, unknown = judged(replace(WELL, view=view))

    assert unknown.level == "warn"
    assert "does not know this peer" in unknown.text


def test_a_clock_that_is_off_is_told_by_how_much_and_which_way() -> None:
    _, ahead = judged(replace(WELL, clock_ahead_s=3.21))
    _, behind = judged(replace(WELL, clock_ahead_s=-40.0))

    assert ahead.text == "the clock is 3.2 s ahead of that of borea"
    assert behind.text == "the clock is 40.0 s behind that of borea"
    assert len(judged(replace(WELL, clock_ahead_s=1.9))) == 1


def test_a_dead_peer_that_is_silent_is_no_failure_of_this_machine() -> None:
    dead = replace(BOREA, state="dead")
    (finding,) = judged(Reach(tls_problem="silent"), dead)
    (replaced,) = judged(Reach(tls_problem="node"), dead)

    assert finding.level == replaced.level == "warn"
    assert "another peer has its port" in replaced.text


def test_our_own_port_is_asked_for_no_view() -> None:
    (finding,) = judged(replace(WELL, view={"peers": []}), replace(BOREA, is_self=True))

    assert finding.text.startswith("this peer at 192.168.1.21:13132 answers")


def test_another_build_is_told() -> None:
    (finding,) = judge_builds("0.2.0", {"borea": "0.1.0", "celia": "0.2.0", "dora": ""})

    assert finding.text == "borea runs cortex 0.1.0, this peer 0.2.0"
    assert finding.fix == "update both to one release"
