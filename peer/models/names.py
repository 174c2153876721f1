"""Which model a name means: an id, an alias of one, or the model that answers for unknown names.

Pure: what models there are comes in. A model's own id goes before an alias of the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from ..types import ModelInfo


class _Named(Protocol):
    @property
    def id(self) -> str: ...


M = TypeVar("M", bound=_Named)


def _no_aliases() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class ModelNames:
    """`aliases` leads from an alias to a model's id; `default` is an id or an alias."""

    aliases: Mapping[str, str] = field(default_factory=_no_aliases)
    default: str | None = None

    def meant_by(self, name: str, models: Sequence[M]) -> M | None:
        """The model of that id or alias, or None."""
        known = {model.id: model for model in models}
        return known.get(name) or known.get(self.aliases.get(name, ""))

    def for_unknown(self, models: Sequence[M]) -> M | None:
        """The model that answers for names that mean none, where there is one."""
        return None if self.default is None else self.meant_by(self.default, models)

    def listed(self, models: Sequence[ModelInfo]) -> Iterator[ModelInfo]:
        """The models, and behind them each alias as a model of its own."""
        yield from models
        known = {model.id: model for model in models}
        for alias, model_id in self.aliases.items():
            if alias not in known and model_id in known:
                yield replace(known[model_id], id=alias)
