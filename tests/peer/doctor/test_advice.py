"""Advice is given in the words of the machine's distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.peer.doctor.advice import install_compiler, let_through, like_of


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("ID=debian\n", "sudo apt install build-essential python3-dev"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "sudo apt install"),
        ('NAME="Rocky"\nID="rocky"\nID_LIKE="rhel centos fedora"\n', "sudo dnf install gcc"),
        ("ID=arch\n", "sudo pacman -S gcc"),
        ("ID=nixos\n", "install them; "),
        ("no such lines", "install them; "),
        (None, "install them; "),
    ],
)
def test_what_compiles_is_installed_as_the_distribution_does_it(
    told: str | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "os-release"
    if told is not None:
        file.write_text(told, encoding="utf-8")
    advice = install_compiler(like_of(file), Path("/opt/python/include"))
    assert advice.startswith(words)
    assert advice.endswith("in /opt/python/include")


def test_a_port_is_let_through_by_either_firewall() -> None:
    assert let_through(5353, "udp", "tcp") == (
        "sudo ufw allow 5353/udp && sudo ufw allow 5353/tcp, or sudo firewall-cmd --permanent"
        " --add-port=5353/udp --add-port=5353/tcp && sudo firewall-cmd --reload"
    )
