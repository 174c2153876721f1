"""A device's memory as a bar: all of its cells are used, and each part has its share of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.onlooker.details import DeviceDetail, PlacedDetail
from cortex.peer.orders.facts import Part
from cortex.tui.look import Look
from cortex.tui.widgets.memory_bar import memory_bar

SIZES = st.integers(0, 200)


def device(weights: int, cache: int, image: int, foreign: int, of: int) -> DeviceDetail:
    parts = (Part("weights", weights), Part("cache", cache), Part("image", image))
    model = PlacedDetail("m", "ready", parts)
    return DeviceDetail("d", "gpu", of, 0, foreign, (model,))


def test_each_part_has_a_sign_of_its_own() -> None:
    assert memory_bar(device(40, 20, 10, 10, 100), Look(), 10).plain == "████▓▓▒▚░░"
    assert memory_bar(device(40, 20, 10, 10, 100), Look(is_ascii=True), 10).plain == "####==+x.."


def test_a_device_without_memory_has_a_bar_too() -> None:
    assert memory_bar(device(0, 0, 0, 0, 0), Look(), 4).plain == "░░░░"


@given(SIZES, SIZES, SIZES, SIZES, st.integers(1, 200), st.integers(1, 60))
def test_the_bar_is_as_long_as_it_should_be_whatever_a_peer_tells(
    weights: int, cache: int, image: int, foreign: int, of: int, num_cells: int
) -> None:
    assert len(memory_bar(device(weights, cache, image, foreign, of), Look(), num_cells)) == (
        num_cells
    )
