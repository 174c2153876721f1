"""Pictures of every sort that people send, through the whole peer."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from PIL import Image

from cortex.peer.bounds.limits import Limits
from cortex.peer.config import PeerConfig
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 60
ORIENTATION = 0x0112


def png_of(width: int, height: int, rows: bytes) -> bytes:
    """A grey PNG by hand: no library would write one of so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 pixels in some 100 kB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 30_000 // 8)
    rows = b"".join(packer.compress(row * 1000) for _ in range(30)) + packer.flush()
    return png_of(30_000, 30_000, rows)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def plain(mode: str = "RGB", size: tuple[int, int] = (64, 32)) -> Image.Image:
    return Image.new(mode, size)


def turned() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return saved(plain(size=(320, 64)), "JPEG", exif=exif)


BAD: dict[str, Callable[[], bytes]] = {
    "a text file named .png": lambda: b"Dear reader,\n",
    "a bomb": bomb,
    "a truncated JPEG": lambda: saved(plain(size=(300, 300)), "JPEG")[:-500],
    "a truncated PNG": lambda: saved(plain(size=(300, 300)), "PNG")[:-100],
    "an aspect ratio over 200": lambda: saved(plain(size=(2010, 10)), "PNG"),
    "no pixels": lambda: png_of(0, 0, zlib.compress(b"")),
    "a form not taken": lambda: saved(plain(), "BMP"),
}
GOOD: dict[str, Callable[[], bytes]] = {
    "a CMYK JPEG": lambda: saved(plain("CMYK"), "JPEG"),
    "a 16-bit PNG": lambda: saved(plain("I;16"), "PNG"),
    "transparency": lambda: saved(plain("RGBA"), "PNG"),
    "an animated GIF": lambda: saved(
        plain(), "GIF", save_all=True, append_images=[Image.new("RGB", (64, 32), "red")]
    ),
    "a WebP": lambda: saved(plain(), "WEBP"),
    "an EXIF rotation": turned,
}


@asynccontextmanager
async def asking(config: PeerConfig) -> AsyncGenerator[Callable[..., Any]]:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
    ):

        async def ask(picture: bytes) -> tuple[int, dict[str, Any]]:
            uri = "data:image/png;base64," + base64.b64encode(picture).decode()
            content = [{"type": "image_url", "image_url": {"url": uri}}]
            messages = [{"role": "user", "content": content}]
            body = {"model": "fake", "messages": messages, "max_tokens": 2}
            async with session.post("/v1/chat/completions", json=body) as response:
                return response.status, await response.json()

        yield ask


@pytest.mark.parametrize("what", BAD)
async def test_bad_picture_is_an_invalid_image_and_the_next_request_works(
    make_config: MakeConfig, png: bytes, what: str
):
    async with asking(make_config()) as ask:
        status, reply = await ask(BAD[what]())
        assert (status, reply["error"]["code"]) == (400, "invalid_image")
        assert (await ask(png))[0] == 200


async def test_empty_picture_is_an_invalid_image(make_config: MakeConfig):
    async with asking(make_config()) as ask:
        status, reply = await ask(b"")
        assert (status, reply["error"]["code"]) == (400, "invalid_image")


@pytest.mark.parametrize("what", GOOD)
async def test_picture_of_an_odd_sort_is_answered(make_config: MakeConfig, what: str):
    async with asking(make_config()) as ask:
        status, reply = await ask(GOOD[what]())
        assert (status, reply.get("error")) == (200, None)


Json = dict[str, Any]
_NO_PICTURE = "data:image/png;base64," + base64.b64encode(b"Dear reader").decode()


def in_messages(uri: str) -> Json:
    kind = "url" if uri.startswith("https:") else "base64"
    told = {"url": uri} if kind == "url" else {"data": uri.partition(",")[2]}
    source = {"type": kind, "media_type": "image/png"} | told
    turn = {"role": "user", "content": [{"type": "image", "source": source}]}
    return {"messages": [turn], "max_tokens": 2}


def in_responses(uri: str) -> Json:
    return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": uri}]}]}


_IN_MESSAGES = ("/v1/messages", in_messages, "Could not process image")
_IN_RESPONSES = (
    "/v1/responses",
    in_responses,
    "The image data you provided does not represent a valid image",
)


@pytest.mark.parametrize(("path", "body_of", "words"), [_IN_MESSAGES, _IN_RESPONSES])
@pytest.mark.parametrize(
    ("model", "uri", "ours"),
    [
        ("fake", _NO_PICTURE, "the bytes are not a"),
        ("fake", "https://x.invalid/a.png", "is not fetched"),
        ("blind", None, "takes text only"),
    ],
)
async def test_a_refused_picture_is_told_in_words_on_which_agents_drop_it(
    make_config: MakeConfig,
    make_models: Callable[..., Any],
    png_uri: str,
    path: str,
    body_of: Callable[[str], Json],
    words: str,
    model: str,
    uri: str | None,
    ours: str,
):
    config = make_config(models_dirs=(make_models("blind", blind=True),))
    _, message = await refused(config, path, {"model": model, **body_of(uri or png_uri)})
    assert ours in message
    assert words in message


@pytest.mark.parametrize(
    ("path", "body_of", "words", "are_told"), [(*_IN_MESSAGES, True), (*_IN_RESPONSES, False)]
)
async def test_of_too_many_pictures_codex_is_not_told_to_drop_the_newest(
    make_config: MakeConfig,
    png_uri: str,
    path: str,
    body_of: Callable[[str], Json],
    words: str,
    are_told: bool,
):
    config = make_config(limits=Limits(max_images=0))
    code, message = await refused(config, path, {"model": "fake", **body_of(png_uri)})
    assert code == "too_many_images"
    assert "at most 0 are taken" in message and "new conversation" in message
    assert (words in message) == are_told


async def refused(config: PeerConfig, path: str, body: Json) -> tuple[str, str]:
    """The code and the message of a refusal."""
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
        session.post(path, json=body) as response,
    ):
        error: Json = (await response.json())["error"]
    assert response.status == 400
    return error.get("code") or error["details"]["error_code"], error["message"]
