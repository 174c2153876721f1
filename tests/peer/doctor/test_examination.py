"""The whole examination: in order, at once, and never held up by a check that hangs."""

from __future__ import annotations

import os
import random
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cortex.peer.config import Card
from cortex.peer.doctor import examination
from cortex.peer.doctor.examination import Inquiry, examine
from cortex.peer.doctor.findings import Finding
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring, write_keyring
from cortex.peer.onlooker.asking import Door
from cortex.peer.onlooker.pictures import FleetPicture


@pytest.fixture
def inquiry(tmp_path: Path) -> Inquiry:
    key_file = tmp_path / "fleet.key"
    write_keyring(key_file, Keyring(new_fleet_key(random.Random(1).randbytes)))
    return Inquiry(key_file, tmp_path, tmp_path / "models", has_mdns=False, bound_host="127.0.0.1")


def levels(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.level for finding in findings}


async def test_every_kind_of_check_has_its_finding_in_order(inquiry: Inquiry) -> None:
    findings = await examine(inquiry)

    checks = list(dict.fromkeys(finding.check for finding in findings))
    assert checks == ["software", "device", "memory", "disk", "multicast", "key", "peer", "port"]
    assert levels(findings)["key"] == "ok"
    assert levels(findings)["peer"] == "warn"


async def test_where_a_gpus_kernels_are_kept_has_to_be_ours_to_write_in(
    inquiry: Inquiry, tmp_path: Path
) -> None:
    (tmp_path / "closed").touch(mode=0o600)  # no folder: not even root writes below it
    asked = replace(inquiry, compiled_dir=tmp_path / "closed" / "triton")
    as_state = replace(asked, state_dir=tmp_path / "closed" / "triton")
    ours = (Card(0, "GPU-1", "L4"),)
    for each, cards, told in ((asked, (), 0), (asked, ours, 1), (as_state, ours, 0)):
        findings = await examine(replace(each, cards=cards))
        failed = [finding for finding in findings if finding.level == "FAIL"]
        assert sum(finding.text.startswith("kernels: ") for finding in failed) == told


async def test_a_note_whose_peer_is_gone_is_told(inquiry: Inquiry) -> None:
    findings = await examine(replace(inquiry, doors=(Door("127.0.0.1:1"),)))

    (finding,) = (finding for finding in findings if finding.check == "peer")
    assert finding.level == "warn"
    assert "127.0.0.1:1" in finding.text


async def test_those_that_are_to_be_joined_are_tried_by_address(inquiry: Inquiry) -> None:
    join = ("127.0.0.1:1", "no-such-host.invalid:13132", "http://127.0.0.1:2")
    findings = await examine(replace(inquiry, join=join))

    (silent,) = (finding for finding in findings if finding.check == "reach")
    assert "127.0.0.1 at 127.0.0.1:1: nobody listens there" in silent.text
    (unknown,) = (finding for finding in findings if finding.check == "join")
    assert "nobody knows an address of no-such-host.invalid" in unknown.text


async def test_a_notice_of_the_peer_is_told_with_what_mends_it() -> None:
    told = FleetPicture("f", (), ("a peer has another key; do this", "no multicast"))
    peer, key, multicast = examination.of_peer(Door("127.0.0.1:1"), told)

    assert peer.text == "a peer runs at 127.0.0.1:1 and sees 0 other peers"
    assert (key.level, key.text, key.fix) == ("warn", "a peer has another key", "do this")
    assert multicast.text == "no multicast"


async def test_a_check_that_hangs_or_breaks_is_told_and_holds_nothing_up(
    inquiry: Inquiry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: Inquiry) -> list[Finding]:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError

    def break_down(_: Inquiry) -> list[Finding]:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(examination, "_machine", hang)
    monkeypatch.setattr(examination, "_places", break_down)
    began_s = time.monotonic()

    findings = await examine(inquiry, limit_s=0.3)

    assert time.monotonic() - began_s < 10
    assert "did not end within 0.3 s" in findings[0].text
    assert "RuntimeError: no such luck" in findings[1].text
    assert levels(findings)["key"] == "ok"


async def test_a_port_that_is_taken_is_told_before_a_peer_needs_it(inquiry: Inquiry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        findings = await examine(replace(inquiry, fleet_port=port))

    (finding,) = (finding for finding in findings if finding.check == "port")
    assert finding.level == "FAIL"
    assert f"fleet port {port} on 127.0.0.1 is taken by process {os.getpid()} (" in finding.text
