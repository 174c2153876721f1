"""Pictures: golden pixels, every mode a file may have, and bytes that mean harm."""

from __future__ import annotations

import io
import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cortex.engine.errors import InvalidImage, ModelInvalid, to_info
from cortex.engine.images import (
    image_tokens,
    measure_image,
    open_image,
    prepare_image,
    smart_resize,
)
from cortex.engine.preprocessor import (
    PixelBudget,
    Preprocessor,
    pixel_budget,
    read_preprocessor,
)
from cortex.engine.wishes import PixelWishes

_GOLDEN = Path(__file__).parent.parent / "golden"
_CASES: list[dict[str, Any]] = json.loads((_GOLDEN / "preprocess/preprocess.json").read_text())[
    "cases"
]
_ROWS: list[list[Any]] = json.loads((_GOLDEN / "preprocess/smart_resize.json").read_text())["rows"]
_PUBLISHED = Preprocessor(16, 2, 2, 65536, 16777216)
_SMALL_BUDGET = PixelBudget(4096, 65536)


def png(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG made by hand, to say what Pillow would not write."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> list[Any]:
    picture = open_image(data)
    assert picture.mode == "RGB"
    return [picture.getpixel((x, y)) for y in range(picture.height) for x in range(picture.width)]


def test_sizes_are_those_of_the_reference() -> None:
    for height, width, factor, low, high, out_height, out_width in _ROWS:
        if out_height is None:
            with pytest.raises(InvalidImage, match="aspect ratio of"):
                smart_resize(height, width, factor, low, high)
        else:
            assert smart_resize(height, width, factor, low, high) == (out_height, out_width)


@pytest.mark.parametrize("case", _CASES, ids=lambda c: f"{c['image']}-{c['shortest_edge']}")
def test_golden_pictures_have_the_golden_grid_and_pixels(case: dict[str, Any]) -> None:
    data = (_GOLDEN / "images" / f"{case['image']}.png").read_bytes()
    budget = PixelBudget(case["shortest_edge"], case["longest_edge"])
    prepared = prepare_image(data, _PUBLISHED, budget)
    assert list(prepared.grid_thw) == case["image_grid_thw"]
    seen = image_tokens(prepared, _PUBLISHED, num_marks=0)
    assert seen.tokens == case["llm_tokens"] == measure_image(data, _PUBLISHED, budget)
    rgb = np.frombuffer(prepared.rgb, np.uint8).reshape(seen.height, seen.width, 3)
    for name in case["arrays"]:
        if name.endswith("resized_rgb"):
            with np.load(_GOLDEN / "preprocess" / "preprocess.npz") as arrays:
                assert np.array_equal(rgb, arrays[name])


def test_hash_tells_pictures_of_equal_bytes_and_other_shape_apart() -> None:
    white = [encoded(Image.new("RGB", size, "white"), "PNG") for size in ((64, 128), (128, 64))]
    hashes = {prepare_image(data, _PUBLISHED, _SMALL_BUDGET).hash for data in white}
    assert len(hashes) == 2


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_the_four_formats_are_opened_whatever_they_are_called(form: str) -> None:
    picture = open_image(encoded(Image.new("RGB", (40, 30), (250, 0, 0)), form))
    assert picture.size == (40, 30)
    assert np.allclose(np.asarray(picture)[15, 20], (250, 0, 0), atol=4)


@pytest.mark.parametrize("form", ["PPM", "ICO", "TGA"])
def test_other_formats_are_refused(form: str) -> None:
    with pytest.raises(InvalidImage, match="are not a PNG, JPEG, GIF or WebP"):
        open_image(encoded(Image.new("RGB", (16, 16)), form))


@pytest.mark.parametrize(("form", "words"), [("BMP", "a BMP picture"), ("TIFF", "a TIFF picture")])
def test_formats_that_people_have_are_refused_by_their_names(form: str, words: str) -> None:
    with pytest.raises(InvalidImage, match=f"are {words}, not a PNG") as refused:
        open_image(encoded(Image.new("RGB", (16, 16)), form))
    assert refused.value.hint == "convert it to PNG or JPEG first"


def test_a_pdf_is_refused_with_how_pictures_are_made_of_it() -> None:
    with pytest.raises(InvalidImage, match="are a PDF") as refused:
        open_image(b"%PDF-1.7")
    assert "pdftoppm" in refused.value.hint


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_text_named_png_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        open_image(data)


@pytest.mark.parametrize(
    ("owner", "step"), [(Image, "open"), (Image.Image, "getexif"), (Image.Image, "convert")]
)
def test_a_picture_that_the_machines_memory_does_not_reach_for_is_not_broken(
    monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
) -> None:
    def refused(*_: Any, **__: Any) -> Image.Image:
        raise MemoryError("words of a client")

    data = encoded(Image.new("RGBA", (2, 2)), "PNG")
    monkeypatch.setattr(owner, step, refused)
    with pytest.raises(MemoryError) as caught:
        open_image(data)
    info = to_info(caught.value)
    assert (info.code, "client" in info.message) == ("insufficient_vram", False)
    assert info.message.startswith("the machine's memory does not reach")


@pytest.mark.parametrize(
    ("kind", "head"),
    [(b"iCCP", b"ICC\0\0"), (b"zTXt", b"note\0\0"), (b"iTXt", b"note\0\1\0\0\0")],
)
def test_a_png_with_a_large_profile_or_note_is_a_picture(kind: bytes, head: bytes) -> None:
    note = chunk(kind, head + zlib.compress(bytes(3 << 20)))
    assert pixels(png(1, 1, 8, 2, b"\0\1\2\3", note)) == [(1, 2, 3)]


def test_notes_that_unpack_without_end_are_refused() -> None:
    note = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(17 << 20)))
    with pytest.raises(InvalidImage):
        open_image(png(1, 1, 8, 2, b"\0\1\2\3", note))


def test_pixel_bombs_are_refused_before_decoding() -> None:
    rows = b"\x00" * 1000
    for width, height in ((30_000, 30_000), (10_000, 10_000), (8_000, 5_001)):
        started_s = time.monotonic()
        with pytest.raises(InvalidImage, match="40,000,000"):
            open_image(png(width, height, 8, 2, rows))
        assert time.monotonic() - started_s < 0.5


def test_long_narrow_picture_is_refused_with_its_ratio() -> None:
    with pytest.raises(InvalidImage, match="aspect ratio of 201 is over 200"):
        open_image(encoded(Image.new("RGB", (402, 2)), "PNG"))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_truncated_picture_is_refused_by_name(form: str) -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    data = encoded(noise, form)
    for keep in (0.3, 0.6, 0.9):
        with pytest.raises(InvalidImage):
            open_image(data[: int(len(data) * keep)])
    with pytest.raises(InvalidImage, match=r"picture is broken|not a PNG"):
        open_image(data[: int(len(data) * 0.6)])


def test_flipped_bytes_never_raise_anything_else() -> None:
    data = encoded(Image.effect_noise((24, 24), 80), "PNG")
    for index in range(len(data)):
        broken = data[:index] + bytes([data[index] ^ 0xFF]) + data[index + 1 :]
        try:
            open_image(broken)
        except InvalidImage:
            continue


@pytest.mark.parametrize("orientation", range(1, 9))
def test_camera_orientation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), "white")
    upright.paste((0, 0, 255), (0, 0, 16, 16))  # the mark belongs in the upper left corner
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_image(encoded(stored, "PNG", exif=exif))
    assert picture.size == (48, 32)
    assert picture.tobytes() == upright.tobytes()


def test_cmyk_jpeg_keeps_its_colours() -> None:
    cyan = open_image(encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG"))
    assert np.allclose(np.asarray(cyan)[8, 8], (0, 255, 255), atol=6)


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    rows = b"\0" + struct.pack(">4H", 0, 0x1234, 0x8000, 0xFFFF)
    assert pixels(png(4, 1, 16, 0, rows)) == [(v,) * 3 for v in (0, 18, 128, 255)]


def test_transparent_value_of_sixteen_bit_grey_is_white() -> None:
    rows = b"\0" + struct.pack(">3H", 0x1233, 0x1234, 0x1235)
    key = chunk(b"tRNS", struct.pack(">H", 0x1234))
    assert pixels(png(3, 1, 16, 0, rows, key)) == [(18,) * 3, (255,) * 3, (18,) * 3]


def test_transparent_colour_of_sixteen_bit_rgb_is_white() -> None:
    rows = b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0, 0, 0)
    key = chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    assert pixels(png(2, 1, 16, 2, rows, key)) == [(255, 255, 255), (0, 0, 0)]


def test_transparency_shows_white_in_every_mode() -> None:
    half = encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 128)), "PNG")
    assert pixels(half) == [(255, 127, 127)]
    assert pixels(encoded(Image.new("LA", (1, 1), (0, 0)), "PNG")) == [(255, 255, 255)]
    for mode, key in (("L", 7), ("RGB", (7, 7, 7)), ("P", 0)):
        keyed = Image.new(mode, (1, 1), key)
        assert pixels(encoded(keyed, "PNG", transparency=key)) == [(255, 255, 255)]
    assert pixels(encoded(Image.new("1", (1, 1), 0), "PNG")) == [(0, 0, 0)]


def test_animated_gif_shows_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert set(pixels(data)) == {(255, 0, 0)}


def test_budget_is_the_checkpoints_capped_at_a_megapixel() -> None:
    assert pixel_budget(_PUBLISHED) == PixelBudget(65536, 1024 * 1024)
    large = Preprocessor(16, 2, 2, 2_000_000, 3_000_000)
    assert pixel_budget(large) == PixelBudget(2_000_000, 3_000_000)


@pytest.mark.parametrize(
    ("wishes", "budget"),
    [
        (PixelWishes(max_pixels=90_000), PixelBudget(65536, 90_000)),
        (PixelWishes(min_pixels=90_000), PixelBudget(90_000, 1024 * 1024)),
        (PixelWishes(max_pixels=4_000_000), PixelBudget(65536, 4_000_000)),
        (PixelWishes(1, 10**9), PixelBudget(65536, _PUBLISHED.max_pixels)),
        (PixelWishes(max_pixels=100), PixelBudget(65536, 1024 * 1024)),
        (PixelWishes(min_pixels=10**9), PixelBudget(65536, 1024 * 1024)),
    ],
)
def test_budget_is_the_operators_within_the_checkpoints(
    wishes: PixelWishes, budget: PixelBudget
) -> None:
    """Or the usual one, where that leaves nothing."""
    assert pixel_budget(_PUBLISHED, wishes) == budget


def test_golden_checkpoint_tells_its_preprocessing() -> None:
    assert read_preprocessor(_GOLDEN / "qwen3_5") == Preprocessor(16, 2, 2, 4096, 65536)
    assert read_preprocessor(_GOLDEN / "qwen3_5_text") is None


def progressive(width: int, num_scans: int) -> bytes:
    """A square whose last scan, a few bytes that say nothing new, comes so many times."""
    data = encoded(Image.new("L", (width, width)), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last_scan * (num_scans - data.count(b"\xff\xda")) + data[-2:]


def test_a_jpeg_of_more_scans_than_are_ever_written_is_refused_unopened() -> None:
    hostile = progressive(2_000, 3_001)
    with pytest.raises(InvalidImage, match="3,001 scans"):
        open_image(hostile)
    with pytest.raises(InvalidImage, match="3,001 scans"):
        measure_image(hostile, _PUBLISHED, _SMALL_BUDGET)
    assert open_image(progressive(20, 100)).size == (20, 20)


def test_a_large_photograph_with_its_video_behind_it_is_taken() -> None:
    photograph = encoded(Image.new("L", (6_000, 6_000)), "JPEG")
    video = (bytes(65_534) + b"\xff\xda") * 300  # twenty megabytes
    assert measure_image(photograph + video, _PUBLISHED, _SMALL_BUDGET) > 0


def settings() -> dict[str, Any]:
    path = _GOLDEN / "qwen3_5" / "preprocessor_config.json"
    fields: dict[str, Any] = json.loads(path.read_text())
    return fields


def test_image_part_of_a_processor_config_is_read_and_old_names_win(tmp_path: Path) -> None:
    image = {**settings(), "min_pixels": 1024, "max_pixels": 2048}
    video = {**settings(), "size": {"shortest_edge": 1, "longest_edge": 9}}
    whole = {"image_processor": image, "video_processor": video}
    (tmp_path / "processor_config.json").write_text(json.dumps(whole))
    assert read_preprocessor(tmp_path) == Preprocessor(16, 2, 2, 1024, 2048)


def test_where_a_folder_has_both_files_the_newer_form_counts(tmp_path: Path) -> None:
    older, newer = {**settings(), "max_pixels": 2048}, {**settings(), "max_pixels": 8192}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(older | {"min_pixels": 1024}))
    processor = tmp_path / "processor_config.json"
    processor.write_text(json.dumps({"image_processor": newer | {"min_pixels": 4096}}))
    assert read_preprocessor(tmp_path) == Preprocessor(16, 2, 2, 4096, 8192)

    processor.write_text(json.dumps({"processor_class": "Qwen3VLProcessor"}))
    assert read_preprocessor(tmp_path) == Preprocessor(16, 2, 2, 1024, 2048)


@pytest.mark.parametrize("generation", ["Qwen2VL", "Qwen3VL"])
@pytest.mark.parametrize("suffix", ["", "Fast"])
def test_the_published_names_of_what_prepares_pictures_are_known(
    tmp_path: Path, generation: str, suffix: str
) -> None:
    named = {**settings(), "image_processor_type": f"{generation}ImageProcessor{suffix}"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(named))
    assert read_preprocessor(tmp_path) == read_preprocessor(_GOLDEN / "qwen3_5")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_mean", [0.48, 0.46, 0.41]),
        ("image_std", None),
        ("patch_size", 0),
        ("merge_size", "2"),
        ("temporal_patch_size", True),
        ("do_resize", False),
        ("resample", 2),
        ("rescale_factor", 1.0),
        ("image_processor_type", "CLIPImageProcessor"),
        ("size", {"shortest_edge": 224}),
    ],
)
def test_setting_that_cannot_be_honoured_is_refused_by_name(
    tmp_path: Path, field: str, value: Any
) -> None:
    text = json.dumps({**settings(), field: value})
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ModelInvalid, match="longest_edge" if field == "size" else field):
        read_preprocessor(tmp_path)
