"""What a request's grammar may weigh, before it is copied for any prompt."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec.structs import replace

from cortex.engine.errors import InvalidRequest
from cortex.engine.types import ChatRequest, Grammar
from cortex.peer.bounds.limits import Limits
from cortex.peer.bounds.request_size import check_size

Kind = Literal["json_schema", "regex", "choice", "lark"]
_ASKED = ChatRequest("m", (), seed=7, now_s=0)
_LIMITS: list[tuple[Kind, int]] = [
    ("json_schema", 256 * 1024),
    ("regex", 64 * 1024),
    ("choice", 64 * 1024),
    ("lark", 64 * 1024),
]


@pytest.mark.parametrize(("kind", "most"), _LIMITS)
def test_a_grammar_over_its_kinds_limit_is_refused_by_its_field_with_both_numbers(
    kind: Kind, most: int
) -> None:
    check_size(replace(_ASKED, grammar=Grammar(kind, "a" * most, "field")), Limits())

    with pytest.raises(InvalidRequest) as caught:
        check_size(replace(_ASKED, grammar=Grammar(kind, "a" * (most + 1), "field")), Limits())

    assert caught.value.param == "field"
    assert caught.value.message == (
        f"field: {most + 1} characters are over the limit of {most} bytes"
    )
