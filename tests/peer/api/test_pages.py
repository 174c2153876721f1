"""Pages in browsers, and who only looks like one."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import pytest

from cortex.peer.api.pages import check_own_name, check_page
from cortex.peer.config import PeerConfig
from cortex.peer.errors import PermissionDenied
from cortex.peer.keys.access import ApiKey, digest_of
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
PAGE = "https://chat.example.com"
HERE = {"host": "localhost:13131"}
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:13131"},
        {"origin": PAGE},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "cross-site", "origin": PAGE},
        {"sec-fetch-site": "same-origin", "origin": "https://chat.example.org"},
        {"sec-fetch-site": "cross-site", "origin": "app://notes"},
        {"origin": "chrome-extension://abcdefghijklmnop"},
        {"origin": "tauri://localhost"},
        {"origin": "file://"},
    ],
)
def test_who_is_no_page_or_one_that_may_asks(headers: dict[str, str]) -> None:
    check_page(HERE | headers, {PAGE})


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "http://localhost:3000"},
        {"origin": "https://chat.example.org", "sec-fetch-site": "same-site"},
        {"origin": "HTTPS://evil.example.com"},
        {"origin": "null"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-mode": "navigate", "origin": "null"},
    ],
)
def test_a_page_of_elsewhere_does_not(headers: dict[str, str]) -> None:
    with pytest.raises(PermissionDenied) as caught:
        check_page(HERE | headers, {PAGE})
    assert "cors_origins" in caught.value.hint
    assert "cortex config new-key" in caught.value.hint
    check_page(HERE | headers | {"origin": "https://any.example.com"}, {"*"})


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.:13131",
        "127.0.0.1:13131",
        "[::1]:13131",
        "192.168.1.20",
        "atlas",
        "atlas.local:13131",
        "host.docker.internal",
        "atlas.lab.example.org",
        "chat.example.com",
        "",
    ],
)
def test_a_name_that_nobody_else_can_own_is_taken(host: str) -> None:
    check_own_name({"host": host}, {PAGE}, "Atlas.lab.example.org")


@pytest.mark.parametrize(
    "host", ["evil.example.com:13131", "localhost.evil.com", "127.0.0.1.evil.com", "evil.com."]
)
def test_a_name_that_anybody_may_own_is_not(host: str) -> None:
    with pytest.raises(PermissionDenied, match=r"evil") as caught:
        check_own_name({"host": host}, {PAGE, "app://evil.example.com"}, "atlas")
    assert "cortex config new-key" in caught.value.hint
    check_own_name({"host": host}, {"*"}, "atlas")


async def status(config: PeerConfig, **headers: str) -> int:
    async with (
        serving(config) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
        session.post("/v1/chat/completions", json=ASK, headers=headers) as response,
    ):
        await response.read()
        return response.status


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"origin": PAGE}, 403),
        ({"host": "evil.example.com"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({}, 200),
    ],
)
async def test_without_a_key_pages_have_no_say(
    make_config: MakeConfig, headers: dict[str, str], code: int
):
    assert await status(make_config(), **headers) == code


@pytest.mark.parametrize(
    ("host", "origins", "code"),
    [
        ("evil.example.com:13131", (), 403),
        ("gateway.office.example.com", ("http://gateway.office.example.com",), 200),
        ("192.168.1.5:13131", (), 200),
    ],
)
async def test_who_comes_without_a_key_beside_those_with_one_asks_by_no_name_of_strangers(
    make_config: MakeConfig, host: str, origins: tuple[str, ...], code: int
):
    """Its browser takes a page of http://evil.example.com:13131 for the peer's own."""
    keys = (ApiKey("ci", digest_of("k")),)
    config = make_config(keys=keys, lets_anonymous_in=True, cors_origins=origins)
    assert await status(config, host=host, origin=f"http://{host}") == code


async def test_who_sends_a_key_asks_for_itself_by_whatever_name(make_config: MakeConfig):
    config = make_config(keys=(ApiKey("ci", digest_of("k")),))
    headers = {"x-api-key": "k", "host": "chat.example.org", "origin": "app://notes"}
    assert await status(config, **headers) == 200
