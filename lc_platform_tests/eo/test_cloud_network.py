"""Networks of clouds and shadows: their lattice of tiles, and what is missing in a tile."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal.windows import tukey

from lc_platform.eo import cloud_network, csmask
from lc_platform.eo.csmask import STEP, TILE, NetworkName


@given(st.integers(-5000, 5000), st.integers(1, 900))
def test_the_tiles_of_some_pixels_are_those_that_have_a_weight_there(
    first: int, length: int
) -> None:
    weights = tukey(TILE, 0.4)
    numbers = range((first - TILE) // STEP - 1, (first + length) // STEP + 2)
    expected = [
        k for k in numbers
        if any(weights[p - STEP * k] > 0
               for p in range(max(first, STEP * k), min(first + length, STEP * k + TILE)))
    ]  # fmt: skip
    assert [*csmask.tiles(first, length)] == expected
    assert csmask.extent(first, length) == (STEP * expected[0], STEP * expected[-1] + TILE)


def test_a_pixel_has_a_weight_in_a_tile_at_least_wherever_it_lies() -> None:
    assert all(len(csmask.tiles(pixel, 1)) in (1, 2) for pixel in range(-STEP, STEP))


@given(
    st.tuples(st.integers(0, 200), st.integers(1, 256)),
    st.tuples(st.integers(0, 200), st.integers(1, 256)),
)
def test_around_a_rectangle_it_is_mirrored_as_numpy_pads(
    rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    values = np.random.default_rng(1).random((1, TILE, TILE)).astype(np.float32)
    down, across = (slice(a, min(a + b, TILE)) for a, b in (rows, columns))
    tile = np.full_like(values, np.nan)
    tile[:, down, across] = values[:, down, across]
    around = [(side.start, TILE - side.stop) for side in (down, across)]
    expected = np.pad(values[:, down, across], [(0, 0), *around], mode="symmetric")
    np.testing.assert_array_equal(cloud_network.completed(tile), expected)


def test_within_an_oblique_border_what_is_missing_is_mirrored_at_it() -> None:
    row, column = np.indices((TILE, TILE))
    tile = np.where(row + column < 300, row + column, np.nan)[None].astype(np.float32)
    found = cloud_network.completed(tile)
    assert found is not None
    here = ~np.isnan(tile)
    np.testing.assert_array_equal(found[here], tile[here])
    # The image of a pixel d steps beyond the border lies as far before it.
    assert abs(found[0, 160, 160] - (2 * 299 - 320)) <= 2
    assert np.isfinite(found).all()


def test_a_tile_without_data_has_no_say_and_a_whole_one_is_left_as_it_is() -> None:
    assert cloud_network.completed(np.full((4, TILE, TILE), np.nan, np.float32)) is None
    whole = np.ones((4, TILE, TILE), np.float32)
    assert cloud_network.completed(whole) is whole


SMALL = NetworkName("l1c", 4)


def scene(bands: int, size: int) -> NDArray[np.float32]:
    """Reflectance (band, y, x) in blobs of several pixels, with a corner without data."""
    coarse = np.random.default_rng(3).random((bands, size // 8 + 1, size // 8 + 1)) * 0.5
    values = coarse.repeat(8, 1).repeat(8, 2)[:, :size, :size].astype(np.float32)
    row, column = np.indices((size, size))
    values[:, row + column < 120] = np.nan
    return values


@pytest.mark.slow
@pytest.mark.usefixtures("network_package")
def test_pixels_are_the_same_in_any_window_and_on_any_number_of_threads() -> None:
    first, size = 2 * STEP, 3 * STEP + TILE
    image = scene(4, size)

    def read(row: int, column: int) -> NDArray[np.float32]:
        row, column = row - first, column - first
        return image[:, row : row + TILE, column : column + TILE]

    network = cloud_network.network(SMALL)
    within = first + TILE - STEP, size - 2 * (TILE - STEP)
    whole = cloud_network.probabilities(network, read, within, within, threads=1)
    assert not np.array_equal(whole[:, 60:], whole[:, :-60])
    np.testing.assert_allclose(np.nansum(whole, axis=0)[~np.isnan(whole[0])], 1, atol=1e-5)
    for row, column, length in ((0, 0, 90), (131, 40, 201), (300, 299, 133)):
        part = cloud_network.probabilities(
            network, read, (within[0] + row, length), (within[0] + column, length), threads=2
        )
        expected = whole[:, row : row + length, column : column + length]
        np.testing.assert_array_equal(part, expected)


@pytest.mark.slow
def test_the_hash_is_of_the_network_and_of_what_its_input_is_scaled_by(
    network_package: Path,
) -> None:
    found = csmask.digest(SMALL)
    assert found != csmask.digest(NetworkName("l1c", 6))
    about = network_package / "model_4b_l1c.json"
    about.write_text(about.read_text(encoding="utf-8").replace("0.2", "0.3"), encoding="utf-8")
    csmask._digest.cache_clear()
    assert csmask.digest(SMALL) != found


@pytest.mark.slow
def test_a_network_of_other_tiles_is_refused(network_package: Path) -> None:
    about = network_package / "model_4b_l1c.json"
    about.write_text(about.read_text(encoding="utf-8").replace("256", "512"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"model_4b_l1c.json .* tiles of \[512, 512\]"):
        csmask.network_file(SMALL)


@pytest.mark.slow
def test_a_package_without_the_network_is_told(network_package: Path) -> None:
    (network_package / "model_4b_l1c.onnx").unlink()
    with pytest.raises(Exception, match=r"has no model_4b_l1c.onnx. Release 1.0 has it"):
        csmask.network_file(SMALL)


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csmask, "find_spec", lambda name: None if "csmask" in name else sys)
    with pytest.raises(Exception, match=r"takes ukis-csmask, .* 'lc-platform\[unet\]'"):
        csmask.digest(NetworkName("l2a", 6))
