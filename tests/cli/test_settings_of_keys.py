"""[keys] in cortex.toml: other keys for the dashboard, and what is refused of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cortex.cli.settings.reading import examine
from cortex.tui.keys import KEYS


def read(tmp_path: Path, text: str) -> tuple[dict[str, str], list[str]]:
    path = tmp_path / "cortex.toml"
    path.write_text(text)
    settings, problems = examine(path)
    words = [f"{problem.message} / {problem.hint}" for problem in problems]
    return dict(settings.keys), [word.replace(str(path), "FILE") for word in words]


@pytest.mark.parametrize(
    "text",
    [
        '[keys]\ntable.filter = "f"\napp.quit = ["Q", "ctrl+x"]\n',
        '[keys]\n"table.filter" = "f"\n"app.quit" = ["Q", "ctrl+x"]\n',
        '[keys.table]\nfilter = "f"\n[keys.app]\nquit = ["Q", "ctrl+x"]\n',
    ],
)
def test_a_key_may_be_spelt_in_any_way_that_toml_has(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == ({"table.filter": "f", "app.quit": "Q,ctrl+x"}, [])


def test_the_defaults_may_be_written_as_the_page_shows_them(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "config.md").read_text(encoding="utf-8")
    _, _, table = page.partition("<!-- made: keys -->")
    rows = re.findall(r"^\| `([a-z_.]+)` \|.*\| `(.+)` \|$", table.partition("<!-- end")[0], re.M)
    assert len(rows) == len(KEYS)
    lines = "".join(f"{id} = {default}\n" for id, default in rows)
    found, problems = read(tmp_path, f"[keys]\n{lines}")
    assert problems == []
    assert found == {id: use.key for id, use in KEYS.items()}


def test_one_key_may_do_one_thing_on_each_screen(tmp_path: Path) -> None:
    assert read(tmp_path, '[keys]\nlogs.follow = "F"\nmodels.pin = "F"\nplan.wait = "F"\n')[1] == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[keys]\n\ntable.fliter = "f"\n',
            "FILE line 3: [keys] has no action 'table.fliter' / did you mean table.filter?",
        ),
        ('[keys]\ntable.filter = "ff"\n', 'line 2: [keys] table.filter takes a key such as "f"'),
        ("[keys]\ntable.filter = 7\n", "or a list of them, not 7"),
        ("[keys]\ntable.filter = []\n", "or a list of them, not []"),
        (
            '[keys]\nlogs.wrap = "l"\nlogs.level = "l"\n',
            "FILE line 3: [keys] logs.level and logs.wrap have the same key, l",
        ),
        (
            '[keys]\ntable.filter = "f"\napp.quit = ["q", "f"]\n',
            "FILE line 3: [keys] app.quit and table.filter have the same key, f",
        ),
        ('keys = "f"\n', "FILE line 1: 'keys' is a section / write [keys]"),
    ],
)
def test_what_is_no_action_or_no_key_is_named_with_its_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    _, [said] = read(tmp_path, text)
    assert problem in said
