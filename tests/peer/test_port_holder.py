"""Who has a port, by what /proc says."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.peer.port_holder import in_use

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue"


def line(port: int, state: str, inode: int) -> str:
    return f"   0: 0100007F:{port:04X} 00000000:0000 {state} 0:0 00:0 0 0 0 {inode} 1 0 100"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Process 4711 listens on 13131 and is connected from 13133."""
    (tmp_path / "net").mkdir()
    tables = {"tcp": [(13131, "0A", 77), (13133, "01", 78)], "udp6": [(13132, "07", 79)]}
    for table, sockets in tables.items():
        lines = [HEAD, *(line(*each) for each in sockets)]
        (tmp_path / "net" / table).write_text("\n".join(lines))
    (tmp_path / "4711" / "fd").mkdir(parents=True)
    (tmp_path / "4711" / "comm").write_text("cortex\n")
    for handle, inode in enumerate((77, 78, 79)):
        (tmp_path / "4711" / "fd" / str(handle)).symlink_to(f"socket:[{inode}]")
    (tmp_path / "12" / "fd").mkdir(parents=True)
    (tmp_path / "self").mkdir()
    return tmp_path


def test_the_process_that_waits_at_a_port_is_named(proc: Path) -> None:
    assert in_use(13131, proc) == "is taken by process 4711 (cortex)"
    assert in_use(13132, proc) == "is taken by process 4711 (cortex)"


def test_of_what_cannot_be_known_nothing_is_said(proc: Path, tmp_path: Path) -> None:
    assert in_use(13133, proc) == "is in use"  # it speaks to another from there
    assert in_use(1, proc) == "is in use"
    assert in_use(13131, tmp_path / "nowhere") == "is in use"
    (proc / "4711" / "comm").unlink()
    assert in_use(13131, proc) == "is in use"
