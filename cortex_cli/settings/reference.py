"""docs/config.md: every setting, what it takes and what it is where nobody sets it. Made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cortex.peer.config import Locations, PeerConfig
from cortex.tui.keys import KEYS

from .models_file import MODEL_SETTINGS
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

What is marked * is taken up by a running peer when the file changes, or at SIGHUP; for the rest its
log says that it needs a restart. A file that cannot be taken changes nothing, which the log and
`cortex status` tell. `cortex config show` tells each value and where it came from, `cortex config
path` which files are read, and `cortex config validate` all that is wrong with them.

`[[neurons]]` are peers that are tried for ever, as those of `[fleet] join` are. An endpoint is the
address of a fleet port, or the URL of an API, which is asked where its fleet port is.

Only hashes of API keys stand in the file. `cortex config new-key` makes a key and its line; with
`--admin` one that also opens `GET /requests`, `DELETE /requests/ID` and `POST /drain` to others
than programs of the peer's own machine. An entry is a hash, or a table with limits of its own:
`{{ name = "ci", hash = "sha256:…", max_concurrent = 4, requests_per_minute = 60,
tokens_per_minute = 100000 }}`. Where others may ask too (`anonymous`), all of them together have
what one key may use; the last place is kept for those with a key, who go first where requests wait.
"""
_KEYS = """
## [keys]

Other keys for what the dashboard does, `cortex tui`: a key, or a list of them, as `"f"`, `"?"`,
`"ctrl+f"`, `"f5"` or `"space"`.

| setting | what it does | default |
|---|---|---|
"""
_MODELS = """
## models.toml

It lies beside `cortex.toml`. Models that lie in a folder of models need no entry; an entry says
more of one. All of it is taken up by a running peer, from the model's next load on where it is
about that; only `preload` waits for the next start. Agents whose pickers show only ids of a certain
beginning find a model by an alias; a reply repeats the name that was asked for:

```toml
[[models]]
id = "qwen3.5-4b"
aliases = ["claude-qwen", "gpt-4o"]
pinned = ["beast"]
```

| setting | what it is | takes |
|---|---|---|
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
    sections = (_section(name, settings, options) for name, settings in SECTIONS.items())
    models = (_cells(f"`{key}`", one.says, one.kind.words) for key, one in MODEL_SETTINGS.items())
    keys = (_cells(f"`{id}`", use.says, f'`"{use.key}"`') for id, use in KEYS.items())
    parts = (*sections, _KEYS, *keys, _MODELS, *models)
    return _HEAD.format(example=EXAMPLE) + "".join(parts)


def _section(name: str, settings: Mapping[str, Setting], options: Options) -> str:
    rows = "".join(_row(key, setting, options) for key, setting in settings.items())
    return f"\n## [{name}]\n\n| setting | what it is | takes | default |\n|---|---|---|---|\n{rows}"


def _row(key: str, setting: Setting, options: Options) -> str:
    name = f"`{key}`{' *' if setting.is_live else ''}"
    return _cells(name, setting.says, setting.kind.words, _default(setting, options))


def _cells(*cells: str) -> str:
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
