"""The fleet key's text, what is drawn from it, and the ring that keeps several."""

from __future__ import annotations

import hashlib
import hmac
import random
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortex.peer.errors import FleetKeyNotHeld, InvalidFleetKey
from cortex.peer.keys.fleet_key import FleetKey, new_fleet_key, parse_fleet_key
from cortex.peer.keys.keyring import MAX_KEYS, Keyring, read_keyring, write_keyring

SECRETS = st.binary(min_size=32, max_size=32)
BOOT = b"the boot"


def key_of(number: int) -> FleetKey:
    return new_fleet_key(random.Random(number).randbytes)


def hkdf(secret: bytes, info: bytes, length_bytes: int) -> bytes:
    """RFC 5869 by hand, with no salt."""
    extracted = hmac.digest(bytes(32), secret, hashlib.sha256)
    block, drawn = b"", b""
    for number in range(1, 3):
        block = hmac.digest(extracted, block + info + bytes([number]), hashlib.sha256)
        drawn += block
    return drawn[:length_bytes]


@given(SECRETS)
def test_a_key_is_read_back_from_its_text(secret: bytes) -> None:
    key = FleetKey(secret)
    assert parse_fleet_key(key.text) == key
    assert parse_fleet_key(f"  {key.text.upper()}\n") == key


@given(st.text())
@example("cortex1-")
@example("cortex1-" + "7" * 52)
@example("cortex1-" + "a" * 51 + "\u017f")
def test_any_text_is_a_key_or_is_refused(text: str) -> None:
    try:
        key = parse_fleet_key(text)
    except InvalidFleetKey as error:
        assert error.hint
    else:
        assert key.text == text.strip().lower()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with cortex1-"),
        ("sk-abcdef", "begins with cortex1-"),
        ("cortex2-" + "a" * 52, "newer kind"),
        ("cortex1-" + "a" * 51, "52 letters after cortex1-, this one 51"),
        ("cortex1-" + "a" * 53, "this one 53"),
        ("cortex1-a0" + "a" * 50, "'0' at place 2"),
        ("cortex1-" + "a" * 51 + "b", "last letter"),
    ],
)
def test_a_text_that_is_no_key_is_told_why(text: str, message: str) -> None:
    with pytest.raises(InvalidFleetKey, match=message):
        parse_fleet_key(text)


@given(SECRETS, st.integers(0, 51))
def test_no_error_repeats_the_key(secret: bytes, place: int) -> None:
    letters = FleetKey(secret).text.removeprefix("cortex1-")
    broken = "cortex1-" + letters[:place] + "!" + letters[place + 1 :]
    with pytest.raises(InvalidFleetKey) as caught:
        parse_fleet_key(broken)
    told = caught.value.message + caught.value.hint
    assert not any(letters[start : start + 6] in told for start in range(46))


def test_a_key_is_not_shown_by_repr() -> None:
    key = key_of(1)
    for shown in (repr(key), str(Keyring(key, (key_of(2),)))):
        assert key.text not in shown
        assert repr(key.secret) not in shown


@given(SECRETS, st.binary(min_size=8, max_size=8))
def test_what_is_drawn_from_a_key_is_hkdf_under_names_of_its_own(
    secret: bytes, boot: bytes
) -> None:
    key = FleetKey(secret)
    assert key.key_id == hkdf(secret, b"cortex/1/kid", 4)
    assert key.mdns_tag == hkdf(secret, b"cortex/1/mdns", 8)
    assert key.datagram_key(boot) == hkdf(secret, b"cortex/1/udp" + boot, 32)


def test_a_key_gives_the_same_on_every_peer_for_ever() -> None:
    """Values that fleets in use depend on: another one here would split them."""
    key = FleetKey(bytes(range(32)))
    assert key.text == "cortex1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq"
    assert key.key_id.hex() == "2e3a5c90"
    assert key.mdns_tag.hex() == "464818bbde386791"
    drawn = "be339692672f2013a13b17aabe2b96e37f4181952c65cc112d8b7d3f0b2842a5"
    assert key.datagram_key(BOOT).hex() == drawn
    number = 0x12ADBE2351A23D235F8F2002F12F22745938DB9099E5DA7FD1CBE0E2A67D394C
    assert key.ca_number == number


@given(SECRETS)
def test_the_authority_s_number_is_one_that_the_curve_has(secret: bytes) -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    assert 1 <= FleetKey(secret).ca_number < order


def test_a_key_is_added_used_and_dropped_in_turn() -> None:
    old, new = key_of(1), key_of(2)
    both = Keyring(old).adding(new)
    assert (both.primary, both.others) == (old, (new,))
    over = both.using(new.key_id)
    assert (over.primary, over.others) == (new, (old,))
    alone = over.dropping(old.key_id)
    assert (alone.trusted, alone.retired) == ((new,), (old,))
    back = alone.adding(old)
    assert (back.trusted, back.retired) == ((new, old), ())


def test_a_key_that_is_held_is_added_once() -> None:
    ring = Keyring(key_of(1), (key_of(2),))
    assert ring.adding(key_of(1)).adding(key_of(2)) == ring


def test_the_key_in_use_is_not_dropped() -> None:
    ring = Keyring(key_of(1), (key_of(2),))
    with pytest.raises(InvalidFleetKey, match="is in use"):
        ring.dropping(key_of(1).key_id)


def test_a_key_that_is_not_held_is_neither_used_nor_dropped() -> None:
    ring, other = Keyring(key_of(1)), key_of(2).key_id
    with pytest.raises(FleetKeyNotHeld, match=other.hex()):
        ring.using(other)
    with pytest.raises(FleetKeyNotHeld, match=other.hex()):
        ring.dropping(other)


def test_a_ring_holds_only_so_many_keys() -> None:
    ring = Keyring(key_of(0))
    for number in range(1, MAX_KEYS):
        ring = ring.adding(key_of(number))
    with pytest.raises(InvalidFleetKey, match="no more can be"):
        ring.adding(key_of(MAX_KEYS))


def test_a_ring_is_read_back_from_its_file_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "fleet.key"
    ring = Keyring(key_of(1), (key_of(2), key_of(3)), (key_of(4),))
    write_keyring(path, ring)
    assert read_keyring(path) == ring
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["fleet.key"]


def test_a_ring_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fleet.key"
    write_keyring(path, Keyring(key_of(1)))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_keyring(path, Keyring(key_of(2)))
    assert read_keyring(path) == Keyring(key_of(1))
    assert [file.name for file in tmp_path.iterdir()] == ["fleet.key"]


def test_where_there_is_no_file_there_is_no_ring(tmp_path: Path) -> None:
    assert read_keyring(tmp_path / "fleet.key") is None


def test_a_file_with_one_key_in_a_line_of_its_own_is_a_ring(tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    path.write_text(key_of(1).text)
    assert read_keyring(path) == Keyring(key_of(1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no fleet key"),
        (f"retired {key_of(1).text}\n", "holds no fleet key"),
        (f"{key_of(1).text}\n\nnonsense\n", "line 3: a fleet key begins with"),
        ("\xff\x00" * 100_000, "line 1"),
    ],
)
def test_a_file_that_is_no_ring_is_told_by_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "fleet.key"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InvalidFleetKey, match=message) as caught:
        read_keyring(path)
    assert key_of(1).text not in caught.value.message
