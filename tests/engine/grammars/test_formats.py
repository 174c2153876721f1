"""Texts that are of a format, and texts that are not."""

from __future__ import annotations

import re

import pytest

from cortex.engine.grammars.formats import FORMATS

GOOD = {
    "date": ["2026-11-23", "2024-02-29", "2000-02-29", "1999-04-30"],
    "time": ["00:00:00Z", "23:59:59.123456+14:00"],
    "date-time": ["2026-11-23T00:12:25Z", "2026-11-23T00:12:25.5-08:00"],
    "duration": ["P1D", "PT5S", "P1Y2M3DT4H5M6S", "P1M", "PT1M", "P3W", "P1YT1H"],
    "email": ["a@b.ch", "first.last+tag@sub.example.org", "o'neil@localhost"],
    "hostname": ["localhost", "a-b.example.org", "3com.com", "x" * 63 + ".y"],
    "ipv4": ["0.0.0.0", "255.249.199.99"],
    "ipv6": [
        "::",
        "::1",
        "1::",
        "fe80::1:2",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::ffff:1.2.3.4",
        "::1.2.3.4",
        "64:ff9b::1.2.3.4",
        "1:2:3:4:5::1.2.3.4",
        "1::2:3:4:5:1.2.3.4",
        "1:2:3:4:5:6:1.2.3.4",
    ],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000"],
    "uri": [
        "https://a.org:13131/b%20c?d=e/f#g",
        "mailto:a@b.ch",
        "urn:isbn:1",
        "http://a.org",
        "file:///etc/x",
        "file:/etc/x",
        "https://user:word@host/x",
        "http://[::1]/",
        "http://[1::]:80",
        "https://a_b.com/",
    ],
}
BAD = {
    "date": ["2026-13-01", "2026-02-29", "1900-02-29", "2026-04-31", "26-1-1", "2026-11-23 "],
    "time": ["24:00:00Z", "12:60:00Z", "12:00:00", "12:00Z", "12:00:00.Z"],
    "date-time": ["2026-11-23", "2026-11-23 00:12:25Z", "2026-02-30T00:00:00Z"],
    "duration": ["P", "PT", "P1", "P1YT", "P1Y2D", "P1H", "P1W2D"],
    "email": ["a", "@b", "a@", "a..b@c", ".a@b", "a@b@c", "x" * 65 + "@b"],
    "hostname": ["", "-a", "a-", "a..b", "x" * 64, ".".join(["x" * 63] * 4), "a b"],
    "ipv4": ["256.0.0.1", "1.2.3", "01.2.3.4", "1.2.3.4.5"],
    "ipv6": [
        ":",
        "1",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "g::",
        "1:2:3:4:5:6:7:8::",
        "1:1.2.3.4",
        "1:2:3:4:5:6:7:1.2.3.4",
        "1:2:3:4:5:6::1.2.3.4",
        "1::2::1.2.3.4",
        "1.2.3.4::",
    ],
    "uuid": ["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"],
    "uri": [
        "a",
        "//a.org",
        "http://a b",
        "http://a.org:99999",
        "1a:b",
        "a:%zz",
        "http://[1]/",
        "http://a@b@c",
    ],
}


def is_of(form: str, text: str) -> bool:
    return all(re.fullmatch(expression, text) for expression in FORMATS[form])


@pytest.mark.parametrize("form", FORMATS)
def test_texts_of_a_format_are_known_from_others(form: str):
    assert [text for text in GOOD[form] if not is_of(form, text)] == []
    assert [text for text in BAD[form] if is_of(form, text)] == []
