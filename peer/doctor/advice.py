"""What mends a machine, in the words of its distribution. Pure, but for one file that is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# By what /etc/os-release calls a distribution, or those that it is like.
_COMPILERS: Mapping[str, str] = {
    "debian": "sudo apt install build-essential python3-dev",
    "fedora": "sudo dnf install gcc python3-devel",
    "rhel": "sudo dnf install gcc python3-devel",
    "suse": "sudo zypper install gcc python3-devel",
    "arch": "sudo pacman -S gcc python",
}


def like_of(os_release: Path = Path("/etc/os-release")) -> list[str]:
    """The distribution, and those that it is like."""
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    pairs = (line.partition("=") for line in lines)
    fields = {name: value.strip("\"'") for name, _, value in pairs}
    return [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]


def install_compiler(like: list[str], include: Path) -> str:
    """A C compiler, and the Python.h of this Python, which is in `include`."""
    known = next((_COMPILERS[id] for id in like if id in _COMPILERS), "install them")
    return f"{known}; a Python that is not the system's needs a Python.h of its own, in {include}"


def let_through(port: int, *protocols: str) -> str:
    """For the two firewalls that distributions come with."""
    ports = [f"{port}/{each}" for each in protocols]
    ufw = " && ".join(f"sudo ufw allow {each}" for each in ports)
    firewalld = " ".join(f"--add-port={each}" for each in ports)
    return f"{ufw}, or sudo firewall-cmd --permanent {firewalld} && sudo firewall-cmd --reload"
