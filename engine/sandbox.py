"""Where chat templates run: jinja's sandbox, in which no single operation makes a huge text.

A few characters of a template could else multiply, pad or indent something into more than there is
memory. What grows piece by piece, in loops, is not held back here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sized
from inspect import unwrap
from string import Formatter
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.filters import do_center, do_format, do_indent
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MAX_PRODUCT_SIZE = 1_000_000
_MAX_PRODUCT_BITS = 1_000
_MAX_WIDTH = 1_000
# What makes a text as wide as a number says.
_WIDENING = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill"})
_FORMATTING = frozenset({"format", "format_map"})
# In a format of printf's: a width, or a number of digits, that is long or comes from elsewhere.
_WIDE_CONVERSION = re.compile(r"%(?:\([^)]*\))?[-#0 +]*\d*\.?(?:\*|\d{4,})")
# In one of str.format's, where `{` is another field within this one.
_WIDE_FIELD = re.compile(r"\{|\d{4,}")


class Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, to_json: Callable[..., str], **options: Any) -> None:
        super().__init__(**options)
        self.filters |= {
            "center": _bounded(do_center),
            "format": _format,
            "indent": _bounded(do_indent),
            "tojson": _bounded(to_json),
        }

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%":
            _check_conversions(left)
        elif _is_excessive(operator, left, right):
            raise SecurityError("it multiplies something into too much")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        method = unwrap(called)  # jinja has put its own around str.format
        name, text = getattr(method, "__name__", ""), getattr(method, "__self__", None)
        if isinstance(text, str) and name in _WIDENING:
            _check_widths(*args, *kwargs.values())
        elif isinstance(text, str) and name in _FORMATTING:
            _check_fields(text)
        return super().call(context, called, *args, **kwargs)


def _bounded(widen: Callable[..., str]) -> Callable[..., str]:
    def checked(value: Any, *args: Any, **kwargs: Any) -> str:
        _check_widths(*args, *kwargs.values())
        return widen(value, *args, **kwargs)

    return checked


def _format(text: Any, *args: Any, **kwargs: Any) -> str:
    _check_conversions(text)
    return do_format(text, *args, **kwargs)


def _check_widths(*values: Any) -> None:
    if any(
        (value if isinstance(value, int) else len(value)) > _MAX_WIDTH
        for value in values
        if isinstance(value, int | str)
    ):
        raise _too_wide()


def _check_conversions(text: Any) -> None:
    if isinstance(text, str) and _WIDE_CONVERSION.search(text):
        raise _too_wide()


def _check_fields(text: str) -> None:
    if any(_WIDE_FIELD.search(spec or "") for _, _, spec, _ in Formatter().parse(text)):
        raise _too_wide()


def _too_wide() -> SecurityError:
    return SecurityError("it makes something too wide")


def _is_excessive(operator: str, left: Any, right: Any) -> bool:
    """Whether the product would be longer than any prompt, or a number that nobody writes."""
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length()
        size = bits * right if operator == "**" else bits + right.bit_length()
        return size > _MAX_PRODUCT_BITS
    return any(
        isinstance(many, Sized) and isinstance(times, int) and len(many) * times > _MAX_PRODUCT_SIZE
        for many, times in ((left, right), (right, left))
    )
