"""What a model's chat template does with what templates treat differently: found out once."""

from __future__ import annotations

from dataclasses import dataclass

from ..template import ChatTemplate
from .late_system import takes_late_system
from .reasoning_control import ReasoningControls, find_controls
from .tool_pictures import takes_tool_pictures


@dataclass(frozen=True, slots=True)
class TemplateHabits:
    takes_late_system: bool
    takes_tool_pictures: bool
    controls: ReasoningControls


def find_habits(template: ChatTemplate) -> TemplateHabits:
    return TemplateHabits(
        takes_late_system=takes_late_system(template),
        takes_tool_pictures=takes_tool_pictures(template),
        controls=find_controls(template),
    )
