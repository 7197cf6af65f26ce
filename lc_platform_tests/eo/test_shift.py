"""Shifts between images, and between images and a reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import geopandas
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.spatial import cKDTree

from lc_platform.eo import shift

SIDE, FINE = 200, 10
"""Pixels of a scene, and parts of a pixel by which it is moved without being resampled."""
MOVES = [(0, 0), (1, 0), (0, -1), (0.3, -0.6), (1.5, 0.5), (2.4, -1.7), (-3, 3), (0, 3)]
Image = NDArray[np.float64]


@cache
def fields() -> NDArray[np.intp]:
    """Fields of some 12 pixels across, with a margin of 4 pixels, in tenths of a pixel."""
    side = (SIDE + 8) * FINE
    corners = np.random.default_rng(1).random((300, 2)) * side
    places = np.stack(np.mgrid[:side, :side], axis=-1).reshape(-1, 2)
    return np.asarray(cKDTree(corners).query(places)[1]).reshape(side, side)


def scene(down: float, right: float, seed: int, clouds: float = 0.0) -> Image:
    """Fields of one of four classes with their own brightness, blurred as by a sensor, moved, with
    noise, and NaN under clouds."""
    generator = np.random.default_rng(seed)
    brightness = generator.permutation([0.1, 0.2, 0.3, 0.4])[classes_of_fields() - 1]
    ground = (brightness + generator.normal(0, 0.03, brightness.shape))[fields()]
    top, left = (round((4 - by) * FINE) for by in (down, right))
    seen = cv2.GaussianBlur(ground.astype(np.float32), (0, 0), FINE / 2)
    seen = seen[top : top + SIDE * FINE, left : left + SIDE * FINE]
    image = seen.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3)).astype(np.float64)
    image += generator.normal(0, 0.01, image.shape)
    cloudy = generator.random((SIDE // 20, SIDE // 20)) < clouds
    image[np.kron(cloudy, np.ones((20, 20))).astype(bool)] = np.nan
    return image


def classes_of_fields() -> NDArray[np.intp]:
    return np.random.default_rng(2).integers(1, 5, 300)


def reference() -> NDArray[np.uint8]:
    """The classes at the centres of the pixels, which lie between two tenths."""
    whole = classes_of_fields()[fields()].astype(np.uint8)
    inner = whole[4 * FINE : -4 * FINE, 4 * FINE : -4 * FINE]
    return inner[FINE // 2 :: FINE, FINE // 2 :: FINE]


@pytest.mark.parametrize(("down", "right"), MOVES)
def test_the_move_between_two_bands_is_found(down: float, right: float) -> None:
    """Of other contrast, other noise and other clouds. Asked for are 0.3 pixel."""
    one, other = scene(0, 0, 3, clouds=0.2), scene(down, right, 4, clouds=0.3)
    found = shift.between(shift.edges(one[None]), shift.edges(other[None]))
    assert found.rows == pytest.approx(down, abs=0.15)
    assert found.columns == pytest.approx(right, abs=0.15)
    assert found.uncertainty < 0.1


@pytest.mark.parametrize(("down", "right"), MOVES)
def test_the_move_between_imagery_and_reference_is_found(down: float, right: float) -> None:
    images = np.array([scene(down, right, seed, clouds=0.3) for seed in (5, 6, 7)])
    found = shift.between(shift.class_edges(reference()), shift.edges(images))
    assert found.rows == pytest.approx(down, abs=0.2)
    assert found.columns == pytest.approx(right, abs=0.2)
    assert found.uncertainty < 0.1


def test_a_move_of_less_than_half_a_pixel_is_not_taken_for_more() -> None:
    found = shift.between(shift.class_edges(reference()), shift.edges(scene(0.2, -0.2, 8)[None]))
    assert found.distance < 0.5


def test_noise_over_the_edges_makes_it_less_certain() -> None:
    edges = shift.class_edges(reference())
    clear = scene(1, 1, 9)
    noisy = clear + np.random.default_rng(1).normal(0, 0.15, clear.shape)
    certain, uncertain = (shift.between(edges, shift.edges(one[None])) for one in (clear, noisy))
    assert uncertain.uncertainty > 2 * certain.uncertainty
    assert abs(uncertain.rows - 1) < 0.1 + 4 * uncertain.uncertainty


def test_two_images_that_have_nothing_in_common_are_told_by_their_uncertainty() -> None:
    generator = np.random.default_rng(3)
    one, other = generator.normal(size=(2, 1, SIDE, SIDE))
    found = shift.between(shift.edges(one), shift.edges(other))
    assert not found.distance + found.uncertainty < 0.5


def test_where_there_is_no_edge_nothing_is_said() -> None:
    flat = np.full((SIDE, SIDE), 0.2)
    for image in (flat, flat * np.nan, scene(0, 0, 1, clouds=1.0)):
        found = shift.between(shift.edges(scene(0, 0, 1)[None]), shift.edges(image[None]))
        assert np.isnan([found.rows, found.columns]).all()
        assert (found.uncertainty, found.blocks) == (np.inf, 0)


def test_a_small_patch_is_compared_as_one_block_of_unknown_uncertainty() -> None:
    one, other = (scene(down, 0, 2)[:24, :24] for down in (0, 1))
    found = shift.between(shift.edges(one[None]), shift.edges(other[None]))
    assert found.rows == pytest.approx(1, abs=0.3)
    tiny = shift.edges(one[None, :3, :3])
    assert np.isnan(shift.between(tiny, tiny).rows)


def test_edges_of_several_images_count_alike_and_gaps_are_filled_by_the_others() -> None:
    one, other = scene(0, 0, 1), scene(0, 0, 2)
    gap = one.copy()
    gap[50:60] = np.nan
    alone = shift.edges(one[None])
    np.testing.assert_allclose(shift.edges(np.array([one, 1000 * one])), alone, rtol=1e-6)
    found = shift.edges(np.array([gap, other]))
    np.testing.assert_allclose(found[52:58, 1:-1], shift.edges(other[None])[52:58, 1:-1])
    assert np.isnan(found[0]).all()


def test_edges_of_classes_lie_on_both_sides_of_a_border_alike() -> None:
    classes = np.zeros((5, 6), np.uint8)
    classes[:, 3:] = 7
    found = shift.class_edges(classes)
    assert found[2, 1:-1].tolist() == [0, 2, 2, 0]
    assert np.isnan(found[0]).all()


def test_what_does_not_fit_is_refused() -> None:
    edges = np.zeros((40, 40))
    with pytest.raises(ValueError, match="do not lie on one grid"):
        shift.between(edges, edges[:30])
    with pytest.raises(ValueError, match="at least 4 times"):
        shift.between(edges, edges, most=10)
    with pytest.raises(ValueError, match="above 0"):
        shift.between(edges, edges, most=0)


def flanders(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Red and near infrared of the clear dates, (image, y, x), and the parcels burnt to them."""
    images = []
    for item in sorted((folder / "l2a").glob("*/SCL.tif")):
        with rasterio.open(item) as file:
            if np.isin(file.read(1), (4, 5, 6)).mean() < 0.95:
                continue
        for band in ("B04", "B08"):
            with rasterio.open(item.with_name(f"{band}.tif")) as file:
                values, transform = file.read(1).astype(np.float64), file.transform
                images.append(np.where(values == 0, np.nan, values))
    parcels = geopandas.read_file(folder / "reference" / "parcels.gpkg").to_crs("EPSG:32631")
    shapes = [(shape, number) for number, shape in enumerate(parcels.geometry, 1)]
    classes = rasterize(shapes, images[0].shape, transform=transform, dtype="uint8")
    return np.array(images), classes


def slovenia(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """As `flanders`, with the land use burnt by another implementation."""
    clouds = np.load(folder / "expected" / "cloud_mask_s2cloudless.npy").reshape(5, 101, 100)
    images = []
    for item, cloudy in zip(sorted((folder / "l1c").glob("S2*")), clouds, strict=True):
        for band in ("B04", "B08") if cloudy.mean() < 0.05 else ():
            with rasterio.open(item / f"{band}.tif") as file:
                images.append(file.read(1).astype(np.float64))
    _, classes = np.unique(np.load(folder / "expected" / "lulc.npy"), return_inverse=True)
    return np.array(images), classes.reshape(101, 100).astype(np.uint8)


def moved(images: NDArray[np.float64], down: float, right: float) -> NDArray[np.float64]:
    """By cubic interpolation; NaN where a neighbour was missing."""
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float64)
    found = []
    for image in images:
        size, known = image.shape[::-1], ~np.isnan(image)
        filled = np.where(known, image, np.nanmean(image))
        there = cv2.warpAffine(known.astype(np.float32), matrix, size)
        result = cv2.warpAffine(filled, matrix, size, flags=cv2.INTER_CUBIC)
        found.append(np.where(there > 0.999, result, np.nan))
    return np.array(found)


@pytest.mark.real_data
@pytest.mark.parametrize("site", [flanders, slovenia])
def test_real_imagery_moved_on_purpose_is_found_by_how_much(
    shared_data: Path, site: Callable[[Path], tuple[NDArray[np.float64], NDArray[np.uint8]]]
) -> None:
    """Where the imagery lies on the reference is known to half a pixel: what is found where nothing
    was moved is taken from what is found after."""
    images, classes = site(shared_data / site.__name__)
    edges, borders = shift.edges(images), shift.class_edges(classes)
    start = shift.between(borders, edges)
    assert start.distance - 2 * start.uncertainty < 0.5
    for down, right in ((1, 0), (0.5, -0.5), (2.5, 1.5), (3, -3)):
        there = shift.edges(moved(images, down, right))
        found = shift.between(borders, there)
        assert found.rows - start.rows == pytest.approx(down, abs=0.3)
        assert found.columns - start.columns == pytest.approx(right, abs=0.3)
        between = shift.between(edges, there)
        assert between.rows == pytest.approx(down, abs=0.1)
        assert between.columns == pytest.approx(right, abs=0.1)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("before", "place"),
    [("20180320", (0, 0)), ("20180325", (1, 0)), ("20180426", (1, 0))],
)
def test_a_real_acquisition_that_lies_apart_is_found_where_its_values_fit_best(
    shared_data: Path, before: str, place: tuple[int, int]
) -> None:
    """That of 2018-04-19, by whole pixels, among all moves by up to two."""
    red = []
    for day in (before, "20180419"):
        (path,) = (shared_data / "flanders" / "l2a").glob(f"*{day}*/B04.tif")
        with rasterio.open(path) as file:
            red.append(file.read(1)[:62].astype(np.float64))  # the last rows have no data
    fits = {
        (down, right): np.corrcoef(
            red[0][2:-2, 2:-2].ravel(), red[1][2 + down : 60 + down, 2 + right : 62 + right].ravel()
        )[0, 1]
        for down in range(-2, 3)
        for right in range(-2, 3)
    }
    assert max(fits, key=lambda at: fits[at]) == place
    found = shift.between(*(shift.edges(image[None]) for image in red))
    assert (found.rows, found.columns) == pytest.approx(place, abs=0.5)
    assert found.distance - 3 * found.uncertainty > 0.5 or place == (0, 0)


@pytest.mark.real_data
def test_real_bands_of_one_acquisition_lie_on_one_another(shared_data: Path) -> None:
    images, _ = flanders(shared_data / "flanders")
    red, near = shift.edges(images[::2]), shift.edges(images[1::2])
    found = shift.between(red, near)
    assert found.distance < 0.3
