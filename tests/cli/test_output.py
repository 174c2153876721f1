"""Standard output, and the encoding of what it is given."""

from __future__ import annotations

import io
import json
import sys

import pytest

from cortex.cli.output import standard_output


class Paper(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("encoding", ["iso-8859-1", "euc_jp", "ascii"])
def test_programs_and_files_get_utf8_whatever_the_locale_is(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe := io.BytesIO(), encoding=encoding))
    output = standard_output()
    output.text("\u65e5\u672c gr\u00fc\u00dfe\n")
    output.json({"answer": "\u65e5\u672c gr\u00fc\u00dfe"})
    text, told = pipe.getvalue().decode().splitlines()
    assert text == "\u65e5\u672c gr\u00fc\u00dfe"
    assert json.loads(told)["answer"] == text


def test_a_terminal_is_written_to_in_the_encoding_of_its_locale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(paper := Paper(), encoding="iso-8859-1"))
    standard_output().text("\u65e5 gr\u00fc\u00dfe")
    assert paper.getvalue() == b"? gr\xfc\xdfe"
