"""Where what is compiled is kept, in homes that are nobody's as well."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cortex.cli.config import compiled_dir, keep_compiled
from cortex.peer.locations import Locations


def test_what_is_compiled_lies_with_the_state_where_nothing_can_be_written_in_the_cache(
    tmp_path: Path,
) -> None:
    (tmp_path / "closed").touch(mode=0o600)  # no folder: not even root writes below it
    state_dir = tmp_path / "state"
    for cache_dir, kept_in in (
        (tmp_path / "cache" / "cortex", tmp_path / "cache" / "cortex"),
        (tmp_path / "closed" / "cortex", state_dir),
        (None, state_dir),
    ):
        assert Locations(tmp_path, state_dir, cache_dir=cache_dir).compiled_dir == kept_in


def test_where_it_is_kept_is_for_whoever_starts_a_peer_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"CUDA_CACHE_PATH": "/theirs", "TRITON_CACHE_DIR": "", "TRITON_HOME": ""}
    monkeypatch.setattr(os, "environ", environment)
    locations = Locations(tmp_path, tmp_path / "state")
    assert compiled_dir(locations) == tmp_path / "state"
    keep_compiled(locations)
    ours = str(tmp_path / "state" / "triton")
    assert environment == {
        "CUDA_CACHE_PATH": "/theirs", "TRITON_CACHE_DIR": ours, "TRITON_HOME": ""
    }  # fmt: skip
    assert compiled_dir(locations) == tmp_path / "state" / "triton"


def test_where_triton_has_a_home_it_keeps_what_it_compiles_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"TRITON_HOME": "/theirs", "CUDA_CACHE_PATH": ""}
    monkeypatch.setattr(os, "environ", environment)
    locations = Locations(tmp_path, tmp_path / "state")
    keep_compiled(locations)
    ours = str(tmp_path / "state" / "cuda")
    assert environment == {"TRITON_HOME": "/theirs", "CUDA_CACHE_PATH": ours}
    assert compiled_dir(locations) == Path("/theirs/.triton/cache")
