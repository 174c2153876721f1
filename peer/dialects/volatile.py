"""What changes from turn to turn and says nothing to a model.

One agent's first system line carries a hash of the conversation: left in, it would break every
prefix that could be reused.
"""

from __future__ import annotations

from cortex.engine.types import ImagePart, TextPart

_VOLATILE_LINE = "x-anthropic-billing-header"


def is_volatile(part: TextPart | ImagePart) -> bool:
    return isinstance(part, TextPart) and part.text.startswith(_VOLATILE_LINE)
