"""docs/config.md: every setting, what it takes and what it is where nobody sets it. Made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cortex.peer.config import Locations, PeerConfig

from .origins import field_of
from .sections import SECTIONS, OfOptions, Setting

_HEAD = """\
# Settings

`cortex.toml` is looked for in this order, and the first one found is read alone: `--config FILE`,
`$CORTEX_CONFIG`, `./cortex.toml`, `$XDG_CONFIG_HOME/cortex/cortex.toml`, `/etc/cortex/cortex.toml`.
An option goes before its name in the environment, that before the file, and the file before the
default. Relative paths begin at the file's folder. What cannot be taken is an error that names the
file, the line, the setting and its value. This page is made by `make generated`.

```toml
{example}```

`models.toml` beside it gives models further names. Agents whose pickers show only ids of a certain
beginning find them by such a name; a reply repeats the name that was asked for:

```toml
[[models]]
id = "qwen3.5-4b"
aliases = ["claude-qwen", "gpt-4o"]
```

`[[neurons]]` are peers that are tried for ever, as those of `[fleet] join` are. An endpoint is the
address of a fleet port, or the URL of an API, which is asked where its fleet port is.

Only hashes of API keys stand in the file. `cortex config new-key` makes a key and its line; with
`--admin` one that also opens `GET /requests`, `DELETE /requests/ID` and `POST /drain` to others
than programs of the peer's own machine. An entry is a hash, or a table with limits of its own:
`{{ name = "ci", hash = "sha256:…", max_concurrent = 4, tokens_per_minute = 100000 }}`.
"""
EXAMPLE = """\
[peer]
name = "beast"
listen = "0.0.0.0:13131"

[fleet]
join = ["atlas.internal:13132"]

[[neurons]]
name = "borea"
endpoint = "http://192.168.1.21:13131"

[engine]
threads = 8

[api]
max_concurrent = 8
cors_origins = ["https://chat.example.com"]
"""


# The options of commands, by the command's name and the parameter's.
Options = Mapping[str, Mapping[str, Any]]


def reference(options: Options) -> str:
    """The page."""
    return _HEAD.format(example=EXAMPLE) + "".join(
        _section(name, settings, options) for name, settings in SECTIONS.items()
    )


def _section(name: str, settings: Mapping[str, Setting], options: Options) -> str:
    rows = "".join(_row(key, setting, options) for key, setting in settings.items())
    return f"\n## [{name}]\n\n| setting | what it is | takes | default |\n|---|---|---|---|\n{rows}"


def _row(key: str, setting: Setting, options: Options) -> str:
    cells = (f"`{key}`", setting.says, setting.kind.words, _default(setting, options))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _default(setting: Setting, options: Options) -> str:
    if isinstance(setting, OfOptions):
        return ", ".join(_names(setting, options))
    default = field_of(PeerConfig(Locations(Path(), Path())), setting)
    return "none" if default in (None, ()) else f"`{setting.kind.show(default)}`"


def _names(setting: OfOptions, options: Options) -> Iterator[str]:
    for name in setting.options:
        option = options[(setting.commands or ("peer",))[0]][name]
        long = next(one for one in option.opts if one.startswith("--"))
        yield f"that of `{long}` (`{option.envvar}`)"
