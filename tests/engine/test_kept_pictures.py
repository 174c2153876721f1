"""A picture that is shown again is not decoded again."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from cortex.engine import kept_pictures
from cortex.engine.errors import InvalidImage
from cortex.engine.images import prepare_image
from cortex.engine.kept_pictures import KeptPictures
from cortex.engine.preprocessor import PixelBudget, Preprocessor
from cortex.engine.types import PreparedImage

SIZES = Preprocessor(16, 2, 2, 1024, 65536)
SMALL, LARGE = PixelBudget(1024, 4096), PixelBudget(1024, 65536)
MOST = 1_000_000
RGB_BYTES = 64 * 64 * 3


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "PNG")
    return file.getvalue()


RED, GREEN, BLUE = map(picture, ("red", "green", "blue"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What had to be opened."""
    opened: list[bytes] = []

    def counted(
        data: bytes, preprocessor: Preprocessor, budget: PixelBudget, most: int
    ) -> PreparedImage:
        opened.append(data)
        return prepare_image(data, preprocessor, budget, most)

    monkeypatch.setattr(kept_pictures, "prepare_image", counted)
    return opened


def test_what_is_shown_again_is_what_it_was_and_is_not_opened(decoded: list[bytes]) -> None:
    kept = KeptPictures(3 * RGB_BYTES)
    for data in (RED, GREEN, RED, GREEN, RED):
        assert kept.prepare(data, SIZES, SMALL, MOST) == prepare_image(data, SIZES, SMALL, MOST)
    assert decoded == [RED, GREEN]


def test_a_picture_in_another_size_is_another(decoded: list[bytes]) -> None:
    kept = KeptPictures(1 << 20)
    wider = Preprocessor(32, 2, 2, 1024, 65536)
    for sizes, budget, most in (
        (SIZES, SMALL, MOST),
        (SIZES, LARGE, MOST),
        (wider, SMALL, MOST),
        (SIZES, SMALL, MOST + 1),
    ):
        assert kept.prepare(RED, sizes, budget, most) == prepare_image(RED, sizes, budget, most)
    assert decoded == [RED] * 4


def test_an_operators_limit_holds_for_what_was_opened_before() -> None:
    kept = KeptPictures(1 << 20)
    kept.prepare(RED, SIZES, SMALL, MOST)
    with pytest.raises(InvalidImage, match="too large"):
        kept.prepare(RED, SIZES, SMALL, 64 * 64 - 1)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def show(kept: KeptPictures, *pictures: bytes) -> None:
    for data in pictures:
        kept.prepare(data, SIZES, SMALL, MOST)


@pytest.mark.parametrize("room", [2 * RGB_BYTES, 3 * RGB_BYTES - 1])
def test_where_there_is_no_room_what_was_shown_longest_ago_goes_first(
    decoded: list[bytes], room: int
) -> None:
    kept = KeptPictures(room, clock := Clock())
    show(kept, RED, GREEN, RED)
    clock.now_s = 60.0
    show(kept, BLUE, RED, BLUE, GREEN)
    assert decoded == [RED, GREEN, BLUE, GREEN]


def test_of_more_pictures_than_there_is_room_for_some_are_found_in_every_turn(
    decoded: list[bytes],
) -> None:
    kept = KeptPictures(2 * RGB_BYTES, clock := Clock())
    for turn in range(3):
        clock.now_s = turn * 300.0
        show(kept, RED, GREEN, BLUE)
    assert decoded == [RED, GREEN, BLUE, BLUE, BLUE]


def test_what_was_not_shown_for_ten_minutes_is_forgotten(decoded: list[bytes]) -> None:
    kept = KeptPictures(1 << 20, clock := Clock())
    show(kept, RED, GREEN)
    for clock.now_s in (300.0, 600.0):
        kept.forget()
        show(kept, RED)
    kept.forget()
    show(kept, RED, GREEN)
    assert decoded == [RED, GREEN, GREEN]


def test_a_picture_that_is_larger_than_all_room_is_made_and_not_kept(decoded: list[bytes]) -> None:
    kept = KeptPictures(RGB_BYTES - 1)
    for _ in range(2):
        assert kept.prepare(RED, SIZES, SMALL, MOST).rgb
    assert decoded == [RED, RED]
