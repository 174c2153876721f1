"""What a pull goes through on its way to the hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.config import HubConfig
from cortex.peer.errors import HubFailed

Pull = Any


async def test_whoever_is_behind_a_proxy_pulls_through_it(
    pulling: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", pulling.hub.address)
    pulling.config = replace(pulling.config, hub=HubConfig("http://hub.test"))
    await pulling()
    assert pulling.goal.is_dir()


async def test_a_password_for_the_hub_in_netrc_does_not_stand_in_the_tokens_way(
    pulling: Pull, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine hub.test login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", pulling.hub.address)
    pulling.config = replace(pulling.config, hub=HubConfig("http://hub.test", "hf_secret"))
    await pulling()
    assert set(pulling.hub.tokens) == {"Bearer hf_secret"}


async def test_a_host_that_wants_no_proxy_is_asked_without_one(
    pulling: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    await pulling()
    assert pulling.goal.is_dir()


async def test_a_proxy_that_speaks_another_protocol_is_refused_by_name(
    pulling: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(HubFailed, match="HTTP_PROXY is no proxy of HTTP"):
        await pulling()


async def test_a_proxy_of_all_protocols_is_taken_where_no_other_is_named(
    pulling: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(HubFailed, match="ALL_PROXY is no proxy of HTTP"):
        await pulling()
