"""Clouds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import clouds


def scenes(shared_data: Path) -> list[Path]:
    folders = [path for path in (shared_data / "slovenia" / "l1c").iterdir() if path.is_dir()]

    def sensed(folder: Path) -> str:
        item = json.loads((folder / f"{folder.name}.json").read_text())
        return str(item["properties"]["datetime"])

    return sorted(folders, key=sensed)


def reflectance(scene: Path, bands: tuple[str, ...]) -> NDArray[np.float32]:
    values = []
    for band in bands:
        with rasterio.open(scene / f"{band}.tif") as file:
            values.append(file.read(1))
    return np.stack(values).astype(np.float32) / np.float32(10_000)


@pytest.fixture(scope="module")
def slovenia(shared_data: Path) -> NDArray[np.float32]:
    return np.stack([reflectance(s, clouds.DETECTOR_BANDS) for s in scenes(shared_data)])


@pytest.mark.real_data
def test_probability_and_mask_of_the_five_scenes_are_the_published_ones(
    slovenia: NDArray[np.float32], shared_data: Path
) -> None:
    expected = shared_data / "slovenia" / "expected"
    probability = clouds.s2cloudless_probability(slovenia)
    mask = clouds.s2cloudless_mask(probability, threshold=0.4, average_over=4, dilation=2)
    np.testing.assert_allclose(
        probability, np.load(expected / "cloud_probability_s2cloudless.npy"), rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(mask, np.load(expected / "cloud_mask_s2cloudless.npy"))


@pytest.mark.real_data
def test_a_pixel_without_data_has_no_probability_and_leaves_its_neighbours_theirs(
    slovenia: NDArray[np.float32],
) -> None:
    scene = slovenia[:1, :, :20, :20].copy()
    whole = clouds.s2cloudless_probability(scene)
    scene[0, 3, 5, 6] = np.nan
    holed = clouds.s2cloudless_probability(scene)
    assert np.isnan(holed[0, 5, 6])
    whole[0, 5, 6] = np.nan
    np.testing.assert_array_equal(holed, whole)


def test_an_acquisition_without_any_data_has_no_probability() -> None:
    probability = clouds.s2cloudless_probability(np.full((2, 10, 3, 4), np.nan, np.float32))
    assert probability.shape == (2, 3, 4)
    assert np.isnan(probability).all()


def test_the_detector_refuses_l2a_bands_by_count() -> None:
    with pytest.raises(ValueError, match=r"needs the 10 bands B01, .*B10.*; 9 were given"):
        clouds.s2cloudless_probability(np.zeros((1, 9, 2, 2), np.float32))


def test_dilation_without_averaging_grows_a_cloud_by_a_disk() -> None:
    probability = np.zeros((1, 7, 7), np.float32)
    probability[0, 3, 3] = 1
    mask = clouds.s2cloudless_mask(probability, threshold=0.4, average_over=0, dilation=1)
    cross = {(3, 3), (2, 3), (4, 3), (3, 2), (3, 4)}
    assert set(zip(*map(np.ndarray.tolist, np.nonzero(mask[0])), strict=True)) == cross


def test_without_averaging_and_dilation_the_mask_is_the_threshold_exclusive() -> None:
    probability = np.array([[[0.0, 0.5, 0.75, np.nan]]], np.float32)
    mask = clouds.s2cloudless_mask(probability, threshold=0.5, average_over=0, dilation=0)
    assert mask.tolist() == [[[False, False, True, False]]]


@pytest.mark.parametrize(("average_over", "dilation"), [(4, 2), (0, 2), (0, 0)])
def test_no_acquisition_has_no_mask(average_over: int, dilation: int) -> None:
    none = np.zeros((0, 5, 6), np.float32)
    assert clouds.s2cloudless_mask(none, 0.4, average_over, dilation).shape == (0, 5, 6)


def test_averaging_drops_a_lone_cloudy_pixel() -> None:
    probability = np.zeros((1, 9, 9), np.float32)
    probability[0, 4, 4] = 1
    assert not clouds.s2cloudless_mask(probability, 0.4, average_over=2, dilation=2).any()


def test_a_pixel_without_data_is_no_cloud_and_hides_no_cloud_beside_it() -> None:
    probability = np.ones((1, 9, 9), np.float32)
    probability[0, :, 6:] = np.nan
    mask = clouds.s2cloudless_mask(probability, 0.4, average_over=1, dilation=1)
    assert mask[0, :, :6].all()
    assert not mask[0, :, 6:].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_a_window_read_with_the_margin_has_the_mask_of_the_whole(
    average_over: int, dilation: int, seed: int
) -> None:
    blocks = np.random.default_rng(seed).random((1, 8, 8), dtype=np.float32)
    probability = blocks.repeat(5, axis=1).repeat(5, axis=2)
    whole = clouds.s2cloudless_mask(probability, 0.5, average_over, dilation)
    margin = clouds.detector_margin(average_over, dilation)
    around = np.s_[:, 15 - margin : 25 + margin, 14 - margin : 22 + margin]
    window = clouds.s2cloudless_mask(probability[around], 0.5, average_over, dilation)
    inner = window[:, margin : margin + 10, margin : margin + 8]
    np.testing.assert_array_equal(inner, whole[:, 15:25, 14:22])


@pytest.mark.parametrize("average_over", [0, 1, 4])
@pytest.mark.parametrize("dilation", [0, 2, 3])
def test_a_mask_reaches_as_far_as_the_margin_and_no_further(
    average_over: int, dilation: int
) -> None:
    probability = np.zeros((1, 21, 21), np.float32)
    probability[0, 10, 10] = 1
    mask = clouds.s2cloudless_mask(probability, 0.001, average_over, dilation)
    rows, columns = np.nonzero(mask[0])
    reach = max(np.abs(rows - 10).max(), np.abs(columns - 10).max())
    assert reach == clouds.detector_margin(average_over, dilation)


def test_the_scene_classification_is_clear_for_4_5_6_7_and_11() -> None:
    scl = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    masks = clouds.scl_masks(scl)
    found = {
        name: np.flatnonzero(mask).tolist() for name, mask in zip(masks._fields, masks, strict=True)
    }
    assert found == {
        "clear": [4, 5, 6, 7, 11],
        "cloud": [8, 9, 10],
        "shadow": [2, 3],
        "snow": [11],
    }
    assert masks.clear.shape == scl.shape


def anywhere(draw: st.DrawFn) -> float:
    """Pixels between the borders of two grids."""
    return draw(st.floats(0, 2))


@st.composite
def grids(
    draw: st.DrawFn, offset: Callable[[st.DrawFn], float] = anywhere
) -> tuple[GeoBox, GeoBox]:
    """A coarse grid and a fine one within it, not nested, from metres to tens of metres."""
    ratio = draw(st.sampled_from([1.0, 1.5, 2.0, 3.2, 8.0]))
    fine_size = draw(st.sampled_from([10.0, 9.9948]))
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    before = offset(draw), offset(draw)
    size = fine_size * ratio
    fine = GeoBox(
        (rows, columns), Affine(fine_size, 0, 465_181.05, 0, -fine_size, 5_080_254.6), "EPSG:32633"
    )
    shape = (
        int(np.ceil(rows / ratio + before[0])) + 1,
        int(np.ceil(columns / ratio + before[1])) + 1,
    )
    origin = (465_181.05 - before[1] * size, 5_080_254.6 + before[0] * size)
    coarse = GeoBox(shape, Affine(size, 0, origin[0], 0, -size, origin[1]), "EPSG:32633")
    return coarse, fine


def centres(grid: GeoBox) -> tuple[NDArray[Any], NDArray[Any]]:
    """(y,), increasing downwards, and (x,) of the pixel centres."""
    rows, columns = grid.shape
    y = -(grid.affine.f + grid.affine.e * (np.arange(rows) + 0.5))
    return y, grid.affine.c + grid.affine.a * (np.arange(columns) + 0.5)


@settings(max_examples=100, deadline=None)
@given(grids(), st.integers(0, 2**32 - 1))
def test_probability_on_a_finer_grid_is_linear_along_rows_and_columns(
    pair: tuple[GeoBox, GeoBox], seed: int
) -> None:
    coarse, fine = pair
    probability = np.random.default_rng(seed).random((2, *coarse.shape), dtype=np.float32)
    (y, x), (v, u) = centres(coarse), centres(fine)
    along_x = np.apply_along_axis(lambda row: np.interp(u, x, row), 2, probability)
    expected = np.apply_along_axis(lambda column: np.interp(v, y, column), 1, along_x)
    found = clouds.probability_to_grid(probability, coarse, fine)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(grids(), st.integers(0, 2**32 - 1))
def test_a_missing_probability_gives_its_weight_to_its_neighbours(
    pair: tuple[GeoBox, GeoBox], seed: int
) -> None:
    coarse, fine = pair
    generator = np.random.default_rng(seed)
    probability = generator.random((1, *coarse.shape), dtype=np.float32)
    probability[generator.random(probability.shape) < 0.4] = np.nan
    found = clouds.probability_to_grid(probability, coarse, fine)[0]
    (y, x), (v, u) = centres(coarse), centres(fine)
    for row in range(fine.shape[0]):
        for column in range(fine.shape[1]):
            down = np.clip(1 - np.abs(np.clip(v[row], y[0], y[-1]) - y) / -coarse.affine.e, 0, 1)
            right = np.clip(1 - np.abs(np.clip(u[column], x[0], x[-1]) - x) / coarse.affine.a, 0, 1)
            weight = np.outer(down, right) * ~np.isnan(probability[0])
            if weight.sum() > 1e-4:
                expected = np.nansum(probability[0] * weight) / weight.sum()
                assert found[row, column] == pytest.approx(expected, abs=1e-3)
            elif weight.sum() < 1e-8:
                assert np.isnan(found[row, column])


@settings(max_examples=60, deadline=None)
@given(grids(), st.integers(0, 2**32 - 1))
def test_a_mask_on_a_finer_grid_is_that_of_the_pixel_around_each_centre(
    pair: tuple[GeoBox, GeoBox], seed: int
) -> None:
    coarse, fine = pair
    mask = np.random.default_rng(seed).random((2, *coarse.shape)) < 0.5
    found = clouds.mask_to_grid(mask, coarse, fine)
    (v, u), affine = centres(fine), coarse.affine
    for row in range(fine.shape[0]):
        for column in range(fine.shape[1]):
            right, down = (u[column] - affine.c) / affine.a, (-v[row] - affine.f) / affine.e
            if min(abs(right - round(right)), abs(down - round(down))) > 1e-5:
                expected = mask[:, int(down), int(right)]
                np.testing.assert_array_equal(found[:, row, column], expected)


def test_a_centre_on_a_border_takes_the_pixel_of_the_higher_index_wherever_the_grid_lies() -> None:
    size, west, north = 9.99479222007154, 465_181.0522318204, 5_080_254.63349641
    fine = GeoBox((1, 300), Affine(size, 0, west, 0, -size, north), "EPSG:32633")
    coarse = GeoBox((1, 200), Affine(1.5 * size, 0, west, 0, -1.5 * size, north), "EPSG:32633")
    # Centres lie at (i + 1/2) / (3/2) = (2 i + 1) / 3 coarse pixels, a third of them on borders.
    for pixel in range(200):
        mask = (np.arange(200) == pixel).reshape(1, 1, 200)
        found = clouds.mask_to_grid(mask, coarse, fine)[0, 0]
        np.testing.assert_array_equal(found, (2 * np.arange(300) + 1) // 3 == pixel)


def apart(draw: st.DrawFn) -> float:
    """Pixels between the borders of two grids: a fraction of few digits, as people choose them, of
    which many lie halfway between two millionths."""
    parts = draw(st.sampled_from([1, 3, 7, 10, 128, 256, 1000, 1024]))
    return draw(st.integers(0, 2 * parts)) / parts


@settings(max_examples=200, deadline=None)
@given(grids(apart), st.data())
def test_a_window_of_the_finer_grid_agrees_with_the_whole_to_the_bit(
    pair: tuple[GeoBox, GeoBox], data: st.DataObject
) -> None:
    coarse, fine = pair
    seed = data.draw(st.integers(0, 2**32 - 1))
    top = data.draw(st.integers(0, fine.shape[0] - 1))
    left = data.draw(st.integers(0, fine.shape[1] - 1))
    probability = np.random.default_rng(seed).random((1, *coarse.shape), dtype=np.float32)
    probability[probability < 0.2] = np.nan
    mask = probability > 0.6
    window = fine[top:, left:]
    np.testing.assert_array_equal(
        clouds.probability_to_grid(probability, coarse, window),
        clouds.probability_to_grid(probability, coarse, fine)[:, top:, left:],
    )
    np.testing.assert_array_equal(
        clouds.mask_to_grid(mask, coarse, window),
        clouds.mask_to_grid(mask, coarse, fine)[:, top:, left:],
    )


def test_a_coarse_window_with_a_pixel_of_margin_agrees_with_the_whole_to_the_bit() -> None:
    coarse = GeoBox((20, 30), Affine(80, 0, 400_000, 0, -80, 5_000_000), "EPSG:32633")
    fine = GeoBox((160, 240), Affine(10, 0, 400_000, 0, -10, 5_000_000), "EPSG:32633")
    probability = np.random.default_rng(1).random((1, 20, 30), dtype=np.float32)
    whole = clouds.probability_to_grid(probability, coarse, fine)
    part = clouds.probability_to_grid(
        probability[:, 4:11, 6:15], coarse[4:11, 6:15], fine[40:80, 56:112]
    )
    np.testing.assert_array_equal(part, whole[:, 40:80, 56:112])


def test_grids_that_do_not_fit_are_refused() -> None:
    coarse = GeoBox((2, 2), Affine(80, 0, 0, 0, -80, 160), "EPSG:32633")
    fine = GeoBox((16, 16), Affine(10, 0, 0, 0, -10, 160), "EPSG:32633")
    values = np.zeros((1, 2, 2), np.float32)
    clouds.probability_to_grid(values, coarse, fine)
    with pytest.raises(ValueError, match="does not cover the fine one's columns"):
        clouds.probability_to_grid(values, coarse, fine.translate_pix(1, 0))
    with pytest.raises(ValueError, match="coarse grid is in EPSG:32633, the fine one in EPSG:326"):
        clouds.probability_to_grid(values, coarse, GeoBox((1, 1), fine.affine, "EPSG:32634"))
    with pytest.raises(ValueError, match="axis-aligned"):
        clouds.mask_to_grid(values > 0, coarse, fine.rotate(10))
    with pytest.raises(ValueError, match="does not lie on a grid of 2 rows and 2 columns"):
        clouds.mask_to_grid(np.zeros((1, 3, 2), np.bool_), coarse, fine)
