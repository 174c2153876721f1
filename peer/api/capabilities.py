"""What the messages dialect's clients read about a model: an object with every capability in it.

Their strict form takes no part of it: a key that is missing is an error there. What steers how a
model thinks is taken from every client, and followed as far as the model can.
"""

from __future__ import annotations

from typing import Any

from ..types import ModelInfo

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_THINKING = ("adaptive", "between_tools", "disabled", "enabled")
_SERVER_TOOLS = ("code_execution", "web_search")


def render_capabilities(model: ModelInfo) -> dict[str, Any]:
    yes, no = {"supported": True}, {"supported": False}
    return {
        "batch": no,
        "citations": no,
        "code_execution": no,
        "context_management": no,
        "effort": yes | dict.fromkeys(_EFFORTS, yes),
        "image_input": yes if model.sees_images else no,
        "pdf_input": no,
        "server_tools": no | dict.fromkeys(_SERVER_TOOLS, no),
        "structured_outputs": yes,
        "thinking": yes | {"types": dict.fromkeys(_THINKING, yes)},
    }
