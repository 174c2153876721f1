"""The themes: two of our own, and two that leave a terminal its sixteen colours."""

from __future__ import annotations

from textual.theme import Theme

from .look import ANSI, DARK, LIGHT, Tones

_OWN = (
    Theme(
        "cortex-dark",
        primary="#4ba3ff",
        secondary="#2f6fb0",
        accent="#ff9f1c",
        warning="#ff9f1c",
        error="#ff6b6b",
        success="#7fd3e8",
        foreground="#e4e7eb",
        background="#101418",
        surface="#101418",
        panel="#1d2630",
        variables={"block-cursor-background": "#25507d", "block-cursor-foreground": "#ffffff"},
    ),
    Theme(
        "cortex-light",
        primary="#0055b8",
        secondary="#3d7dc8",
        accent="#a85400",
        warning="#a85400",
        error="#c00020",
        success="#0e7c99",
        foreground="#1a1f24",
        background="#fbfbf8",
        surface="#fbfbf8",
        panel="#e2e8ee",
        dark=False,
        variables={"block-cursor-background": "#c4dcf5", "block-cursor-foreground": "#101418"},
    ),
)
OWN_THEMES = {theme.name: theme for theme in _OWN}


def tones_of(theme: Theme) -> Tones:
    if theme.ansi:
        return ANSI
    return DARK if theme.dark else LIGHT
