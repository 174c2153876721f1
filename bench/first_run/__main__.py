"""The first run as a person has it, in real terminals: `make first-run`.

    python -m bench.first_run --engine torch --out bench/results/first-run/nano
    python -m bench.first_run --engine fake --out bench/results/first-run/fake

Two machines (network namespaces, where this is root; else two peers of this machine) and five
terminals of one tmux. Each step's screen is kept as text, its times in times.json, and the first
promise that is not kept ends it with exit code 1. Nothing of this machine or its owner is seen or
kept: homes, names and keys are made up.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..live.process import Here, Place
from ..live.switch import network, why_not
from ..report import arguments, written
from .steps import STEPS, Skipped, Stage
from .terminals import PromiseBroken, Terminal, Tmux

OPTIONS = {"torch": "--gpu all", "fake": "--engine fake --fake-token-interval-ms 100"}
MODELS = {"torch": "cortex-nano", "fake": "fake"}
_KEY = re.compile(r"cortex1-[a-z2-7-]{8,}")


def main() -> None:
    parser = arguments(__doc__, "keep the screens and the times in this folder")
    parser.add_argument("--engine", choices=tuple(OPTIONS), default="torch")
    parser.add_argument("--slack", type=float, default=1.0, help="times all limits, if it is busy")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cortex-") as name:
        folder = Path(name)
        with stage_in(folder, args.engine) as stage:
            stage.slack = args.slack
            results, broken = play(stage)
        if args.out is not None:
            options = f"--engine {args.engine} --slack {args.slack:g}"
            keep(args.out, stage.kept, results, options, folder)
    if broken:
        print(f"\n{shown(broken, folder)}", file=sys.stderr)
        sys.exit(1)


def play(stage: Stage) -> tuple[list[dict[str, Any]], str]:
    """What each step measured, and the promise that was not kept, if one was not."""
    results: list[dict[str, Any]] = []
    for name, step in STEPS.items():
        try:
            figures = {what: round(took_s, 2) for what, took_s in step(stage).items()}
        except Skipped as skipped:
            results.append({"step": name, "skipped": str(skipped)})
            print(f"skip   {name}   {skipped}", flush=True)
        except PromiseBroken as broken:
            print(f"FAIL   {name}", flush=True)
            return [*results, {"step": name, "broken": str(broken).splitlines()[0]}], str(broken)
        else:
            results.append({"step": name, "seconds": figures})
            said = ", ".join(f"{what} {took_s:.1f} s" for what, took_s in figures.items())
            print(f"ok     {name}   {said}", flush=True)
    return results, ""


@contextmanager
def stage_in(folder: Path, engine: str) -> Generator[Stage]:
    with ExitStack() as stack:
        places: list[Place] = [Here(), Here()]
        block = None
        if why_not() is None:
            _, places[:] = stack.enter_context(network(2))
            block = partial(_silence, places[1])
        tmux = Tmux(folder / "tmux")
        stack.callback(tmux.close)
        _write_program(folder / "bin")

        def terminal(name: str, machine: str, place: Place) -> Terminal:
            shell = [*place.prefix, "bash", "--norc", "--noprofile", "-i"]
            return tmux.open(name, shell, _environment(folder, machine))

        yield Stage(
            terminal("atlas", "atlas", places[0]),
            terminal("atlas-too", "atlas", places[0]),
            terminal("borea", "borea", places[1]),
            terminal("borea-too", "borea", places[1]),
            terminal("client", "atlas", places[0]),
            MODELS[engine],
            OPTIONS[engine],
            engine == "fake",
            block,
        )


def _silence(place: Place) -> None:
    """That machine's network carries no multicast from now on."""
    command = [*place.prefix, "ip", "link", "set", "dev", "eth0", "multicast", "off"]
    subprocess.run(command, check=True)


def _environment(folder: Path, machine: str) -> Mapping[str, str]:
    """A new user's, on a machine of that name."""
    home = folder / machine
    home.mkdir(exist_ok=True)
    own = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        # Compiled once: a second machine would do it at the same time as the first.
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PS1": "$ ",
        "TERM": "screen-256color",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
    }
    return own | {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ}


def _write_program(folder: Path) -> None:
    folder.mkdir()
    program = folder / "cortex"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cortex.cli "$@"\n')
    program.chmod(0o755)


def shown(screen: str, folder: Path) -> str:
    """Without a key, and without where it lay."""
    return _KEY.sub("cortex1-…", screen.replace(str(folder), "~"))


def keep(
    out: Path, kept: Mapping[str, str], results: list[dict[str, Any]], options: str, folder: Path
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.txt"):
        old.unlink()
    for name, screen in kept.items():
        lines = [line.rstrip() for line in shown(screen, folder).rstrip().splitlines()]
        (out / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    written(
        out / "times.json",
        "the first run, step by step, in real terminals; seconds",
        command=f"python -m bench.first_run {options}",
        steps=results,
    )


if __name__ == "__main__":
    main()
