"""What the README says of the objects that `--json` prints, against what is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cortex.cli.model_table import as_json
from cortex.cli.service.wording import told
from cortex.peer.types import ModelInfo, Whereabouts

Cortex = Callable[..., Any]
README = Path(__file__).parents[2] / "README.md"


def named_in_the_row_of(command: str) -> set[str]:
    """All names that the table has for a command, but for the words that a value may be."""
    row = re.search(rf"^\| `cortex {command}` \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE)
    assert row is not None, command
    fields = re.sub(r"\([^)]*\)", "", row[1])
    return set(re.findall(r"`(\w+)`", fields))


def names_in(value: Any) -> set[str]:
    """Those of an object, and of the first object in each of its lists."""
    if isinstance(value, list):
        first = cast(list[Any], value)[:1]
        return names_in(first[0]) if first else set()
    if not isinstance(value, dict):
        return set()
    told = cast(dict[str, Any], value)
    return set(told).union(*(names_in(one) for one in told.values() if isinstance(one, list)))


@pytest.mark.parametrize("command", ["doctor", "config show"])
def test_the_readme_names_every_field_that_is_printed(cortex_here: Cortex, command: str) -> None:
    printed = json.loads(cortex_here(*command.split(), "--json").stdout)
    assert names_in(printed) - {"schema"} == named_in_the_row_of(command)


def test_the_readme_names_every_field_of_models(cortex_here: Cortex) -> None:
    printed = json.loads(cortex_here("models", "--json").stdout)
    somewhere = ModelInfo("m", None, ("text",), 8, 7, where=(Whereabouts("atlas", "cold", 2.0),))
    fields = names_in(printed) | names_in(as_json(somewhere))
    assert fields - {"schema"} == named_in_the_row_of("models")


def test_the_readme_names_every_field_of_a_service() -> None:
    assert {"unit", "file", "renew", *told({})} == named_in_the_row_of("service status")
