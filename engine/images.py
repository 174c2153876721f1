"""Pictures as clients send them to pixels as models take them.

Knows the four formats, how big a picture may be and what size a checkpoint wants it; opens hostile
bytes, so everything that can be judged by the header is judged before a pixel is decoded. Does not
know what a prompt is. Normalising and cutting into patches happen on the device.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from PIL import Image, ImageChops, PngImagePlugin

from .errors import InvalidImage
from .foreign_files import PDF, foreign_kind
from .preprocessor import PixelBudget, Preprocessor
from .types import ImageTokens, PreparedImage
from .wishes import USUAL_PIXELS

T = TypeVar("T")

# Profiles of printers, and notes of programs, are larger than Pillow's mebibyte. What all notes of
# a picture take together stays bounded by its MAX_TEXT_MEMORY.
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20

MAX_ASPECT_RATIO = 200
_MAX_IMAGE_PIXELS = USUAL_PIXELS.max_image_pixels
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
# A scan of a JPEG, of which programs write up to a dozen, may be a few bytes and is a pass over all
# its pixels: a billion of them take a second. These are three hundred over the largest picture: the
# mark also comes about by chance, once in 64 KiB of the video that phones put behind the picture.
_SCAN_MARK = b"\xff\xda"
_MAX_SCANNED_PIXELS = 12_000_000_000
_ORIENTATION_TAG = 0x0112
_UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def smart_resize(
    height: int, width: int, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """The (height, width) nearest to the given one that a checkpoint takes.

    Both sides are multiples of `factor`, their product lies within the limits, and the aspect
    ratio is kept as well as that allows. Raises InvalidImage for an aspect ratio over 200.
    """
    _check_aspect_ratio(height, width)
    new_height = round(height / factor) * factor  # half goes to even, as in the reference
    new_width = round(width / factor) * factor
    if new_height * new_width > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        new_height = max(factor, math.floor(height / shrink / factor) * factor)
        new_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    return new_height, new_width


def measure_image(
    data: bytes,
    preprocessor: Preprocessor,
    budget: PixelBudget,
    max_image_pixels: int = _MAX_IMAGE_PIXELS,
) -> int:
    """How many prompt tokens a picture costs, judged by its header alone.

    Raises InvalidImage as `open_image` does, except for what only decoding shows.
    """
    with _open_header(data, max_image_pixels) as image:
        # A turned picture swaps its sides, which makes no difference to their product.
        return _image_tokens(image.height, image.width, preprocessor, budget)


def open_image(data: bytes, max_image_pixels: int = _MAX_IMAGE_PIXELS) -> Image.Image:
    """The picture in RGB, upright, over white where it is transparent; the first frame of many.

    The bytes decide what it is, not its name. Raises InvalidImage for anything but a whole PNG,
    JPEG, GIF or WebP within the limits.
    """
    with _open_header(data, max_image_pixels) as image:
        try:
            image.load()
            upright = _upright(image)
            return _to_rgb(upright)
        except MemoryError:  # which says nothing of the picture
            raise
        except Exception as error:  # decoders raise nearly anything when bytes lie
            raise InvalidImage(
                f"the {image.format} picture is broken or cut short",
                "send the whole file, or save it again with another program",
            ) from error


def prepare_image(
    data: bytes,
    preprocessor: Preprocessor,
    budget: PixelBudget,
    max_image_pixels: int = _MAX_IMAGE_PIXELS,
) -> PreparedImage:
    """Open a picture and bring it to the size that the checkpoint takes.

    Raises InvalidImage.
    """
    picture = open_image(data, max_image_pixels)
    height, width = smart_resize(
        picture.height, picture.width, preprocessor.factor, budget.min_pixels, budget.max_pixels
    )
    rgb = picture.resize((width, height), Image.Resampling.BICUBIC).tobytes()
    size = height.to_bytes(4, "big") + width.to_bytes(4, "big")
    return PreparedImage(
        hash=hashlib.sha256(size + rgb).digest(),
        grid_thw=(1, height // preprocessor.patch_size, width // preprocessor.patch_size),
        rgb=memoryview(rgb),
    )


def each_picture(pictures: Sequence[bytes], read: Callable[[bytes], T]) -> list[T]:
    """What is read of each picture; of several the one that cannot be read is told by its place.

    Raises InvalidImage.
    """
    made: list[T] = []
    for number, data in enumerate(pictures, 1):
        try:
            made.append(read(data))
        except InvalidImage as error:
            if len(pictures) == 1:
                raise
            place = f"picture {number} of {len(pictures)}"
            raise InvalidImage(f"{place}: {error.message}", error.hint) from error
    return made


def image_tokens(image: PreparedImage, preprocessor: Preprocessor, num_marks: int) -> ImageTokens:
    """What a prepared picture looks like to the one who asked, with the marks around it."""
    frames, rows, columns = image.grid_thw
    return ImageTokens(
        width=columns * preprocessor.patch_size,
        height=rows * preprocessor.patch_size,
        tokens=frames * rows * columns // preprocessor.merge_size**2 + num_marks,
    )


def _image_tokens(height: int, width: int, preprocessor: Preprocessor, budget: PixelBudget) -> int:
    factor = preprocessor.factor
    new_height, new_width = smart_resize(
        height, width, factor, budget.min_pixels, budget.max_pixels
    )
    return new_height * new_width // factor**2


def _open_header(data: bytes, max_image_pixels: int) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(f"over {max_image_pixels:,} pixels", max_image_pixels) from error
    except MemoryError:  # which says nothing of the picture
        raise
    except Exception as error:  # decoders raise nearly anything when bytes lie
        raise _not_taken(data) from error
    if image.width * image.height > max_image_pixels:
        raise _too_large(f"{image.width}x{image.height} pixels", max_image_pixels)
    _check_aspect_ratio(image.height, image.width)
    if data.startswith(b"\xff\xd8"):
        _check_scans(data, image.width * image.height)
    return image


def _check_scans(data: bytes, num_pixels: int) -> None:
    num_scans = data.count(_SCAN_MARK)
    if num_scans * num_pixels > _MAX_SCANNED_PIXELS:
        raise InvalidImage(
            f"the JPEG picture is too much work to decode: {num_scans:,} scans of {num_pixels:,}"
            " pixels",
            "save it again with another program",
        )


def _too_large(size: str, max_image_pixels: int) -> InvalidImage:
    return InvalidImage(
        f"the picture is too large: {size}, where {max_image_pixels:,} pixels are the limit",
        "scale it down first; models see about a million pixels of it",
    )


def _check_aspect_ratio(height: int, width: int) -> None:
    if not height or not width:
        raise InvalidImage(f"the picture is empty: {width}x{height} pixels", "send another one")
    ratio = max(height, width) / min(height, width)
    if ratio > MAX_ASPECT_RATIO:
        raise InvalidImage(
            f"the picture's aspect ratio of {math.ceil(ratio):,} is over {MAX_ASPECT_RATIO}"
            f" ({width}x{height} pixels)",
            "cut it into pieces that are less narrow",
        )


def _not_taken(data: bytes) -> InvalidImage:
    kind = foreign_kind(data)
    told = "the bytes are" if kind is None else f"the bytes are {kind},"
    hints = {
        None: "send the whole file, in one of these formats",
        PDF: "make pictures of its pages: pdftoppm -png",
    }
    return InvalidImage(
        f"{told} not a PNG, JPEG, GIF or WebP picture",
        hints.get(kind, "convert it to PNG or JPEG first"),
    )


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except MemoryError:
        raise
    except Exception:  # a broken note about the picture does not make it a broken picture
        orientation = 1
    turn = _UPRIGHT_BY.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _grey16_to_rgb(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "RGB" and "transparency" in image.info:
        key = cast(tuple[int, int, int], image.info["transparency"])
        if max(key) > 255:
            # The transparent colour of a 16-bit file; Pillow keeps the upper byte of its pixels.
            image.info["transparency"] = tuple(value >> 8 for value in key)
    coloured = image.convert("RGBA")
    white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, coloured).convert("RGB")


def _grey16_to_rgb(image: Image.Image) -> Image.Image:
    """16-bit grey, scaled to 8 bits: a plain conversion would clip it."""
    wide = image.convert("I")
    grey = wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    key = image.info.get("transparency")
    if isinstance(key, int):
        # Above and below the transparent value: converting clips at 0 and at 255.
        above = wide.point(lambda value: value * 255 - key * 255).convert("L")
        below = wide.point(lambda value: value * -255 + key * 255).convert("L")
        grey = Image.composite(
            grey, Image.new("L", grey.size, 255), ImageChops.lighter(above, below)
        )
    return grey.convert("RGB")
