"""A model's chat template: messages to the one string that the model reads.

Templates come with the weights and are run in jinja's sandbox, with the filters and functions that
published templates rely on. The clock is the request's, and knows no zone, so that a prompt is the
same wherever it is made. Knows nothing of tokens, of requests, or of who wrote what it renders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, cast

import jinja2
from jinja2 import meta

from .errors import InvalidRequest, ModelInvalid
from .model_files import read_json_object
from .sandbox import Sandbox

_OURS = frozenset({"messages", "tools", "strftime_now", "raise_exception"})


class ChatTemplate:
    """A compiled template. `variables` are the names it may use besides the request's.

    `names` are all that it looks up when it is rendered.
    """

    def __init__(self, source: str, variables: Mapping[str, str], origin: str) -> None:
        """Compile.

        Raises ModelInvalid, naming `origin`, for a template that is not one.
        """
        environment = Sandbox(
            _to_json,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols"],
        )
        self.source = source
        self.variables = dict(variables)
        try:
            self._template = environment.from_string(source)
            self.names = frozenset(meta.find_undeclared_variables(environment.parse(source)))
        except (jinja2.TemplateError, RecursionError) as error:
            raise ModelInvalid(f"{origin}: not a chat template: {error}") from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        now_s: int,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt, ending where the answer begins unless `options` say otherwise.

        Raises InvalidRequest with the template's own words where it refuses the messages.
        """
        options = options or {}
        if taken := sorted(_OURS & options.keys()):
            raise InvalidRequest(f"chat_template_kwargs may not hold {taken[0]!r}")
        variables = {**self.variables, "add_generation_prompt": True, **options}
        try:
            clock = datetime.fromtimestamp(now_s, UTC).replace(tzinfo=None)
            return self._template.render(
                {
                    **variables,
                    "messages": messages,
                    "tools": list(tools) or None,
                    "strftime_now": clock.strftime,
                    "raise_exception": _raise_exception,
                }
            )
        except jinja2.TemplateError as error:
            raise _refused(str(error.message)) from error
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise _refused(type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class NoTemplate:
    """Of a folder that has none: what a template's `variables` would be."""

    variables: Mapping[str, str]


def read_template(model_dir: Path) -> ChatTemplate:
    """As `find_template`. Raises ModelInvalid where there is none, too."""
    found = find_template(model_dir)
    if isinstance(found, NoTemplate):
        raise ModelInvalid(
            f"{model_dir} has no chat template",
            "it needs a chat_template.jinja, or chat_template in tokenizer_config.json",
        )
    return found


def find_template(model_dir: Path) -> ChatTemplate | NoTemplate:
    """The template of a model folder, from its own file or from tokenizer_config.json.

    Models that were not trained to talk have none. Raises ModelInvalid for one that is no template.
    """
    config_path = model_dir / "tokenizer_config.json"
    config = read_json_object(config_path) if config_path.exists() else {}
    variables = {
        name: content
        for name, value in config.items()
        if name.endswith("_token") and (content := _token_content(value)) is not None
    }
    path = model_dir / "chat_template.jinja"
    if path.exists():
        return ChatTemplate(path.read_text(encoding="utf-8"), variables, str(path))
    source = _default_template(config.get("chat_template"))
    if source is None:
        return NoTemplate(variables)
    return ChatTemplate(source, variables, str(config_path))


def _default_template(value: Any) -> str | None:
    """A template's text; some files list several by name."""
    if isinstance(value, list):
        named = {e.get("name"): e.get("template") for e in cast(list[dict[str, Any]], value)}
        value = named.get("default")
    return value if isinstance(value, str) else None


def _token_content(value: Any) -> str | None:
    """A token as tokenizer_config.json names it: its text, or an object around that."""
    if isinstance(value, dict):
        value = cast(dict[str, Any], value).get("content")
    return value if isinstance(value, str) else None


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As templates expect it: jinja's own filter would escape for HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"the model's chat template refuses these messages: {reason}", param="messages"
    )
