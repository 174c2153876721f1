"""What a model means as Markdown, made ready for whoever renders it. Pure.

Models break lines where they want a break, which Markdown runs together.
"""

from __future__ import annotations

import re

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_MARKS = re.compile(
    r"^ {0,3}(?:#{1,6} |[-*+] \S|\d{1,9}[.)] \S|>|(?:`{3}|~{3})|\|.+\|)"  # a line of a block
    r"|\*\*\S|`[^`\n]+`|\[[^\]\n]+\]\(",  # or something within a line
    re.MULTILINE,
)


def is_marked_up(text: str) -> bool:
    """Whether rendering it shows anything that the plain text does not."""
    return _MARKS.search(text) is not None


def with_line_breaks(text: str) -> str:
    """The same with a hard break at the end of each line that another follows."""
    lines = text.split("\n")
    fence = ""
    for at, line in enumerate(lines):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                fence = ""
        elif mark:
            fence = mark[1]
        elif line.strip() and at + 1 < len(lines) and lines[at + 1].strip():
            lines[at] = f"{line.rstrip()}  "
    return "\n".join(lines)
