"""One JSON object of a config.json, read so that nothing in it goes unnoticed.

Every field is taken by the architecture, known to be without effect on inference, or an error that
names it: a model is served exactly or not at all. Knows no architecture's fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from ..errors import ModelInvalid

# Without effect on inference: training, bookkeeping, and defaults other libraries write out.
_WITHOUT_EFFECT = frozenset({
    "_attn_implementation_autoset", "_name_or_path", "architectures", "attention_dropout",
    "bos_token_id", "chunk_size_feed_forward", "dtype", "eos_token_id", "id2label",
    "initializer_range", "is_encoder_decoder", "label2id", "model_name", "model_type",
    "output_attentions", "output_hidden_states", "pad_token_id", "problem_type", "return_dict",
    "sep_token_id", "torch_dtype", "transformers_version", "unsloth_fixed", "unsloth_version",
    "use_cache",
    "max_position_embeddings",  # whoever offers the model reads its context from there
})  # fmt: skip
_MAX_SHOWN_CHARS = 100
_TAKE_OUT = "take the field out of config.json if you know that it changes nothing."


class ConfigFields:
    """Every field is taken once, and what remains when all is read is an error."""

    def __init__(self, where: str, fields: Mapping[str, Any]) -> None:
        """`where` names the object in errors: the file's path, and the place inside it."""
        self.where = where
        self._fields = dict(fields)

    def take(self, name: str, *default: Any) -> Any:
        """The value; null counts as absent where there is a default."""
        if self._fields.get(name) is None and default:
            self._fields.pop(name, None)
            return default[0]
        if name not in self._fields:
            raise ModelInvalid(f"{self.where} has no field {name!r}.")
        return self._fields.pop(name)

    def take_int(self, name: str, *default: int) -> int:
        value = self.take(name, *default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.refuse(name, value)
        return value

    def take_number(self, name: str, *default: float) -> float:
        value = self.take(name, *default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            self.refuse(name, value)
        return float(value)

    def take_flag(self, name: str, default: bool) -> bool:
        value = self.take(name, default)
        if not isinstance(value, bool):
            self.refuse(name, value)
        return value

    def take_object(self, name: str, *default: Any) -> dict[str, Any] | None:
        value = self.take(name, *default)
        if value is not None and not isinstance(value, dict):
            self.refuse(name, value)
        return cast("dict[str, Any] | None", value)

    def take_list(self, name: str, *default: Any) -> list[Any] | None:
        value = self.take(name, *default)
        if value is not None and not isinstance(value, list):
            self.refuse(name, value)
        return cast("list[Any] | None", value)

    def take_id(self, name: str, vocab_size: int) -> int | None:
        value = self.take(name, None)
        if value is not None and not (type(value) is int and 0 <= value < vocab_size):
            self.refuse(name, value)
        return value

    def expect(self, name: str, *allowed: Any) -> None:
        """A field that only has these values we can serve; the first is what absence means."""
        value = self._fields.pop(name, allowed[0])
        if value not in allowed:
            self.refuse(name, value)

    def refuse(self, name: str, value: Any, hint: str = "use a checkpoint without it.") -> NoReturn:
        told = json.dumps(value)
        shown = told if len(told) <= _MAX_SHOWN_CHARS else f"{told[:_MAX_SHOWN_CHARS]}…"
        raise ModelInvalid(
            f"{self.where}: {name} = {shown} is not something this engine can serve.",
            f"cortex serves a model exactly or not at all; {hint}",
        )

    def done(self, *without_effect: str) -> None:
        """Refuse what is left, but for what has no effect, here or in any architecture."""
        for name in ("quantization_config", "quantization"):  # the second is MLX's
            if self._fields.pop(name, None):
                raise ModelInvalid(
                    f"{self.where}: the weights are quantised ({name}).",
                    "use a checkpoint with bfloat16, float16 or float32 weights.",
                )
        for name, value in self._fields.items():
            if name not in _WITHOUT_EFFECT and name not in without_effect:
                self.refuse(name, value, _TAKE_OUT)
