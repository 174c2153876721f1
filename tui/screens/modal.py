"""A screen on top of another, which is asked something and goes away with what was answered."""

from __future__ import annotations

from typing import Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

T = TypeVar("T")


class Modal(ModalScreen[T], Generic[T]):
    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Once: a second enter that came with the first, and an order that ends while something
        else is on top, would take the wrong screen away.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete.nothing()
