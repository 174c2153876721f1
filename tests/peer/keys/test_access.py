"""Keys: whose a key is, and what it opens."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.addresses import host_of, is_loopback
from cortex.peer.api.access import check_steering
from cortex.peer.errors import InvalidApiKey, PermissionDenied
from cortex.peer.keys.access import (
    ApiKey,
    Keyring,
    digest_of,
    make_key,
    presented_keys,
    read_hash,
    spell_hash,
)

ASKER = ApiKey("asker", digest_of("ask"))
ADMIN = ApiKey("admin", digest_of("steer"), is_admin=True)


def test_a_key_is_found_by_itself_alone() -> None:
    keyring = Keyring((ASKER, ADMIN))
    assert keyring.find(["ask"]) is ASKER
    assert keyring.find(["wrong", "steer"]) is ADMIN
    assert keyring.find(["Ask", "ask ", ""]) is None
    assert keyring.find([]) is None


def test_admin_keys_alone_leave_the_api_open() -> None:
    assert Keyring(()).is_open
    assert Keyring((ADMIN,)).is_open
    assert not Keyring((ASKER,)).is_open
    assert not Keyring((ASKER, ADMIN)).is_open


def test_both_headers_mean_the_same() -> None:
    assert presented_keys("Bearer a", None) == ["a"]
    assert presented_keys("bearer  a ", "b") == ["a", "b"]
    assert presented_keys(None, " b ") == ["b"]
    assert presented_keys("Basic a", "") == []
    assert presented_keys("Bearer", None) == []


@given(st.binary(min_size=32, max_size=32))
def test_a_key_holds_all_its_randomness(random_bytes: bytes) -> None:
    key = make_key(random_bytes)
    assert key.startswith("sk-cortex-")
    assert base64.urlsafe_b64decode(key.removeprefix("sk-cortex-") + "=") == random_bytes


@given(st.text())
def test_a_hash_reads_as_it_is_spelt(key: str) -> None:
    assert read_hash(spell_hash(digest_of(key))) == digest_of(key)


@pytest.mark.parametrize("text", ["", "sk-cortex-abc", "sha256:", "sha256:" + "g" * 64, "a" * 64])
def test_what_is_no_hash_is_none(text: str) -> None:
    assert read_hash(text) is None


def test_a_header_that_is_no_utf_8_is_a_wrong_key() -> None:
    """Headers come with their odd bytes as surrogates."""
    assert Keyring((ASKER,)).find(["\udcff"]) is None


def test_steering_takes_an_admin_key_or_this_very_machine() -> None:
    check_steering(ADMIN, comes_from_here=False)
    check_steering(None, comes_from_here=True)
    with pytest.raises(PermissionDenied, match="the key 'asker' may ask, but not steer"):
        check_steering(ASKER, comes_from_here=False)
    with pytest.raises(InvalidApiKey, match="opens to admin keys alone"):
        check_steering(None, comes_from_here=False)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LocalHost"]
)
def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "192.168.1.2", "::ffff:192.168.1.2", "localhost.evil.com", "x"]
)
def test_addresses_of_others(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("authority", "host"),
    [("a.b:80", "a.b"), ("a.b", "a.b"), ("[::1]:80", "::1"), ("[::1", "::1"), ("", "")],
)
def test_the_host_of_an_authority(authority: str, host: str) -> None:
    assert host_of(authority) == host
