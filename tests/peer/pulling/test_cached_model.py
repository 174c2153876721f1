"""A pull of what other programs have fetched already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

Pull = Any


async def test_what_the_hugging_face_cache_holds_is_fetched_where_a_revision_is_named_alone(
    pulling: Pull, tmp_path: Path
) -> None:
    hub_dir = tmp_path / "hub"
    snapshot = hub_dir / "models--org--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name, data in pulling.hub.files.items():
        (snapshot / name).write_bytes(data)
    (snapshot / "README.md").unlink(missing_ok=True)
    (snapshot / "README.md").symlink_to(tmp_path / "gone")
    places = replace(pulling.config.locations, hub_dir=hub_dir)
    pulling.config = replace(pulling.config, locations=places)
    await pulling()
    assert pulling.hub.asked == [] and not pulling.goal.exists()
    assert (pulling.told[-1].stage, pulling.told[-1].total > 0) == ("checking", True)
    await pulling(revision="main")
    assert pulling.goal.is_dir()
