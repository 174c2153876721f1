"""The key of a peer that others can reach and that nobody gave any keys.

Its hash is kept with the peer's state, so that the key is made once and shown once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cortex.peer.keys.access import ApiKey, digest_of, make_key, read_hash, spell_hash
from cortex.peer.private_file import next_step, write_private

from .errors import ConfigProblem

_NAME = "api-key"
_ELSEWHERE = "name a folder of your own with --state-dir, or set [api] keys in cortex.toml"


@dataclass(frozen=True, slots=True)
class FirstKey:
    """`text` is the key itself where it has just been made: it is known at no other time."""

    key: ApiKey
    file: Path
    text: str | None = None


def first_key(state_dir: Path, random_bytes: bytes) -> FirstKey:
    """The one that is kept, else a new one.

    Raises ConfigProblem where none can be read or kept.
    """
    path = state_dir / _NAME
    try:
        kept = path.read_text(encoding="utf-8") if path.exists() else None
        if kept is not None:
            return FirstKey(_read(path, kept), path)
        text = make_key(random_bytes)
        key = ApiKey("first", digest_of(text))
        write_private(path, f"{spell_hash(key.digest)}\n")
        return FirstKey(key, path, text)
    except (OSError, UnicodeDecodeError) as error:
        what, hint = "not UTF-8", _ELSEWHERE
        if isinstance(error, OSError):
            what, hint = error.strerror, next_step(error, path, _ELSEWHERE)
        raise ConfigProblem(f"cannot keep an API key in {path}: {what}", hint) from None


def has_first_key(state_dir: Path) -> bool:
    """Whether there is one that we may see."""
    return os.path.exists(state_dir / _NAME)


def _read(path: Path, kept: str) -> ApiKey:
    digest = read_hash(kept)
    if digest is None:
        raise ConfigProblem(f"{path} holds no hash of a key", "remove it: another key is made then")
    return ApiKey("first", digest)
