"""Pictures that a person names: read unopened, refused where they cannot be one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cortex.peer.config import Locations, PeerConfig
from cortex.peer.errors import PictureUnreadable
from cortex.peer.talk.pictures import MAX_PICTURE_BYTES, read_picture


def refusal(argument: str) -> PictureUnreadable:
    with pytest.raises(PictureUnreadable) as caught:
        read_picture(argument, None)
    return caught.value


def test_a_picture_is_its_bytes_and_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG, not opened")
    picture = read_picture(str(tmp_path / "a.png"), None)
    assert (picture.data, picture.name) == (b"\x89PNG, not opened", "a.png")


def test_a_tilde_is_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").write_bytes(b"GIF8, bytes")
    assert read_picture("~/a.png", None).data == b"GIF8, bytes"


def test_the_home_of_nobody_holds_no_picture() -> None:
    name = "~nobody-of-that-name/a.png"
    assert refusal(name).message == f"no picture at {name}."


def test_a_misspelt_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "receipt.png").write_bytes(b"GIF8, bytes")
    problem = refusal(str(tmp_path / "reciept.png"))
    assert problem.hint == f"did you mean {tmp_path / 'receipt.png'}?"


def test_a_link_that_leads_nowhere_is_not_proposed_in_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "receipt.png").symlink_to(tmp_path / "gone")
    assert refusal(str(tmp_path / "receipt.png")).hint == ""


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert f"no folder {tmp_path / 'no'}" in refusal(str(tmp_path / "no" / "a.png")).hint


def test_a_folder_is_refused_as_one(tmp_path: Path) -> None:
    assert "is a folder" in refusal(str(tmp_path)).message


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert refusal(str(tmp_path / "a.png")).message == "a.png is empty."


def test_bytes_that_begin_as_no_picture_are_refused_by_the_name_of_their_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "u.bin").write_bytes(bytes(range(1, 200)))
    problem = refusal(str(tmp_path / "u.bin"))
    assert problem.message == "u.bin is no picture." and "PNG" in problem.hint


def test_a_file_without_an_end_is_not_read_for_ever() -> None:
    assert f"over {MAX_PICTURE_BYTES // 1024**2} MiB" in refusal("/dev/zero").message


def test_the_largest_picture_fits_through_a_peer() -> None:
    config = PeerConfig(Locations(Path("data"), Path("state")))
    room_for_words_bytes = 1024 * 1024
    base64_bytes = -(-MAX_PICTURE_BYTES // 3) * 4
    assert base64_bytes + room_for_words_bytes <= config.max_body_bytes


def test_a_name_that_no_file_can_have_is_refused() -> None:
    assert "cannot read" in refusal("a\0b.png").message


@pytest.mark.parametrize("address", ["http://example.com/a.png", "HTTPS://example.com/a.png"])
def test_a_web_address_is_refused_with_the_way_to_fetch_it(address: str) -> None:
    problem = refusal(address)
    assert "fetches nothing" in problem.message
    assert f"curl -L -o picture {address}" in problem.hint


@pytest.mark.parametrize(
    "address", ["file://server/tmp/a.png", "data:image/png;base64,AAAA", "s3://a/b"]
)
def test_other_addresses_are_refused_by_their_kind(address: str) -> None:
    assert f"not a {address.partition(':')[0]}: address" in refusal(address).message


@pytest.mark.parametrize("lead", ["file://", "file://localhost", "FILE://", "file:"])
def test_the_address_of_a_file_of_this_machine_is_its_name(tmp_path: Path, lead: str) -> None:
    (tmp_path / "My Scan 100%.png").write_bytes(b"GIF8, bytes")
    picture = read_picture(f"{lead}{tmp_path}/My%20Scan%20100%25.png", None)
    assert (picture.data, picture.name) == (b"GIF8, bytes", "My Scan 100%.png")


def test_a_pdf_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    (tmp_path / "bill.pdf").write_bytes(b"%PDF-1.7 ...")
    assert "pdftoppm" in refusal(str(tmp_path / "bill.pdf")).hint


def test_a_photo_that_a_telephone_made_is_refused_by_its_kind(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(9))
    problem = refusal(str(tmp_path / "IMG_1.jpg"))
    assert problem.message == "IMG_1.jpg is a HEIC picture; convert it to PNG or JPEG first."


def test_a_dash_is_standard_input() -> None:
    picture = read_picture("-", io.BytesIO(b"GIF8, bytes"))
    assert (picture.data, picture.name) == (b"GIF8, bytes", "standard input")


def test_a_dash_without_standard_input_is_refused() -> None:
    assert "standard input" in refusal("-").message


def test_a_name_that_is_no_text_is_passed_on_as_text(tmp_path: Path) -> None:
    path = tmp_path / b"caf\xe9.png".decode(errors="surrogateescape")
    path.write_bytes(b"GIF8, bytes")
    assert read_picture(str(path), None).name == "caf?.png"
