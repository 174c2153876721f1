"""API keys as they stand in cortex.toml: a hash, or a table with a name, a hash and limits.

A key itself never stands there: whoever reads the file, or a backup of it, could use it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

from cortex.peer.keys.access import ApiKey, read_hash, spell_hash

from .kinds import BadValue, Kind

_FIELDS = ("name", "hash", "max_concurrent", "requests_per_minute", "tokens_per_minute")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_EXPECTED = 'a list of hashes such as ["sha256:…"], or of tables {name = "…", hash = "sha256:…"}'
_MAKE_ONE = "make a key and the entry to write here with: cortex config new-key"


def api_keys(*, is_admin: bool) -> Kind:
    def read(value: object, _: Path) -> tuple[ApiKey, ...]:
        if not isinstance(value, list):
            raise BadValue(_EXPECTED, is_secret=True)
        entries = cast(list[object], value)
        keys = [_read_key(entry, number, is_admin) for number, entry in enumerate(entries, 1)]
        if len({key.digest for key in keys}) < len(keys):
            raise BadValue("each key once; the same hash stands there twice", is_secret=True)
        return tuple(keys)

    return Kind(_EXPECTED, read, lambda keys: json.dumps([key.name for key in keys]))


def is_name(text: str) -> bool:
    """Whether this may be a key's name: it is logged, and stands in errors."""
    return _NAME.fullmatch(text) is not None


def spell_entry(key: ApiKey) -> str:
    """What stands for the key in a list of cortex.toml."""
    return f'{{ name = "{key.name}", hash = "{spell_hash(key.digest)}" }}'


def _read_key(entry: object, number: int, is_admin: bool) -> ApiKey:
    fields = {"hash": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, dict):
        raise BadValue(_EXPECTED, is_secret=True)
    plain = cast(dict[str, object], fields)
    for field in plain:
        if field not in _FIELDS:
            raise BadValue(f"only {', '.join(_FIELDS)} in entry {number}", is_secret=True)
    return ApiKey(
        _read_name(plain, number, is_admin),
        _read_digest(plain.get("hash"), number),
        is_admin,
        _read_limit(plain, "max_concurrent", number),
        _read_limit(plain, "tokens_per_minute", number),
        _read_limit(plain, "requests_per_minute", number),
    )


def _read_name(plain: dict[str, object], number: int, is_admin: bool) -> str:
    name = plain.get("name", f"{'admin-' if is_admin else ''}key-{number}")
    if not isinstance(name, str) or not is_name(name):
        expected = "a name of letters, digits, '.', '_' and '-', 64 at most"
        raise BadValue(f"{expected}, in entry {number}", is_secret=True)
    return name


def _read_digest(value: object, number: int) -> bytes:
    digest = read_hash(value) if isinstance(value, str) else None
    if digest is None:
        raise BadValue(
            f'a hash, "sha256:" and 64 hexadecimal digits, in entry {number}; a key in plain text'
            " is not taken",
            _MAKE_ONE,
            is_secret=True,
        )
    return digest


def _read_limit(plain: dict[str, object], field: str, number: int) -> int | None:
    value = plain.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadValue(f"a whole number from 1 for {field} in entry {number}", is_secret=True)
    return value
