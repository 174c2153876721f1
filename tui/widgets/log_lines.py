"""Lines that keep coming: who has scrolled up reads on undisturbed, who is at the end stays so."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import RichLog


class LogLines(RichLog):
    """`auto_scroll` says whether it stays at its end."""

    def add(self, words: Text) -> None:
        first = self._start_line
        self.write(words, expand=True, shrink=False, scroll_end=False)
        num_dropped = self._start_line - first
        if num_dropped and not self.auto_scroll:
            self.scroll_to(y=self.scroll_y - num_dropped, animate=False, immediate=True)
        self.call_after_refresh(self._stay_at_end)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value < min(old_value, self.max_scroll_y):
            self.auto_scroll = False
        elif old_value < new_value >= self.max_scroll_y:
            self.auto_scroll = True

    def _stay_at_end(self) -> None:
        if self.auto_scroll:
            self.scroll_end(animate=False, immediate=True, x_axis=False)
