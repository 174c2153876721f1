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

from cortex.peer.config import Locations, PeerConfig
from cortex.peer.models.catalogue import embedded_dir

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
class Session:
    """`calls` are what the scripted model calls, turn by turn, `{folder}` for where the file lies.

    Where the agent asks for thinking it gets some before each: its prompts have begun it already.
    """

    title: str
    agent: str
    arguments: tuple[str, ...]
    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    model: str = "scripted"
    asks_for_thinking: bool = False


_CLAUDE = ("-p", _WISH, "--permission-mode", "acceptEdits")
_CODEX = ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
_FILE = "{folder}/notes.txt"
_EDIT = {"file_path": _FILE, "old_string": "red", "new_string": "blue"}
_PATCH = """\
*** Begin Patch
*** Update File: notes.txt
@@
-The colour is red.
+The colour is blue.
*** End Patch"""

SESSIONS = (
    Session(
        "claude",
        "claude",
        _CLAUDE,
        (("Read", {"file_path": _FILE}), ("Edit", _EDIT)),
        asks_for_thinking=True,
    ),
    Session(
        "claude-looks-at-a-picture-first",
        "claude",
        _CLAUDE,
        (
            ("Read", {"file_path": "{folder}/picture.png"}),
            ("Read", {"file_path": _FILE}),
            ("Edit", _EDIT),
        ),
        asks_for_thinking=True,
    ),
    Session(
        "codex",
        "codex",
        (*_CODEX, _WISH),
        (
            ("exec_command", {"cmd": f"cat {_FILE}"}),
            ("exec_command", {"cmd": f"sed -i s/red/blue/ {_FILE}"}),
        ),
    ),
    Session(
        "codex-is-shown-a-picture",
        "codex",
        (*_CODEX, "-i", "picture.png", "--", _WISH),
        (("exec_command", {"cmd": f"sed -i s/red/blue/ {_FILE}"}),),
    ),
    Session(
        "codex-applies-a-patch",  # a tool of free text, offered to models it knows by name
        "codex",
        (*_CODEX, _WISH),
        (("apply_patch", {"input": _PATCH}),),
        model="gpt-5.5",
        asks_for_thinking=True,
    ),
    Session(
        "opencode",
        "opencode",
        ("run", _WISH),
        (
            ("read", {"filePath": _FILE}),
            ("edit", {"filePath": _FILE, "oldString": "red", "newString": "blue"}),
        ),
    ),
)


@pytest.fixture
def notes(tmp_path: Path, checkout: Path) -> Path:
    """The file to edit, beside a picture, in a folder of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(checkout / "tests" / "golden" / "images" / "square_96.png", folder / "picture.png")
    path = folder / "notes.txt"
    path.write_text("The colour is red.\n")
    return path


def script(session: Session, folder: Path, to: Path) -> Path:
    """What the model says: a call a turn, and at last a sentence."""
    thought = "So be it.\n</think>\n\n" if session.asks_for_thinking else ""
    calls = [json.dumps({"name": name, "arguments": values}) for name, values in session.calls]
    said = [f"<tool_call>{call.replace('{folder}', str(folder))}</tool_call>" for call in calls]
    to.write_text(json.dumps({"replies": [thought + reply for reply in (*said, _SAID)]}))
    return to


@pytest.fixture
def serve(tmp_path: Path, serve_peer: Callable[[PeerConfig], str]) -> Callable[[Path, str], str]:
    """A peer whose model has room for an agent's prompt, and plays a script."""

    def start(script: Path, model: str) -> str:
        places = Locations(tmp_path / "data", tmp_path / "state", tmp_path / "run")
        config = PeerConfig(
            places,
            models_dirs=(tmp_path / "models",),
            engine="fake",
            fake_script=script,
            port=0,
            context_limit_tokens=_CONTEXT_TOKENS,
        )
        folder = tmp_path / "models" / model
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


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.title)
def test_an_agent_edits_a_file_as_its_model_tells_it(
    session: Session, notes: Path, serve: Callable[[Path, str], str], tmp_path: Path
) -> None:
    told_so = script(session, notes.parent, tmp_path / "script.json")
    address = serve(told_so, session.model)
    options = ("--peer", address, "--model", session.model)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cortex.cli", "launch", session.agent),
            *(*options, "--", *session.arguments),
        ],
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
