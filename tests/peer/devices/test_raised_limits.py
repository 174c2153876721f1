"""Limits of a model that were raised while it is loaded: prompts and memory change together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cortex.engine.wishes import MOST_PIXELS, ModelWishes, PixelWishes
from tests.peer.by_hand import Wish, by_hand, load, ready, settle


def wish(context_length: int = 1, max_pixels: int | None = None) -> Wish:
    """For a model by limits that its prompt was made by."""
    made = Wish("a")
    wishes = ModelWishes(pixels=PixelWishes(max_pixels=max_pixels))
    made.ticket.model = replace(made.ticket.model, context_length=context_length, wishes=wishes)
    return made


@pytest.mark.parametrize("raised", [wish(context_length=2), wish(max_pixels=2 * MOST_PIXELS)])
async def test_a_prompt_by_raised_limits_waits_until_its_model_is_loaded_with_them(raised: Wish):
    async with by_hand() as (residency, loader):
        (before,) = await ready(residency, loader, "a")
        residency.ask(raised.ticket)
        await settle()
        assert not raised.is_granted, "the answer under way is finished first"
        residency.give_back(before.ticket)
        await settle()
        await load(loader)
        assert raised.is_granted
        assert loader.log == ["load a", "unload a", "load a"]
        late = wish()
        residency.ask(late.ticket)
        assert late.is_granted, "a prompt by the old limits has room where there is more"


@pytest.mark.parametrize(
    ("loaded", "wanted", "is_there"),
    [
        (None, None, True),
        (4096, 4096, True),
        (4096, 1024, True),
        (1024, 4096, False),
        (4096, None, False),
        (MOST_PIXELS, None, True),
        (None, 4096, False),
    ],
)
def test_room_for_large_pictures_is_room_for_small_ones(
    loaded: int | None, wanted: int | None, is_there: bool
):
    assert PixelWishes(max_pixels=loaded).cover(PixelWishes(max_pixels=wanted)) is is_there


def test_another_dtype_is_another_load():
    assert not ModelWishes("bfloat16").cover(ModelWishes("float32"))
