"""Where on a page stands what is asked and answered: the cells that attention should look at.

Drawing knows the place of each character. For each printed character of an answer there are cells
that show it, for each printed name in a question too; and each value on the page has a key beside
it, or a row's name and a column's head. Nothing here knows of tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.drawing.types import Fact, Glyph, Picture
from training.nano import CELL_PIXELS, encode
from training.wordings import ABSENT_ANSWER

# A place that is one of many teaches nothing.
_MOST_PLACES = 3
# Fewer characters of a sentence are found wherever one looks.
_LEAST_RUN = 3
# So many first bytes of a name that is asked for could stand anywhere.
_UNSURE_BYTES = 2
# How far behind its key a value is looked for, in characters.
_REACH = 120
_KEYED = ("key", "bar", "item", "cell")
_CLOSING = ":.,;)"


@dataclass(frozen=True, slots=True)
class Place:
    """A run of characters on a page, by their number in reading order."""

    start: int
    end: int


class Print:
    """A page's characters, and the token that each of them is seen in."""

    def __init__(
        self, picture: Picture, columns: int, scale_x: float, scale_y: float, first_token: int
    ) -> None:
        glyphs = picture.glyphs
        self._text = "".join(glyph.char for glyph in glyphs)
        self._begins = [glyph.begins_word for glyph in glyphs]
        self._tokens = [first_token + _cell(glyph, columns, scale_x, scale_y) for glyph in glyphs]

    def find(self, text: str, after: int = 0) -> list[Place]:
        """Where these words are printed, whole, spaces aside."""
        sought = text.replace(" ", "")
        places: list[Place] = []
        start = self._text.find(sought, after) if sought else -1
        while start >= 0:
            end = start + len(sought)
            if self._begins[start] and self._ends_word(end):
                places.append(Place(start, end))
            start = self._text.find(sought, start + 1)
        return places

    def token(self, number: int) -> int:
        return self._tokens[number]

    def tokens(self, place: Place) -> list[int]:
        """Each once, in order."""
        return list(dict.fromkeys(self._tokens[place.start : place.end]))

    def _ends_word(self, end: int) -> bool:
        while end < len(self._text) and self._text[end] in _CLOSING:
            end += 1
        return end == len(self._text) or self._begins[end]


def _cell(glyph: Glyph, columns: int, scale_x: float, scale_y: float) -> int:
    x, y = glyph.x * scale_x / CELL_PIXELS, glyph.y * scale_y / CELL_PIXELS
    return int(y) * columns + min(columns - 1, max(0, int(x)))


@dataclass(frozen=True, slots=True)
class Point:
    """What a token should look at: any of these."""

    query: int
    targets: tuple[int, ...]


def answer_points(answer: str, first_token: int, prints: Sequence[Print]) -> Iterator[Point]:
    """For each printed byte of an answer, from the token before it to the cells that show it.

    What of a sentence or a call is not printed points nowhere.
    """
    if answer == ABSENT_ANSWER:
        return
    begins_line = 0
    for line in answer.split("\n"):
        for start, end in _printed_runs(line, prints):
            found = [(page, at) for page in prints for at in page.find(line[start:end])]
            if len(found) > _MOST_PLACES:
                continue
            before = first_token + len(encode(answer[: begins_line + start])) - 1
            printed = 0
            for char in line[start:end]:
                after = before + len(char.encode())
                if char != " ":
                    targets = tuple({page.token(at.start + printed) for page, at in found})
                    yield from (Point(query, targets) for query in range(before, after))
                    printed += 1
                before = after
        begins_line += len(line) + 1


def _printed_runs(line: str, prints: Sequence[Print]) -> list[tuple[int, int]]:
    """The whole line where it is printed, else its longest printed runs of words."""
    if any(page.find(line) for page in prints):
        return [(0, len(line))]
    words = [match.span() for match in re.finditer(r"[^\s\"{}]+", line)]
    return list(_longest_runs(line, words, prints))


def _longest_runs(
    line: str, words: Sequence[tuple[int, int]], prints: Sequence[Print]
) -> Iterator[tuple[int, int]]:
    for length in range(len(words), 0, -1):
        for first in range(len(words) - length + 1):
            start, end = words[first][0], words[first + length - 1][1]
            while end > start and line[end - 1] in _CLOSING:
                end -= 1
            run = line[start:end]
            if len(run) >= _LEAST_RUN and any(page.find(run) for page in prints):
                yield from _longest_runs(line, words[:first], prints)
                yield start, end
                yield from _longest_runs(line, words[first + length :], prints)
                return


def question_points(
    question: str, first_token: int, pictures: Sequence[Picture], prints: Sequence[Print]
) -> Iterator[Point]:
    """For each byte of a printed name that is asked about, the cells that show it.

    The first bytes of a name could stand anywhere.
    """
    lowered = question.lower()
    for picture, page in zip(pictures, prints, strict=True):
        for name in sorted(_names(picture)):
            start = lowered.find(name.lower())
            if start < 0 or len(name) < _LEAST_RUN or len(places := page.find(name)) != 1:
                continue
            first = first_token + len(encode(question[:start]))
            printed = 0
            for index, char in enumerate(name):
                if char == " ":
                    continue
                if printed >= _UNSURE_BYTES:
                    offset = len(name[:index].encode())
                    yield Point(first + offset, (page.token(places[0].start + printed),))
                printed += 1


def _names(picture: Picture) -> set[str]:
    facts = picture.facts
    return {name for fact in facts.known for name in fact.names} | {name for name, _ in facts.items}


def key_points(picture: Picture, page: Print) -> tuple[list[Point], list[Point]]:
    """For each cell of a value: the cells of its key or its row's name, and of its column's head.

    Those before it alone: nothing that comes later can be looked at.
    """
    beside: list[Point] = []
    above: list[Point] = []
    items = (Fact("item", (name,), amount) for name, amount in picture.facts.items)
    for fact in (*picture.facts.known, *items):
        if fact.task not in _KEYED or len(names := page.find(fact.names[0])) != 1:
            continue
        values = [v for v in page.find(fact.value, names[0].end) if v.start - names[0].end < _REACH]
        if not values:
            continue
        beside += _points(page, values[0], names[0])
        if fact.task == "cell" and len(heads := page.find(fact.names[1])) == 1:
            above += _points(page, values[0], heads[0])
    return beside, above


def _points(page: Print, value: Place, name: Place) -> Iterator[Point]:
    targets = page.tokens(name)
    for query in page.tokens(value):
        if earlier := tuple(target for target in targets if target < query):
            yield Point(query, earlier)
