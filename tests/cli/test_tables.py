"""What `cortex models` and `cortex ps` print, at every width, and the columns of any table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cortex.cli.model_table import model_table
from cortex.cli.request_table import request_table
from cortex.peer.onlooker.aligning import align
from cortex.peer.onlooker.request_pictures import RequestPicture
from cortex.peer.types import ModelInfo, Whereabouts

GIB = 1 << 30
QWEN = ModelInfo(
    "qwen3.6-27b",
    None,
    ("text", "vision"),
    262_144,
    7,
    size_bytes=51 * GIB,
    where=(
        Whereabouts("atlas", "warm", None, True),
        Whereabouts("borea", "warm"),
        Whereabouts("cirrus", "cold", 11.6),
    ),
)
SMALL = ModelInfo(
    "qwen3.5-0.8b", None, ("text",), 32_768, 7, where=(Whereabouts("cirrus", "cold", 2.2),)
)
REQUEST = RequestPicture(
    "req_7f3a",
    "borea",
    "atlas",
    "qwen3.6-27b",
    "openai",
    "prefill",
    prompt_tokens=98_104,
    completion_tokens=0,
    seconds=6.8,
    done=41,
    total=100,
    unit="tokens",
)


def test_models_of_a_fleet_are_listed_with_where_they_are_and_what_a_load_takes() -> None:
    assert model_table([QWEN, SMALL], width=None) == [
        "MODEL             SIZE  CONTEXT  IMAGES  STATE  WHERE                  LOAD",
        "qwen3.6-27b   51.0 GiB  262,144  yes     warm   atlas (pinned), borea  -",
        "qwen3.5-0.8b         -  32,768   no      cold   cirrus                 ~2s",
    ]


def test_models_of_a_disk_are_listed_without_places() -> None:
    assert model_table([replace(QWEN, where=())], width=None) == [
        "MODEL        CONTEXT  IMAGES",
        "qwen3.6-27b  262,144  yes",
    ]


def test_a_model_that_is_on_its_way_says_so() -> None:
    loading = replace(SMALL, where=(Whereabouts("a", "loading", 3.0), Whereabouts("b", "cold")))
    assert model_table([loading], width=None)[1].split() == [
        *("qwen3.5-0.8b", "-", "32,768", "no"),
        *("loading", "a", "~3s"),
    ]


@pytest.mark.parametrize(
    ("width", "heads", "where"),
    [
        (72, "MODEL SIZE CONTEXT IMAGES STATE WHERE LOAD", "one, two, three, +9"),
        (61, "MODEL SIZE CONTEXT IMAGES STATE WHERE LOAD", "one, +11"),
        (60, "MODEL SIZE CONTEXT IMAGES STATE WHERE", "one, two, +10"),
        (48, "MODEL SIZE IMAGES STATE WHERE", "one, +11"),
        (20, "MODEL STATE", None),
    ],
)
def test_a_narrow_terminal_shows_some_of_the_places_and_then_fewer_columns(
    width: int, heads: str, where: str | None
) -> None:
    names = "one two three four five six seven eight nine ten eleven twelve"
    everywhere = replace(QWEN, where=tuple(Whereabouts(name, "warm") for name in names.split()))
    head, line = model_table([everywhere], width=width)
    assert head.split() == heads.split()
    assert len(line) <= max(width, len("qwen3.6-27b  warm"))
    assert where is None or f"  {where}" in line


def test_a_terminal_has_room_for_half_as_many_letters_that_are_two_cells_wide() -> None:
    wide = replace(SMALL, id="\u65e5\u672c\u8a9e" * 6)
    head, _ = model_table([wide], width=60)
    assert head.split() == model_table([replace(SMALL, id="x" * 36)], width=60)[0].split()
    assert head.split() != model_table([replace(SMALL, id="x" * 18)], width=60)[0].split()


def test_a_request_is_listed_with_both_its_peers_and_how_far_it_is() -> None:
    prefill = replace(REQUEST, model="qwen3.6")
    queued = replace(REQUEST, id="req_1", peer="atlas", model="", stage="queued")
    decode = replace(
        prefill, stage="decode", total=0, cached_tokens=98_000, completion_tokens=41,
        first_token_s=0.8,
    )  # fmt: skip
    assert request_table([prefill, queued, decode], width=None) == [
        "ID        MODEL    PEER           STAGE            IN  REUSED  OUT   TTFT  TOK/S   AGE",
        "req_7f3a  qwen3.6  borea > atlas  prefill 41%  98,104       0    0      -      -  6.8s",
        "req_1     -        atlas          waiting #41  98,104       0    0      -      -  6.8s",
        "req_7f3a  qwen3.6  borea > atlas  decode       98,104  98,000   41  0.80s      7  6.8s",
    ]


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (89, "ID MODEL PEER STAGE IN REUSED OUT TTFT TOK/S AGE"),
        (81, "ID MODEL PEER STAGE IN OUT TTFT TOK/S AGE"),
        (68, "ID MODEL PEER STAGE IN OUT AGE"),
        (67, "ID MODEL PEER STAGE OUT AGE"),
        (40, "ID MODEL STAGE AGE"),
        (10, "ID STAGE"),
    ],
)
def test_a_narrow_terminal_keeps_the_id_and_the_stage(width: int, heads: str) -> None:
    assert request_table([REQUEST], width=width)[0].split() == heads.split()


def test_columns_of_letters_that_are_two_cells_wide_stand_below_their_heads() -> None:
    wide, plain = "\u6771\u4eac/\u65e5\u672c\u8a9e", "caf\u00e9-e\u0301"
    head, first, second = align(("MODEL", "SIZE"), [(wide, "9"), (plain, "8")], (False, True))
    assert head == f"MODEL{' ' * 6}  SIZE"
    assert first == f"{wide}     9"
    assert second == f"{plain}{' ' * 5}     8"


def test_columns_are_aligned_without_trailing_spaces() -> None:
    lines = align(("A", "LONG"), [("wide cell", "1"), ("x", "")])
    assert lines == ["A          LONG", "wide cell  1", "x"]
