"""A product is computed our way where that was measured to be quicker, and measured once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cortex.engine.kernels.gpu.choosing import (
    MEASURED_ROWS,
    Shape,
    Times,
    TimesFile,
    rows_for_ours,
)

SHAPE = Shape(4096, 1024)


class Clock:
    """Our way takes 8 us, the library's 5 and one more for each row."""

    def __init__(self) -> None:
        self.measured: list[int] = []

    def __call__(self, rows: int) -> Times:
        self.measured.append(rows)
        return Times(5.0 + rows, 8.0)


def test_our_way_is_taken_where_it_is_quicker_and_between() -> None:
    times = {"1": Times(10, 9), "2": Times(9, 10), "4": Times(10, 5), "8": Times(5, 5)}

    assert rows_for_ours(times) == {1, 3, 4}


def test_a_hair_quicker_is_not_quicker() -> None:
    assert rows_for_ours({"1": Times(10.0, 9.8)}) == frozenset()


def test_what_was_not_measured_is_the_librarys() -> None:
    assert rows_for_ours({}) == frozenset()
    assert rows_for_ours({"16": Times(10.0, 5.0)}) == frozenset(range(9, 17))


def test_a_shape_is_measured_once_on_a_machine(tmp_path: Path) -> None:
    clock = Clock()
    times = TimesFile(tmp_path / "kernels", ("a GPU", "2.13"))

    first = times.times(SHAPE, clock)
    again = TimesFile(tmp_path / "kernels", ("a GPU", "2.13")).times(SHAPE, clock)

    assert clock.measured == list(MEASURED_ROWS)
    assert again == first
    assert rows_for_ours(first) == frozenset(range(3, 17))


@pytest.mark.parametrize("other", [("another GPU", "2.13"), ("a GPU", "2.14"), ("a GPU2.13",)])
def test_another_device_or_library_is_measured_anew(tmp_path: Path, other: tuple[str, ...]) -> None:
    TimesFile(tmp_path, ("a GPU", "2.13")).times(SHAPE, Clock())
    clock = Clock()

    TimesFile(tmp_path, other).times(SHAPE, clock)

    assert clock.measured == list(MEASURED_ROWS)


def test_another_shape_is_measured_beside_those_kept(tmp_path: Path) -> None:
    times = TimesFile(tmp_path, ())
    times.times(SHAPE, Clock())
    times.times(Shape(1024, 4096), Clock())
    clock = Clock()

    for shape in (SHAPE, Shape(1024, 4096)):
        TimesFile(tmp_path, ()).times(shape, clock)

    assert clock.measured == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"4096x1024": {"1": 3}}', b'{"4096x1024": {"1": {}}}',
     b'{"4096x1024": {"1": {"library_us": 1.0, "ours_us": 2.0}}}'],
)  # fmt: skip
def test_a_corrupted_file_is_ignored_and_written_anew(tmp_path: Path, content: bytes) -> None:
    TimesFile(tmp_path, ()).times(SHAPE, Clock())
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(content)

    times = TimesFile(tmp_path, ()).times(SHAPE, Clock())

    assert times["1"] == Times(6.0, 8.0)
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_a_measurement(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "kernels"
    in_the_way.write_text("a file")
    clock = Clock()

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            TimesFile(in_the_way, ()).times(SHAPE, clock)

    assert clock.measured == [*MEASURED_ROWS, *MEASURED_ROWS]
    assert "is not kept" in caplog.text


def test_a_shape_whose_measurement_failed_is_the_librarys_until_the_next_load(
    tmp_path: Path,
) -> None:
    tried: list[int] = []

    def fails_in_the_end(rows: int) -> Times | None:
        tried.append(rows)
        return Times(2.0, 1.0) if len(tried) == 1 else None

    times = TimesFile(tmp_path, ())
    assert [times.times(SHAPE, fails_in_the_end) for _ in range(3)] == [{}, {}, {}]
    assert tried == list(MEASURED_ROWS[:2])

    times.times(Shape(1024, 4096), Clock())  # whose times are written
    clock = Clock()
    assert rows_for_ours(TimesFile(tmp_path, ()).times(SHAPE, clock)) == frozenset(range(3, 17))
    assert clock.measured == list(MEASURED_ROWS)
