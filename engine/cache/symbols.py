"""A prompt as the string that the prefix tree compares: eight bytes a token.

A token is its id. A picture's places all have the same token, so each of them becomes a symbol of
what the picture shows: a word of its hash, mixed with where in the picture the place lies. Four
neighbouring places hold the whole hash. Symbols are in the machine's byte order and stay in the
process.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidRequest
from ..types import PreparedImage, Prompt

SYMBOL_BYTES = 8
_WORDS = np.uint64(4)
# No token id is as large.
_PICTURE = np.uint64(1 << 63)


def prompt_symbols(prompt: Prompt, image_token_id: int | None, merge_size: int) -> bytes:
    """The symbols of a prompt that still has its pictures.

    `merge_size` is how many patches make a place, along each side. Raises InvalidRequest where the
    pictures and their places do not agree.
    """
    numbers = array("Q", prompt.token_ids)
    symbols = np.frombuffer(numbers, np.uint64)
    places = np.flatnonzero(symbols == image_token_id) if image_token_id is not None else ()
    contents = [_picture_symbols(image, merge_size) for image in prompt.images]
    num_contents = sum(map(len, contents))
    if len(places) != num_contents:
        raise InvalidRequest(
            f"the prompt holds {len(places)} picture places for pictures of {num_contents}."
        )
    if contents:
        symbols[places] = np.concatenate(contents)
    return numbers.tobytes()


def num_symbols(symbols: bytes) -> int:
    return len(symbols) // SYMBOL_BYTES


def common_symbols(one: bytes, other: bytes) -> int:
    """How many symbols two strings begin with alike."""
    low, high = 0, min(len(one), len(other)) // SYMBOL_BYTES
    while low < high:
        middle = (low + high + 1) // 2
        part = slice(low * SYMBOL_BYTES, middle * SYMBOL_BYTES)
        if one[part] == other[part]:
            low = middle
        else:
            high = middle - 1
    return low


def prefix_marks(symbols: bytes, ends: Iterable[int]) -> dict[int, bytes]:
    """By each of the ends, ascending, a mark that only prompts have that are alike up to there."""
    digest = hashlib.blake2b(digest_size=16)
    marks: dict[int, bytes] = {}
    start = 0
    for end in ends:
        digest.update(symbols[start * SYMBOL_BYTES : end * SYMBOL_BYTES])
        marks[end] = digest.digest()
        start = end
    return marks


def _picture_symbols(image: PreparedImage, merge_size: int) -> NDArray[np.uint64]:
    frames, rows, columns = image.grid_thw
    words = np.frombuffer(image.hash, np.uint64, int(_WORDS))
    places = np.arange(frames * rows * columns // merge_size**2, dtype=np.uint64)
    return (words[places % _WORDS] ^ places // _WORDS) | _PICTURE
