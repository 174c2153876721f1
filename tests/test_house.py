"""The laws of the house: what may import what, how large a file may grow, what docs must name.

What a module really loads is asked of a fresh interpreter; the rest is read from the sources.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import typer

from contrib.pages.__main__ import outdated
from cortex.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {"engine": "engine", "peer": "peer", "tui": "tui", "cli": "cortex_cli"}
SOURCE_FOLDERS = (*ROOMS.values(), "training", "bench", "contrib", "tests")
MAX_LINES = 600

ENGINE_ONLY = (
    *("torch", "triton", "safetensors", "tokenizers", "jinja2", "PIL", "numpy", "llguidance"),
)
# Grammars are compiled where nothing else can be lost.
NO_GRAMMARS = ("llguidance",)
NETWORK = ("aiohttp", "cryptography", "prometheus_client")
SCREEN = ("textual", "rich")

# What a module may not bring into an interpreter that imports it.
CLEAN_IMPORTS = {
    "cortex.engine.types": (*ENGINE_ONLY, *NETWORK, *SCREEN, "typer"),
    "cortex.engine.stream": (*ENGINE_ONLY, *NETWORK, *SCREEN, "typer"),
    "cortex.engine.errors": (*ENGINE_ONLY, *NETWORK, *SCREEN, "typer"),
    "cortex.engine.histogram": (*ENGINE_ONLY, *NETWORK, *SCREEN, "typer"),
    "cortex.engine.messages": (*ENGINE_ONLY, *NETWORK, *SCREEN, "typer"),
    "cortex.engine.frames": (*ENGINE_ONLY, *NETWORK, *SCREEN, "typer"),
    "cortex.engine.text": (
        "torch",
        "safetensors",
        "numpy",
        "llguidance",
        *NETWORK,
        *SCREEN,
        "typer",
    ),
    "cortex.engine.grammars.trial": ("torch", "safetensors", "numpy", *NETWORK, *SCREEN, "typer"),
    "cortex.engine.fake": ("torch", "safetensors", "numpy", *NETWORK, *SCREEN, "typer"),
    "cortex.cli.main": (*ENGINE_ONLY, *NETWORK, *SCREEN, "msgspec"),
    # TAB of its options imports it.
    "cortex.cli.commands.chat": (*ENGINE_ONLY, *NETWORK, *SCREEN, "msgspec"),
    # What `cortex status` loads must be there in a moment.
    "cortex.cli.watching": (*ENGINE_ONLY, *NETWORK, *SCREEN),
    "cortex.cli.fleet_table": (*ENGINE_ONLY, *NETWORK, *SCREEN),
    "cortex.cli.talker": (*ENGINE_ONLY, *SCREEN),
}


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def modules_of(room: str) -> Iterator[str]:
    folder = ROOT / ROOMS[room]
    for path in sorted(folder.rglob("*.py")):
        if path.name not in ("__init__.py", "__main__.py"):
            yield ".".join(("cortex", room, *path.relative_to(folder).with_suffix("").parts))


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages in an interpreter that has imported these modules."""
    lines = [*(f"import {module}" for module in modules), "import json, sys"]
    lines.append("print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(cast(list[str], json.loads(done.stdout)))


@pytest.mark.parametrize("module", CLEAN_IMPORTS)
def test_a_module_that_must_stay_light_loads_nothing_heavy(module: str) -> None:
    assert not loaded_by(module) & set(CLEAN_IMPORTS[module])


def test_the_whole_peer_loads_no_torch_and_no_screen() -> None:
    loaded = loaded_by(*modules_of("peer"))
    assert "aiohttp" in loaded, "the test imports nothing"
    assert not loaded & {*ENGINE_ONLY, *SCREEN, "typer"}


def test_the_whole_engine_loads_no_network_and_no_screen() -> None:
    loaded = loaded_by(*modules_of("engine"))
    assert "torch" in loaded, "the test imports nothing"
    assert not loaded & {*NETWORK, *SCREEN, "typer"}


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_room_is_imported_by_its_folder_name() -> None:
    """`import engine` works by accident in a checkout, and never where cortex is installed."""
    for path in python_files(*SOURCE_FOLDERS):
        for name in absolute_imports(path):
            assert name.partition(".")[0] not in ROOMS.values(), f"{path}: import {name}"


def absolute_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module


def test_no_file_has_grown_into_two_ideas() -> None:
    grown = {
        str(path): lines
        for path in python_files(*SOURCE_FOLDERS)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not grown


def test_package_init_files_are_empty() -> None:
    """Importing a name must not load what lies beside it."""
    for path in python_files(*ROOMS.values()):
        if path.name == "__init__.py":
            assert not path.read_text(encoding="utf-8").strip(), path


def test_every_module_says_what_it_is() -> None:
    for path in python_files(*SOURCE_FOLDERS):
        source = path.read_text(encoding="utf-8")
        if source.strip():
            assert ast.get_docstring(ast.parse(source)), f"{path} has no docstring"


def test_the_environment_is_read_in_one_place() -> None:
    for path in python_files(*ROOMS.values()):
        if path == ROOT / "cortex_cli" / "config.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("environ", "getenv"), f"{path}:{node.lineno}"


def test_generated_files_are_up_to_date() -> None:
    assert not outdated(ROOT), "run `make generated`"


def test_every_setting_has_a_name_in_the_environment() -> None:
    """Only what belongs to a single question or a single run has none."""
    without: set[str] = set()
    for name, option in options_of("cortex", typer.main.get_command(app)):
        long = next(one for one in option.opts if one.startswith("--"))
        if option.envvar is None:
            without.add(f"{name} {long}")
        else:
            assert option.envvar == "CORTEX_" + long.lstrip("-").upper().replace("-", "_"), name
    on = {f"{name} --on" for name in ("pull", "plan", "load", "unload", "pin", "unpin", "cancel")}
    system = {f"service {name} --system" for name in ("install", "status", "remove")}
    assert {one.removeprefix("cortex ") for one in without} == on | system | {
        *("--version", "chat --image", "chat --file", "bench --image", "pull --revision"),
        *("unload --force", "config show --gateway", "config new-key --name"),
        *("config new-key --admin", "service install --run-as", "service install --print"),
    }


def options_of(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield from ((name, one) for one in command.params if one.param_type_name == "option")
    for below, inner in getattr(command, "commands", {}).items():
        yield from options_of(f"{name} {below}", inner)


def test_every_command_that_the_documents_show_exists() -> None:
    known = set(cast(Any, typer.main.get_command(app)).commands)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        shown = set(re.findall(r"^\s*(?:\$ )?cortex ([a-z]+)", code_blocks(text), re.MULTILINE))
        assert shown <= known, f"{path.name} shows cortex {shown - known}"
        made = set(re.findall(r"^\s*(?:\$ )?make ([a-z-]+)", code_blocks(text), re.MULTILINE))
        assert made <= targets, f"{path.name} shows make {made - targets}"


def test_the_demo_reads_nothing_from_whoever_runs_it() -> None:
    """A pipe that never ends, such as a build server's, would be waited for."""
    demo = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert demo is not None
    questions = [line for line in demo[1].splitlines() if "(BIN)/cortex" in line]
    assert questions and all(line.endswith("< /dev/null") for line in questions)
    assert "make demo < /dev/null" in (ROOT / ".ci" / "run").read_text()


def test_the_demo_ends_with_how_the_command_is_typed() -> None:
    said = subprocess.run(
        ["make", "-n", "--no-print-directory", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.endswith(f"cortex: . {ROOT}/.venv/bin/activate'\n")


def test_make_test_leaves_out_what_is_slow() -> None:
    assert 'pytest -q -m "not slow"' in (ROOT / "Makefile").read_text()


def code_blocks(markdown: str) -> str:
    return "\n".join(re.findall(r"^```.*?\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL))
