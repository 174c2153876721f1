"""How much of a thing one request may ask for, whoever asks. Numbers alone, free to import."""

from __future__ import annotations

# Every stop string is looked for at every character of an answer.
MAX_STOPS, MAX_STOP_CHARS = 64, 1024
