"""[keys] in cortex.toml: other keys for the dashboard, and what is refused of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.cli.settings.reading import examine


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
