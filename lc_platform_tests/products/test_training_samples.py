"""Labelled pixels drawn from a patch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lc_platform.errors import DataError
from lc_platform.products.features import FeatureStack
from lc_platform.products.options import SamplingOptions
from lc_platform.products.training_samples import Samples, collect
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
