"""Labelled pixels drawn from a patch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer

from lc_platform.config.input_files import InputFile
from lc_platform.errors import DataError
from lc_platform.products.features import FeatureStack
from lc_platform.products.sampling_options import SamplingOptions
from lc_platform.products.training_samples import Samples, collect
from lc_platform.sources.point_options import PointOptions
from lc_platform.sources.sample_points import SamplePoints
from lc_platform_tests.products import cubes

SETTINGS = SamplingOptions(pixels_per_patch=50, erosion=1, seed=42, window=256)


def numbered(rows: int, columns: int, **more: Any) -> FeatureStack:
    """Two features of which the first is the pixel's number in row-major order."""
    number = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    return cubes.feature_stack(np.stack([number, -number])[None], ("A", "B"), **more)


def halves(rows: int = 20, columns: int = 20) -> np.ndarray[Any, Any]:
    classes = np.full((rows, columns), 3, np.uint8)
    classes[:, columns // 2 :] = 7
    return classes


def test_samples_are_the_features_and_classes_of_their_pixels() -> None:
    features, classes = numbered(20, 20), halves()
    found = collect(features, cubes.reference(classes), SETTINGS)
    assert (found.patch, found.year, found.names) == (cubes.PATCH, 2018, ("A_001", "B_001"))
    assert len(found) == 50
    np.testing.assert_array_equal(found.classes, classes[found.rows, found.columns])
    np.testing.assert_array_equal(found.features[:, 0], found.rows * 20 + found.columns)
    np.testing.assert_array_equal(found.features[:, 1], -found.features[:, 0])
    assert len({*zip(found.rows.tolist(), found.columns.tolist(), strict=True)}) == 50


@pytest.mark.parametrize("window", [16, 256])
def test_samples_know_the_polygon_that_they_come_from(window: int) -> None:
    ids = np.arange(400, dtype=np.uint32).reshape(20, 20) + 70_000
    reference = cubes.reference(halves(), polygons=ids)
    found = collect(numbered(20, 20), reference, replace(SETTINGS, window=window))
    np.testing.assert_array_equal(found.polygons, ids[found.rows, found.columns])


def test_samples_of_a_reference_without_polygons_have_none() -> None:
    assert not collect(numbered(20, 20), cubes.reference(halves()), SETTINGS).polygons.any()


def test_only_unambiguous_pixels_away_from_another_class_are_drawn() -> None:
    ambiguous = np.zeros((20, 20), bool)
    ambiguous[5, 4] = True
    classes = halves()
    classes[15:, :] = 0
    reference = cubes.reference(classes, ambiguous)
    found = collect(numbered(20, 20), reference, replace(SETTINGS, pixels_per_patch=10_000))
    drawn = np.zeros((20, 20), bool)
    drawn[found.rows, found.columns] = True
    # Row 14 lies at unlabelled ground, columns 9 and 10 at each other's class; the ambiguous
    # pixel takes its four neighbours with it.
    expected = np.zeros((20, 20), bool)
    expected[:14, :9] = expected[:14, 11:] = True
    for row, column in ((5, 4), (4, 4), (6, 4), (5, 3), (5, 5)):
        expected[row, column] = False
    np.testing.assert_array_equal(drawn, expected)


def same(one: Samples, other: Samples) -> bool:
    return np.array_equal(one.rows, other.rows) and np.array_equal(one.columns, other.columns)


def test_the_draw_depends_on_the_seed_and_the_patch_alone() -> None:
    reference = cubes.reference(halves())
    first = collect(numbered(20, 20), reference, SETTINGS)
    assert same(first, collect(numbered(20, 20), reference, replace(SETTINGS, window=16)))
    assert same(first, collect(numbered(20, 20, year=2019), reference, SETTINGS))
    assert not same(first, collect(numbered(20, 20), reference, replace(SETTINGS, seed=43)))
    neighbour = numbered(20, 20, patch="33N-r000-c001")
    assert not same(first, collect(neighbour, reference, SETTINGS))


@pytest.mark.parametrize("window", [16, 32])
def test_the_window_changes_nothing(window: int) -> None:
    features, reference = numbered(50, 70), cubes.reference(halves(50, 70))
    one = collect(features, reference, SETTINGS)
    other = collect(features, reference, replace(SETTINGS, window=window))
    np.testing.assert_array_equal(one.features, other.features)


def test_a_pixel_without_any_feature_is_not_kept_and_one_with_some_is() -> None:
    values = np.zeros((2, 1, 6, 6), np.float32)
    values[:, :, :3] = np.nan
    values[0, :, 3:] = np.nan
    features = cubes.feature_stack(values, ("A",), (0, 16))
    found = collect(features, cubes.reference(np.ones((6, 6))), replace(SETTINGS, erosion=0))
    assert sorted(set(found.rows.tolist())) == [3, 4, 5]
    assert len(found) == 18
    assert np.isnan(found.features[:, 0]).all()


def test_a_patch_without_a_label_has_no_samples() -> None:
    found = collect(numbered(6, 6), cubes.reference(np.zeros((6, 6))), SETTINGS)
    assert len(found) == 0
    assert found.features.shape == (0, 2)


def test_a_reference_on_another_grid_is_refused() -> None:
    for other in (cubes.grid(20, 20, west=600_000), cubes.grid(10, 10, resolution=20)):
        reference = cubes.reference(np.ones(other.shape), geobox=other)
        with pytest.raises(
            DataError,
            match=r"patch 33N-r000-c000, 2018: features and reference_rasters lie on different "
            r"grids \(EPSG:32633, 20 x 20 pixels from 500000 5200000; EPSG:32633, .*\)\. The area "
            r"has changed since .*: materialize both of this patch again",
        ):
            collect(numbered(20, 20), reference, SETTINGS)


def test_what_lies_beyond_the_area_is_not_drawn() -> None:
    asked = replace(SETTINGS, pixels_per_patch=10_000)
    everything = collect(numbered(20, 20), cubes.reference(halves()), asked)
    found = collect(
        numbered(20, 20), cubes.reference(halves()), replace(asked, area=cubes.west_of(14))
    )
    # The area's border is no border of classes: it erodes nothing.
    inside = everything.columns < 14
    np.testing.assert_array_equal(found.columns, everything.columns[inside])
    np.testing.assert_array_equal(found.features, everything.features[inside])
    assert set(found.classes) == {3, 7}


def test_pixels_to_validate_on_are_drawn_of_all_that_have_a_label() -> None:
    classes = halves(40, 40)
    features = numbered(40, 40)
    asked = replace(SETTINGS, pixels_per_patch=400, erosion=3, validation_pixels=800)
    found = collect(features, cubes.reference(classes), asked)
    alone = collect(features, cubes.reference(classes), replace(asked, validation_pixels=0))
    assert found.for_training == len(alone) == 400
    np.testing.assert_array_equal(found.rows[:400], alone.rows)
    np.testing.assert_array_equal(found.columns[:400], alone.columns)
    assert found.for_validation.sum() == 800
    numbers = found.rows * 40 + found.columns
    assert len(set(numbers.tolist())) == len(found) < 1200  # some are for both
    np.testing.assert_array_equal(found.features[:, 0], numbers)
    near = np.abs(found.columns - 19.5) < 3
    assert not near[:400].any()
    # A seventh of the columns are that near, and of pixels that are drawn from all of them.
    assert 0.1 < near[found.for_validation].mean() < 0.2
    assert alone.for_validation.all()


def parcels(rows: int = 40, columns: int = 40) -> np.ndarray[Any, Any]:
    """Ids of parcels of 8 x 2 pixels, of which `halves` has the western half in class 3."""
    row, column = np.mgrid[:rows, :columns]
    return (1 + (row // 2) * 5 + column // 8).astype(np.uint32)


@pytest.mark.parametrize("window", [16, 256])
def test_the_same_number_is_drawn_of_each_polygon(window: int) -> None:
    classes = halves(40, 40)
    reference = cubes.reference(classes, polygons=parcels())
    asked = replace(
        SETTINGS, strategy="by_polygon", pixels_per_polygon=3, pixels_per_patch=999, erosion=0
    )
    found = collect(numbered(40, 40), reference, replace(asked, window=window))
    ids, counts = np.unique(found.polygons, return_counts=True)
    assert (len(ids), set(counts.tolist())) == (100, {3})
    np.testing.assert_array_equal(found.polygons, parcels()[found.rows, found.columns])
    assert same(found, collect(numbered(40, 40), reference, asked))


def test_the_same_number_is_drawn_of_each_class() -> None:
    classes = halves(40, 40)
    classes[:, :38] = 3
    asked = replace(SETTINGS, strategy="balanced", pixels_per_patch=100, erosion=0)
    of = cubes.reference(classes)
    assert np.bincount(collect(numbered(40, 40), of, asked).classes)[[3, 7]].tolist() == [50, 50]
    capped = replace(asked, pixels_per_class=20)
    assert np.bincount(collect(numbered(40, 40), of, capped).classes)[[3, 7]].tolist() == [20, 20]


def test_polygons_that_erosion_leaves_too_little_of_are_not_eroded() -> None:
    classes, ids = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint32)
    classes[4:6, 2:20], ids[4:6, 2:20] = 3, 1  # no pixel of it has four neighbours of its class
    classes[10:30, 10:30], ids[10:30, 10:30] = 7, 2  # 324 of 400 have
    asked = replace(SETTINGS, pixels_per_patch=9999)
    of = cubes.reference(classes, polygons=ids)
    assert np.unique(collect(numbered(40, 40), of, asked).polygons).tolist() == [2]
    for window in (16, 256):
        kept = replace(asked, core_fraction=0.5, window=window)
        found = collect(numbered(40, 40), of, kept)
        assert np.bincount(found.polygons)[1:].tolist() == [36, 324]
    whole = collect(numbered(40, 40), of, replace(asked, core_fraction=0.9))
    assert np.bincount(whole.polygons)[1:].tolist() == [36, 400]


def test_a_class_may_be_eroded_by_less() -> None:
    asked = replace(SETTINGS, pixels_per_patch=9999, erosion=3, class_erosion={7: 0})
    found = collect(numbered(20, 20), cubes.reference(halves()), asked)
    assert np.bincount(found.classes)[[3, 7]].tolist() == [20 * 7, 200]


@pytest.mark.parametrize(
    "asked", [{"core_fraction": 0.5}, {"strategy": "by_polygon", "pixels_per_polygon": 5}]
)
def test_polygons_of_a_reference_that_has_none_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"33N-r000-c000, 2018: its reference has labels that are"):
        collect(numbered(20, 20), cubes.reference(halves()), replace(SETTINGS, **asked))


def brought(pixels: list[tuple[int, int]], classes: list[int], year: int = 2018) -> SamplePoints:
    """Points in the middles of pixels of `cubes.grid`."""
    rows, columns = np.array(pixels).T
    west, north = 500_005 + 10 * columns, 5_199_995 - 10 * rows
    place = Transformer.from_crs(32633, 4326, always_xy=True).transform(west, north)
    ids, years = np.array(classes, np.uint8), np.full(len(pixels), year)
    return SamplePoints(*place, ids, years, np.arange(2.0, 2 + len(pixels)))


def pointed(**changes: Any) -> SamplingOptions:
    told = PointOptions(
        file=InputFile("p", "p"), attribute="class", date="date", classes={}, **changes
    )
    return replace(SETTINGS, points=told)


def test_points_are_samples_beside_those_of_the_map_and_their_pixels_are_not_drawn() -> None:
    classes, ids = halves(40, 40), parcels()
    points = brought([(30, 3), (2, 30), (5, 39)], [7, 3, 3])
    asked = replace(pointed(), pixels_per_patch=9999, validation_pixels=9999)
    of = cubes.reference(classes, polygons=ids)
    found = collect(numbered(40, 40), of, replace(asked, area=cubes.west_of(35)), points)
    assert found.points is not None
    assert found.weights is not None
    assert np.flatnonzero(found.points).tolist() == [0, 1]  # the third is beyond the area
    assert list(zip(found.rows[:2], found.columns[:2], strict=True)) == [(2, 30), (30, 3)]
    assert found.classes[:2].tolist() == [3, 7]
    assert found.weights[:3].tolist() == [3, 2, 1]
    assert found.polygons[:2].tolist() == [ids[2, 30], ids[30, 3]]
    np.testing.assert_array_equal(found.features[:, 0], found.rows * 40 + found.columns)
    assert len({*zip(found.rows.tolist(), found.columns.tolist(), strict=True)}) == len(found)
    assert found.for_validation[:2].tolist() == [False, False]
    assert found.for_validation.sum() == 40 * 35 - 2


def test_points_alone_are_trained_on_and_the_map_is_what_is_validated_on() -> None:
    points = brought([(1, 1), (9, 15)], [3, 7])
    asked = replace(pointed(alone=True), validation_pixels=30)
    found = collect(numbered(20, 20), cubes.reference(halves()), asked, points)
    assert found.for_training == 2
    assert found.for_validation.tolist() == [False] * 2 + [True] * 30
    of_2019 = collect(numbered(20, 20, year=2019), cubes.reference(halves()), asked, points)
    assert of_2019.for_training == 0
