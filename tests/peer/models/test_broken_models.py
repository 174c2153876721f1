"""Models whose files are broken, beside one that is whole, at a peer with the engine itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from cortex.peer.config import PeerConfig
from cortex.peer.devices import losses
from cortex.peer.serving.server import serving

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 60
_GOLDEN = Path(__file__).parents[2] / "golden" / "qwen3"
_WEIGHTS = "model.safetensors"
NORM, STRANGE = "model.norm.weight", "model.gone.weight"


def _truncate(folder: Path) -> None:
    whole = (folder / _WEIGHTS).read_bytes()
    (folder / _WEIGHTS).write_bytes(whole[: len(whole) // 2])


def _rename_tensor(folder: Path) -> None:
    whole = (folder / _WEIGHTS).read_bytes()
    assert whole.count(NORM.encode()) == 1
    (folder / _WEIGHTS).write_bytes(whole.replace(NORM.encode(), STRANGE.encode()))


def _drop_tensor(folder: Path) -> None:
    """The last one of the file, with its bytes; what is left is a whole file."""
    header, data = _read(folder)
    start, end = header.pop(NORM)["data_offsets"]
    assert end == len(data)
    _write(folder, header, data[:start])


def _reshape(folder: Path) -> None:
    header, data = _read(folder)
    (length,) = header[NORM]["shape"]
    header[NORM]["shape"] = [2, length // 2]
    _write(folder, header, data)


def _read(folder: Path) -> tuple[dict[str, Any], bytes]:
    whole = (folder / _WEIGHTS).read_bytes()
    data = 8 + int.from_bytes(whole[:8], "little")
    return json.loads(whole[8:data]), whole[data:]


def _write(folder: Path, header: dict[str, Any], data: bytes) -> None:
    packed = json.dumps(header).encode()
    (folder / _WEIGHTS).write_bytes(len(packed).to_bytes(8, "little") + packed + data)


def _break_index(folder: Path) -> None:
    (folder / _WEIGHTS).rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {')


def _huge_header(folder: Path) -> None:
    whole = (folder / _WEIGHTS).read_bytes()
    (folder / _WEIGHTS).write_bytes((1 << 62).to_bytes(8, "little") + whole[8:])


def _dangle(folder: Path) -> None:
    (folder / _WEIGHTS).unlink()
    (folder / _WEIGHTS).symlink_to(folder / "gone")


def _pipe(folder: Path) -> None:
    (folder / _WEIGHTS).unlink()
    os.mkfifo(folder / _WEIGHTS)


def _spoil_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (_truncate, _WEIGHTS),
    "renamed": (_rename_tensor, STRANGE),
    "lacking": (_drop_tensor, "norm.weight"),
    "reshaped": (_reshape, "norm.weight"),
    "headed": (_huge_header, _WEIGHTS),
    "dangling": (_dangle, "a link to what is gone"),
    "piped": (_pipe, "is no file"),
    "emptied": (lambda folder: (folder / _WEIGHTS).write_bytes(b""), _WEIGHTS),
    "wordless": (_spoil_tokenizer, "tokenizer.json"),
    "unindexed": (_break_index, "model.safetensors.index.json"),
}


@pytest.fixture
def broken_models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    shutil.copytree(_GOLDEN, root / "whole")
    for name, (harm, _) in HARMS.items():
        shutil.copytree(_GOLDEN, root / name)
        harm(root / name)
    shutil.copytree(_GOLDEN, root / "misconfigured")
    (root / "misconfigured" / "config.json").write_text('{"model_type": "qwen3",')
    return root


class Peer:
    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def complete(self, model: str) -> tuple[int, Any]:
        body = {"model": model, "prompt": "hello", "max_tokens": 4, "temperature": 0}
        async with self._session.post("/v1/completions", json=body) as reply:
            return reply.status, await reply.json()

    async def load(self, model: str) -> tuple[int, Any]:
        async with self._session.post("/models/load", json={"model": model}) as reply:
            return reply.status, await reply.json()

    async def engine_pid(self) -> int:
        (engine,) = (await self.get("/healthz"))["engines"]
        return engine["pid"]

    async def get(self, path: str) -> Any:
        async with self._session.get(path) as reply:
            assert reply.status == 200
            return await reply.json()


@asynccontextmanager
async def peer_of(config: PeerConfig) -> AsyncGenerator[Peer]:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        ClientSession(f"http://{server.address}") as session,
    ):
        yield Peer(session)


async def test_a_broken_model_fails_with_the_name_of_what_is_wrong_and_others_answer_on(
    make_config: MakeConfig, broken_models: Path, caplog: pytest.LogCaptureFixture
):
    config = make_config(
        engine="torch", models_dirs=(broken_models,), memory_bytes=1 << 30, cpu_threads=1
    )
    async with peer_of(config) as peer:
        status, answer = await peer.complete("whole")
        assert status == 200
        engine_pid = await peer.engine_pid()
        for name, (_, word) in HARMS.items():
            for ask in (peer.complete, peer.load):
                status, told = await ask(name)
                assert (status, told["error"]["code"]) == (400, "model_invalid"), name
                assert word in told["error"]["message"], name
                assert "Traceback" not in told["error"]["message"]
            status, again = await peer.complete("whole")
            assert (status, again["choices"]) == (200, answer["choices"]), name
        status, told = await peer.complete("misconfigured")
        assert status == 404
        assert "misconfigured/config.json" in caplog.text
        ids = {model["id"] for model in (await peer.get("/v1/models"))["data"]}
        assert ids >= {"whole", *HARMS} and "misconfigured" not in ids
        assert await peer.engine_pid() == engine_pid


async def test_a_broken_model_is_tried_again_once_its_failure_is_forgotten(
    make_config: MakeConfig, broken_models: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(losses, "_KEPT_S", 2.0)
    config = make_config(
        engine="torch", models_dirs=(broken_models,), memory_bytes=1 << 30, cpu_threads=1
    )
    async with peer_of(config) as peer:
        assert (await peer.complete("truncated"))[0] == 400
        shutil.copy(broken_models / "whole" / _WEIGHTS, broken_models / "truncated" / _WEIGHTS)
        assert (await peer.complete("truncated"))[0] == 400, "it is remembered"
        while (await peer.complete("truncated"))[0] != 200:  # noqa: ASYNC110 - time has to pass
            await asyncio.sleep(0.1)
