"""The pictures of the dashboard in README.md: `python -m bench.screenshots`. It needs chromium.

The dashboard and the three peers that it watches are the real ones. Two of these compute nothing:
their models are sizes in a config.json, and their GPUs those of a script called nvidia-smi. The
third reads a receipt with cortex-nano.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from textual.pilot import Pilot

from cortex.peer.onlooker.asking import Door
from cortex.peer.onlooker.feed import Feed
from cortex.tui.acting import Acting
from cortex.tui.app import CortexApp
from cortex.tui.options import Options

ROOT = Path(__file__).resolve().parent.parent
IMAGES, FAKE = ROOT / "docs" / "images", ROOT / "engine" / "assets" / "fake"
# Name, GiB, and how long it loads.
MODELS = (
    *(("qwen3.6-27b", 27, 1), ("qwen3.5-4b", 8, 1), ("qwen3.5-9b", 16, 30)),
    ("qwen3.6-35b-a3b", 67, 6),
)
SIZE = (120, 29)
PATIENCE_S = 60.0
ALONE = ("--port", "0", "--no-mdns", "--fleet-host", "127.0.0.1", "--fleet-port", "0")
DRIVER = """#!/bin/sh
card="NVIDIA H100 80GB HBM3, 81920, 80900, 570.124"
case "$1" in
*gpu=*) echo "0, $card, 0, 92, 61, 412.1"; echo "1, $card, 1, 41, 55, 233.0";;
esac
"""


def main() -> None:
    with TemporaryDirectory() as folder, ExitStack() as running:
        root = Path(folder)
        _prepare(root)
        api = {}
        with_gpus = {"PATH": f"{root}{os.pathsep}{os.environ['PATH']}"}
        fake = ("--engine", "fake", "--models", str(root / "models"))
        slow = ("--fake-token-interval-ms", "4")
        api["atlas"], at = _peer(running, root / "atlas", with_gpus, *fake, *slow, "--gpu", "0,1")
        for name, options in (
            ("borea", ("--gpu", "cpu")),
            ("cirrus", (*fake, *slow, "--gpu", "0", "--memory", "24GiB")),
        ):
            (root / name).mkdir(mode=0o700)
            shutil.copy(root / "atlas" / "fleet.key", root / name)
            api[name], _ = _peer(running, root / name, {}, *options, "--join", at)
        _post(api["atlas"], "/models/load", {"model": "qwen3.6-27b", "peer": "atlas"})
        _post(api["atlas"], "/models/load", {"model": "qwen3.5-4b", "peer": "atlas"})
        for _ in range(5):
            threading.Thread(target=_ask, args=(api["atlas"], "qwen3.6-27b"), daemon=True).start()
        asyncio.run(_walk(api["atlas"]))


async def _walk(address: str) -> None:
    feed = Feed(lambda: [Door(address, None)], None)
    app = CortexApp(feed, Acting(feed.doors), Options("here", refresh_s=0.5))
    async with app.run_test(size=SIZE) as pilot:
        await _until(pilot, "3 peers")
        await asyncio.sleep(15)
        body = {"model": "qwen3.5-9b", "peer": "cirrus", "wait": False}
        await asyncio.to_thread(_post, address, "/models/load", body)
        await asyncio.sleep(6)
        _keep(pilot, "fleet")
        await pilot.press("2")
        await _until(pilot, "qwen3.6-35b-a3b")
        for _ in range(len(MODELS) + 2):
            if "qwen3.6-35b-a3b" in _screen(pilot).rpartition("╭─")[2].partition("\n")[0]:
                break
            await pilot.press("j")
            await pilot.pause(0.3)
        await pilot.press("l")
        await _until(pilot, "This is only a plan")
        _keep(pilot, "models")
        await pilot.press("escape", "4", "ctrl+t")
        await _until(pilot, "who answers", "cortex-nano")
        await pilot.press("G", "end", "enter")
        await _until(pilot, "cortex-nano answers from now on")
        await pilot.press("ctrl+o")
        await _until(pilot, "attach a picture")
        os.chdir(ROOT / "examples")
        await pilot.press(*"receipt.png")
        await _until(pilot, "tokens")
        await pilot.press("enter", *"What is the total?", "enter")
        await _until(pilot, "ttft")
        await pilot.resize_terminal(SIZE[0], 18)
        await pilot.pause(0.5)
        _keep(pilot, "talk")


def _prepare(root: Path) -> None:
    driver = root / "nvidia-smi"
    driver.write_text(DRIVER)
    driver.chmod(0o755)
    for name, size_gib, load_s in MODELS:
        folder = root / "models" / name
        shutil.copytree(FAKE, folder)
        config = json.loads((folder / "config.json").read_text())
        config |= {"weights_bytes": size_gib << 30, "load_s": load_s, "kv_bytes_per_token": 65536}
        (folder / "config.json").write_text(json.dumps(config))
        size = size_gib << 30
        header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
        with (folder / "model.safetensors").open("wb") as weights:
            weights.write(struct.pack("<Q", len(header)) + header.encode())
            weights.truncate(8 + len(header) + size)


def _peer(
    running: ExitStack, state_dir: Path, environ: Mapping[str, str], *options: str
) -> tuple[str, str]:
    """Where clients reach it, and where other peers do."""
    named = ("--name", state_dir.name, "--state-dir", str(state_dir))
    process = running.enter_context(
        subprocess.Popen(
            (sys.executable, "-m", "cortex.cli", "peer", *named, *ALONE, *options),
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )
    running.callback(process.terminate)
    assert process.stdout is not None
    said = ""
    while "ready in" not in said:
        said += process.stdout.readline()
    (api,), (reached,) = (re.findall(p, said) for p in (r"http://(\S+)/v1", r"reached at (\S+)"))
    return api, reached


def _post(address: str, path: str, body: object) -> None:
    request = urllib.request.Request(
        f"http://{address}{path}",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as reply:
            reply.read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"error: {path}: {error.read().decode()}") from error


def _ask(address: str, model: str) -> None:
    """Again and again, as long as somebody answers."""
    body = {"model": model, "messages": [{"role": "user", "content": "A story."}]}
    with contextlib.suppress(OSError):
        while True:
            _post(address, "/v1/chat/completions", body | {"max_tokens": 20_000})


def _screen(pilot: Pilot[None]) -> str:
    app = pilot.app
    lines = app.screen._compositor.render_strips(app.size)  # pyright: ignore[reportPrivateUsage]
    return "\n".join("".join(segment.text for segment in line) for line in lines)


async def _until(pilot: Pilot[None], *words: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not all(word in _screen(pilot) for word in words):
            await pilot.pause(0.1)


def _keep(pilot: Pilot[None], name: str) -> None:
    svg = pilot.app.export_screenshot(title="cortex tui")
    # The fonts that it names are fetched from the network; what is here is as wide.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono")
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert found is not None
    width, height = (round(float(each)) for each in found.groups())
    with TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(f'<meta charset="utf-8"><style>body{{margin:0}}</style>{svg}')
        subprocess.run(
            (
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                f"--window-size={width},{height}",
                f"--screenshot={IMAGES / name}.png",
                page.as_uri(),
            ),
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    main()
