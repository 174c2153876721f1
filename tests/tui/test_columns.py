"""Cells of tables, and what is cut of their words."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from cortex.peer.onlooker.model_pictures import ModelPicture
from cortex.peer.onlooker.model_rows import ModelRow
from cortex.peer.types import ModelInfo
from cortex.tui.columns import fit
from cortex.tui.look import Look
from cortex.tui.model_table import MODELS
from cortex.tui.model_words import model_words
from cortex.tui.screens.framed import title_line

LONG = "\u65e5\u672c\u8a9e\u5927\u898f\u6a21\u8a00\u8a9e\u30e2\u30c7\u30eb"


@pytest.mark.parametrize("num_cells", range(1, 22))
def test_a_name_is_cut_by_its_cells_and_marked_as_cut(num_cells: int) -> None:
    cut = fit(LONG, num_cells, Look())
    assert cell_len(cut) == num_cells
    assert cut.endswith("\u2026")


def test_what_tells_two_models_of_one_name_apart_is_never_cut_off() -> None:
    model = ModelPicture(f"{LONG}@ab12cd", "", (), 0, 0, False, (), ())
    told = MODELS.columns[0].cell(ModelRow(model, "disk"), Look(), 16).text
    assert told.endswith("\u2026@ab12cd")
    assert cell_len(told) == 16


def test_a_name_that_just_fits_is_whole() -> None:
    assert fit(LONG, 22, Look()) == LONG


def test_models_to_choose_from_stand_in_columns() -> None:
    models = [ModelInfo(name, None, ("text",), 32_768, 7) for name in ("plain", LONG)]
    places = {cell_len(model_words(model, 22).partition("context")[0]) for model in models}
    assert len(places) == 1


@pytest.mark.parametrize("num_cells", [20, 21, 40])
def test_a_title_leaves_room_for_what_stands_at_its_right(num_cells: int) -> None:
    assert cell_len(title_line(" cortex ", ["fleet", LONG], num_cells)) == num_cells
