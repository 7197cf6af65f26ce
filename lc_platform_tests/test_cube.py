"""Cubes: windows, blocks, pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc_platform import cube
from lc_platform.cube import MAIN, Block, InMemoryCube, Layer, LazyCube, Summary, Thumbnail
from lc_platform_tests.products.cubes import grid


@given(rows=st.integers(1, 70), columns=st.integers(1, 70), size=st.integers(1, 80))
def test_windows_tile_a_grid_once_and_are_no_larger_than_asked(
    rows: int, columns: int, size: int
) -> None:
    seen = np.zeros((rows, columns), int)
    for window in cube.windows((rows, columns), size):
        seen[window] += 1
        assert max(side.stop - side.start for side in window) <= size
    assert (seen == 1).all()


def test_a_held_cube_selects_along_dims_as_well_as_by_window() -> None:
    values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    held = InMemoryCube({MAIN: grid(4, 5)}, {"a": Layer(("time", "band"), "int64")}, {"a": values})
    here = (slice(1, 3), slice(0, 2))
    np.testing.assert_array_equal(held.read("a", here), values[:, :, 1:3, 0:2])
    np.testing.assert_array_equal(
        held.read("a", here, time=[1], band=[2, 0]), values[1:, [2, 0], 1:3, 0:2]
    )
    np.testing.assert_array_equal(held.read("a", None, time=0, band=slice(1, 3)), values[0, 1:3])


def test_a_dim_of_another_grid_is_selected_by_its_short_name() -> None:
    values = np.arange(3 * 2 * 2).reshape(3, 2, 2)
    layer = Layer(("detector/band",), "int64", "detector")
    held = InMemoryCube(
        {"detector": grid(2, 2)}, {"detector/bands": layer}, {"detector/bands": values}
    )
    np.testing.assert_array_equal(held.read("detector/bands", band=[2]), values[[2]])


def test_what_no_block_says_has_the_layers_fill() -> None:
    def blocks(summary: Summary) -> Iterator[Block]:
        summary.facts["blocks"] = 1
        yield Block("a", (slice(1, 2),), (slice(0, 1), slice(0, 2)), np.full((1, 1, 2), 7.0))

    layer = Layer(("time",), "float32", fill=float("nan"))
    computed = LazyCube({MAIN: grid(2, 2)}, {"a": layer}, blocks, {"time": np.arange(2)})
    held = computed.load()
    assert computed.summary.facts == {"blocks": 1}
    np.testing.assert_array_equal(
        held.read("a"), [[[np.nan, np.nan], [np.nan, np.nan]], [[7, 7], [np.nan, np.nan]]]
    )


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (65, 20), (300, 1000)])
@pytest.mark.parametrize("size", [16, 256])
def test_a_picture_is_the_same_whichever_windows_filled_it(
    shape: tuple[int, int], size: int
) -> None:
    image = np.random.default_rng(1).random((3, *shape)).astype(np.float32)
    whole, parts = Thumbnail(shape), Thumbnail(shape)
    whole.update((slice(0, shape[0]), slice(0, shape[1])), image)
    for window in cube.windows(shape, size):
        parts.update(window, image[:, window[0], window[1]])
    assert max(whole.values.shape[1:]) <= 64
    np.testing.assert_array_equal(whole.values, parts.values)
    np.testing.assert_array_equal(whole.values, image[:, whole.rows][:, :, whole.columns])


def test_stretched_values_run_from_black_to_white_and_missing_is_black() -> None:
    shades = cube.stretched(np.array([-1, 0.1, 0.2, 0.3, 9, np.nan]), 0.1, 0.3)
    # 0.2 is half way: 127.5, rounded to the even neighbour or 127 by its binary value.
    assert shades.tolist()[:2] == [0, 0]
    assert shades[2] in (127, 128)
    assert shades.tolist()[3:] == [255, 255, 0]


def test_grids_are_the_same_to_a_thousandth_of_a_pixel() -> None:
    assert cube.same_grid(grid(4, 5), grid(4, 5, west=500_000.009))
    assert not cube.same_grid(grid(4, 5), grid(4, 5, west=500_000.02))
    assert not cube.same_grid(grid(4, 5), grid(5, 5))
    assert not cube.same_grid(grid(4, 5), grid(4, 5).to_crs("EPSG:32634"))
