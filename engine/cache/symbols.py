"""A prompt as the string that the prefix tree compares: eight bytes a token.

A token is its id. A picture's places all have the same token, so each of them becomes a symbol of
what the picture shows: a word of its hash, mixed with where in the picture the place lies. Four
neighbouring places hold the whole hash. Symbols are in the machine's byte order and stay in the
process.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence

from ..errors import InvalidRequest
from ..types import PreparedImage, Prompt

SYMBOL_BYTES = 8
_WORDS = 4
# No token id is as large.
_PICTURE = 1 << 63


def prompt_symbols(prompt: Prompt, image_token_id: int | None, merge_size: int) -> bytes:
    """The symbols of a prompt that still has its pictures.

    `merge_size` is how many patches make a place, along each side. Raises InvalidRequest where the
    pictures and their places do not agree.
    """
    symbols = array("Q", prompt.token_ids)
    places = [i for i, token_id in enumerate(prompt.token_ids) if token_id == image_token_id]
    contents = [s for image in prompt.images for s in _picture_symbols(image, merge_size)]
    if len(places) != len(contents):
        raise InvalidRequest(
            f"the prompt holds {len(places)} picture places for pictures of {len(contents)}."
        )
    for place, symbol in zip(places, contents, strict=True):
        symbols[place] = symbol
    return symbols.tobytes()


def token_symbols(token_ids: Iterable[int]) -> bytes:
    """The symbols of tokens that are no picture places, such as an answer's."""
    return array("Q", token_ids).tobytes()


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


def _picture_symbols(image: PreparedImage, merge_size: int) -> Sequence[int]:
    frames, rows, columns = image.grid_thw
    words = array("Q", image.hash[: _WORDS * SYMBOL_BYTES])
    places = range(frames * rows * columns // merge_size**2)
    return [(words[i % _WORDS] ^ i // _WORDS) | _PICTURE for i in places]
