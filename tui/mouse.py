"""The mouse, taken from the terminal and given back while the program runs.

Textual decides this once, at the start, and has no public word for it later: its driver is asked.
"""

from __future__ import annotations

from textual.app import App


class Mouse:
    def __init__(self, *, is_taken: bool) -> None:
        self.is_taken = is_taken

    def toggle(self, app: App[None]) -> None:
        self.is_taken = not self.is_taken
        driver = app._driver  # pyright: ignore[reportPrivateUsage]
        enable = getattr(driver, "_enable_mouse_support", None)
        disable = getattr(driver, "_disable_mouse_support", None)
        if driver is None or enable is None or disable is None:
            return
        if self.is_taken:
            # Without this the driver believes that there is no mouse to be enabled.
            driver._mouse = True  # pyright: ignore[reportPrivateUsage]
            enable()
        else:
            disable()
