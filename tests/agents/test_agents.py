"""Real coding agents edit a file, driven by a scripted model: `make test-agents`.

Each is started by `cortex launch`, in a home of its own, and reaches nothing but the peer: for all
other traffic it has a proxy that is not there. They are large and belong to others, so they are
installed beside the checkout, and these tests are skipped without them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.catalogue import embedded_dir
from cortex.peer.config import Locations, PeerConfig

_INSTALLED = Path.home() / ".cache" / "cortex-agents" / "node_modules" / ".bin"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not _INSTALLED.is_dir(), reason=f"no agents in {_INSTALLED}: make test-agents"
    ),
]

_CONTEXT_TOKENS = 262_144
_TIMEOUT_S = 120.0
# Nobody listens there.
_NOWHERE = "http://127.0.0.1:1"
_WISH = "Change red to blue in notes.txt"
_SAID = "The colour in notes.txt is blue now."


@dataclass(frozen=True, slots=True)
class Agent:
    """`calls` are what the scripted model calls, turn by turn, `{file}` for the file's path.

    One that asks for thinking gets some before each: its prompts have begun it already.
    """

    name: str
    arguments: tuple[str, ...]
    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    asks_for_thinking: bool = False


_EDIT = {"file_path": "{file}", "old_string": "red", "new_string": "blue"}
AGENTS = (
    Agent(
        "claude",
        ("-p", _WISH, "--permission-mode", "acceptEdits"),
        (("Read", {"file_path": "{file}"}), ("Edit", _EDIT)),
        asks_for_thinking=True,
    ),
    Agent(
        "codex",
        ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", _WISH),
        (
            ("exec_command", {"cmd": "cat {file}"}),
            ("exec_command", {"cmd": "sed -i s/red/blue/ {file}"}),
        ),
    ),
    Agent(
        "opencode",
        ("run", _WISH),
        (
            ("read", {"filePath": "{file}"}),
            ("edit", {"filePath": "{file}", "oldString": "red", "newString": "blue"}),
        ),
    ),
)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The file to edit, in a folder of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    path = folder / "notes.txt"
    path.write_text("The colour is red.\n")
    return path


def script(agent: Agent, notes: Path, to: Path) -> Path:
    """What the model says: a call a turn, and at last a sentence."""
    thought = "So be it.\n</think>\n\n" if agent.asks_for_thinking else ""
    calls = [json.dumps({"name": name, "arguments": values}) for name, values in agent.calls]
    said = [f"<tool_call>{call.replace('{file}', str(notes))}</tool_call>" for call in calls]
    to.write_text(json.dumps({"replies": [thought + reply for reply in (*said, _SAID)]}))
    return to


@pytest.fixture
def serve(tmp_path: Path, serve_peer: Callable[[PeerConfig], str]) -> Callable[[Path], str]:
    """A peer whose model has room for an agent's prompt, and plays a script."""

    def start(script: Path) -> str:
        places = Locations(tmp_path / "data", tmp_path / "state", tmp_path / "run")
        config = PeerConfig(
            places,
            models_dirs=(tmp_path / "models",),
            engine="fake",
            fake_script=script,
            port=0,
            context_limit_tokens=_CONTEXT_TOKENS,
        )
        folder = tmp_path / "models" / "scripted"
        shutil.copytree(embedded_dir(config), folder)
        described = json.loads((folder / "config.json").read_text())
        described["max_position_embeddings"] = _CONTEXT_TOKENS
        (folder / "config.json").write_text(json.dumps(described))
        return serve_peer(config)

    return start


def environment(folder: Path) -> dict[str, str]:
    """A home of its own (each test has one), our path, and no way to anything but this machine."""
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    closed = dict.fromkeys(proxies, _NOWHERE)
    own = {
        # Some believe this rather than ask the system.
        "PWD": str(folder),
        "PATH": f"{_INSTALLED}{os.pathsep}{os.environ['PATH']}",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
    }
    return {**os.environ, **closed, **own}


def failures(address: str) -> list[str]:
    """The requests that the peer did not answer with a 2xx, as its metrics count them."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    counted = [line for line in lines if line.startswith("cortex_requests_total{")]
    assert counted, "the peer counted no request at all"
    return [line for line in counted if not re.search(r'status="2\d\d"', line)]


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_an_agent_edits_a_file_as_its_model_tells_it(
    agent: Agent, notes: Path, serve: Callable[[Path], str], tmp_path: Path
) -> None:
    address = serve(script(agent, notes, tmp_path / "script.json"))
    launch = ("-m", "cortex.cli", "launch", agent.name, "--peer", address, "--model", "scripted")
    done = subprocess.run(
        [sys.executable, *launch, "--", *agent.arguments],
        cwd=notes.parent,
        env=environment(notes.parent),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    told = f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, told
    assert notes.read_text() == "The colour is blue.\n", told
    assert _SAID in done.stdout, told
    assert failures(address) == [], told
