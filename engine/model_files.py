"""The small JSON files of a model folder, read with errors that name them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from .errors import ModelInvalid


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises ModelInvalid where the file is missing or holds anything else.
    """
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelInvalid(f"{path} is missing", "download the model again") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelInvalid(f"{path} cannot be read as JSON", "download it again") from error
    if not isinstance(value, dict):
        raise ModelInvalid(f"{path} does not hold a JSON object", "download it again")
    return cast(dict[str, Any], value)
