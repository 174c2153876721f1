"""How much of a thing one request may ask for, whoever asks. Numbers alone, free to import."""

from __future__ import annotations

# Every stop string is looked for at every character of an answer.
MAX_STOPS, MAX_STOP_CHARS = 64, 1024
# Each is asked of every token, and kept from coming where an answer may not end yet.
MAX_STOP_TOKEN_IDS = 64

# What an answer has to obey: a JSON schema; a Lark grammar, an expression or a list of choices.
MAX_SCHEMA_BYTES = 256 * 1024
MAX_GRAMMAR_SOURCE_BYTES = 64 * 1024
