"""Options that belong together: fields of one value, spread over the parameters of commands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints


def spread(command: Callable[..., object]) -> Callable[..., object]:
    """The command as typer reads it: where a parameter is a value of options stand its fields."""
    signature = inspect.signature(command, eval_str=True)
    parameters = signature.parameters.values()
    groups: dict[str, Any] = {
        each.name: each.annotation for each in parameters if is_dataclass(each.annotation)
    }
    flat = [one for each in parameters for one in _spread(each)]

    @functools.wraps(command)
    def called(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{each.name: values.pop(each.name) for each in fields(kind)})
        command(**values)

    typed: Any = called
    typed.__signature__ = signature.replace(parameters=flat)
    typed.__annotations__ = {each.name: each.annotation for each in flat}
    return called


def _spread(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    kind = parameter.annotation
    if not is_dataclass(kind):
        return [parameter]
    hints = get_type_hints(kind, include_extras=True)
    return [
        parameter.replace(name=each.name, default=each.default, annotation=hints[each.name])
        for each in fields(kind)
    ]
