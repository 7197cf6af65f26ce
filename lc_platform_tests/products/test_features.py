"""Features on regular dates from irregular, cloudy observations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.eo import indices
from lc_platform.errors import DataError
from lc_platform.products import features
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_families import Series, Statistics
from lc_platform.products.feature_options import FeatureOptions
from lc_platform.products.features import FeatureStack
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform_tests.products import cubes as held

NDVI, NORM = indices.KNOWN["NDVI"], indices.parse("NORM", ["B04", "B08"])
SETTINGS = FeatureOptions(
    bands=("B04", "B08"), indices=(), interval=16, min_valid_fraction=0.8, window=256
)


def built(raw: AcquisitionStack, masks: CloudMasks, **changed: Any) -> FeatureStack:
    return FeatureStack(features.build(raw, masks, replace(SETTINGS, **changed)).load())


def all_valid(raw: AcquisitionStack) -> CloudMasks:
    return held.masks(raw, np.ones((len(raw), *raw.geobox.shape), bool))


def growing(days: list[int], shape: tuple[int, int] = (2, 3), year: int = 2018, **more: Any) -> Any:
    """Reflectance: B04 grows by 0.001 a day from 0.1, B08 falls by as much from 0.9."""
    numbers = np.empty((len(days), 2, *shape))
    numbers[:, 0] = 1000 + 10 * np.array(days)[:, None, None]
    numbers[:, 1] = 9000 - 10 * np.array(days)[:, None, None]
    return held.stack(numbers, days, ["B04", "B08"], year=year, **more)


def test_a_linear_year_gives_its_values_on_the_regular_dates_and_none_beyond_them() -> None:
    raw = growing([10, 33, 34, 90, 200])
    stack = built(raw, all_valid(raw))
    values = stack.read().reshape(23, 2, 2, 3)
    targets = np.arange(0, 365, 16)
    inside = (targets >= 10) & (targets <= 200)
    assert inside.sum() == 12
    expected = 0.1 + 0.001 * targets[inside]
    np.testing.assert_allclose(values[inside, 0, 1, 2], expected, atol=1e-6)
    np.testing.assert_allclose(values[inside, 1, 0, 0], 1.0 - expected, atol=1e-6)
    assert np.isnan(values[~inside]).all()


def test_days_around_a_season_bound_its_series_and_are_in_nothing_else() -> None:
    raw = growing([-10, 100, 376])
    valid = np.ones((3, 2, 3), bool)
    valid[1, 0, 0] = False  # never seen in the season
    median = Statistics(percentiles=(50.0,), measures=())
    stack = built(raw, held.masks(raw, valid), families=(Series(), median))
    values = stack.read()
    series = values[: 2 * 23].reshape(23, 2, 2, 3)
    np.testing.assert_allclose(series[:, 0, 1, 2], 0.1 + 0.001 * np.arange(0, 365, 16), atol=1e-6)
    assert stack.names[2 * 23 :] == ("B04_p50", "B08_p50")
    np.testing.assert_allclose(values[2 * 23 :, 1, 2], [0.2, 0.8], atol=1e-6)  # of day 100
    assert np.isnan(values[:, 0, 0]).all()
    assert np.isnan(values).sum() == len(values)


def test_a_cloudy_observation_is_passed_over_and_shortens_the_pixels_year() -> None:
    raw = growing([0, 8, 32])
    raw.cube.arrays["bands"][1, :, 0, 0] = 9999
    valid = np.ones((3, 2, 3), bool)
    valid[1, 0, 0] = valid[2, 1, 1] = False
    values = built(raw, held.masks(raw, valid)).read().reshape(23, 2, 2, 3)
    np.testing.assert_allclose(values[:3, 0, 0, 0], [0.1, 0.116, 0.132], atol=1e-6)
    assert not np.isnan(values[0, 0, 1, 1])
    assert np.isnan(values[1:, 0, 1, 1]).all()


def test_names_are_the_feature_and_the_day_of_the_year_from_1() -> None:
    raw = growing([0, 360])
    stack = built(raw, all_valid(raw), indices=[NDVI, NORM], interval=180)
    assert stack.names == (
        "B04_001", "B08_001", "NDVI_001", "NORM_001",
        "B04_181", "B08_181", "NDVI_181", "NORM_181",
        "B04_361", "B08_361", "NDVI_361", "NORM_361",
    )  # fmt: skip
    values = dict(zip(stack.names, stack.read()[:, 0, 0].tolist(), strict=True))
    assert values["B04_361"] == pytest.approx(0.46)
    assert values["NDVI_001"] == pytest.approx((0.9 - 0.1) / (0.9 + 0.1))
    assert values["NORM_001"] == pytest.approx(np.hypot(0.1, 0.9))
    # An index is interpolated itself; that of interpolated bands would be 0.44.
    assert values["NDVI_181"] == pytest.approx((0.8 + 0.08 / 1.0) / 2)


def test_a_band_that_only_an_index_needs_is_no_feature() -> None:
    raw = growing([0, 360])
    stack = built(raw, all_valid(raw), bands=["B08"], indices=[NDVI], interval=360)
    assert stack.names == ("B08_001", "NDVI_001", "B08_361", "NDVI_361")


@pytest.mark.parametrize(("year", "last"), [(2019, "2019-12-31"), (2020, "2020-12-30")])
def test_dates_run_to_the_end_of_the_year_also_of_a_leap_year(year: int, last: str) -> None:
    raw = growing([0, 364], year=year)
    computed = features.build(raw, all_valid(raw), replace(SETTINGS, interval=4))
    dates = computed.coordinates["date"].astype("datetime64[D]").astype(str)
    assert dates[0] == f"{year}-01-01"
    # Day 364 is 31 December, and 30 December in a leap year, whose day 366 is not on the grid.
    assert dates[-1] == last
    daily = features.build(raw, all_valid(raw), replace(SETTINGS, interval=1))
    assert len(daily.coordinates["date"]) == (366 if year == 2020 else 365)


def test_acquisitions_of_both_baselines_give_the_same_reflectance() -> None:
    # Baseline 04.00 adds 1000 to the digital numbers and says so by an offset of -0.1.
    raw = held.stack(
        np.array([2000, 3000]).reshape(2, 1, 1, 1), [0, 16], ["B04"], offsets=[0.0, -0.1]
    )
    stack = built(raw, all_valid(raw), bands=["B04"])
    np.testing.assert_allclose(stack.read()[:2, 0, 0], [0.2, 0.2], atol=1e-6)


def test_an_acquisition_that_shows_too_little_is_left_out() -> None:
    raw = growing([0, 8, 16], shape=(10, 10))
    raw.cube.arrays["bands"][1] = 0
    valid = np.ones((3, 10, 10), bool)
    valid[1, :2, :] = False
    valid[1, 2, 0] = False  # 79 of 100
    out = built(raw, held.masks(raw, valid), interval=8)
    np.testing.assert_allclose(out.read()[2, 5, 5], 0.108, atol=1e-6)
    assert out.cube.attributes["acquisitions"] == ["20180101T120000_0", "20180117T120000_2"]
    valid[1, 2, 0] = True  # 80 of 100
    kept = built(raw, held.masks(raw, valid), interval=8)
    np.testing.assert_allclose(kept.read()[2, 5, 5], 0, atol=1e-6)
    np.testing.assert_allclose(kept.read()[2, 0, 5], 0.108, atol=1e-6)


def test_a_patch_that_is_always_cloudy_is_an_error_that_says_what_to_change() -> None:
    raw = growing([0, 8], shape=(10, 10))
    valid = np.zeros((2, 10, 10), bool)
    valid[1, :4] = True
    with pytest.raises(
        DataError,
        match=r"patch 33N-r000-c000, 2018: none of 2 acquisitions shows at least 80% of the patch "
        r"\(the best, 20180109T120000_1, 40%\)\. Lower features\.min_valid_fraction, raise "
        r"imagery\.max_cloud_cover, or leave the patch out",
    ):
        built(raw, held.masks(raw, valid))
    with pytest.raises(DataError, match="none of 2 acquisitions"):
        built(raw, held.masks(raw, valid & False), min_valid_fraction=0.0)


def test_masks_of_another_grid_are_refused() -> None:
    raw = growing([0, 8])
    elsewhere = growing([0, 8], geobox=held.grid(2, 3, west=600_000))
    with pytest.raises(DataError, match="cloud_masks were made of other raw_bands"):
        built(raw, all_valid(elsewhere))


@pytest.mark.parametrize("window", [16, 64])
def test_the_window_changes_nothing(window: int) -> None:
    rng = np.random.default_rng(7)
    raw = held.stack(rng.integers(1, 9000, (9, 2, 70, 90)), range(0, 90, 10), ["B08", "B04"])
    masks = held.masks(raw, rng.random((9, 70, 90)) < 0.6)
    settings = replace(SETTINGS, indices=(NDVI, NORM), min_valid_fraction=0.1)
    one = features.build(raw, masks, settings)
    other = features.build(raw, masks, replace(settings, window=window))
    np.testing.assert_array_equal(one.load().read("features"), other.load().read("features"))
    assert other.summary.facts == pytest.approx(one.summary.facts)


def test_facts_say_how_much_was_used_and_how_much_of_the_year_is_known() -> None:
    raw = growing([0, 182])
    computed = features.build(raw, all_valid(raw), replace(SETTINGS, interval=182))
    computed.load()
    facts = computed.summary.facts
    assert facts["acquisitions"] == facts["acquisitions_used"] == 2
    assert facts["features"] == 6
    assert facts["valid_fraction"] == pytest.approx(2 / 3)


def noisy() -> tuple[AcquisitionStack, CloudMasks]:
    rng = np.random.default_rng(11)
    raw = held.stack(rng.integers(1, 9000, (9, 2, 70, 90)), range(0, 90, 10), ["B08", "B04"])
    return raw, held.masks(raw, rng.random((9, 70, 90)) < 0.6)


def test_features_that_are_not_stored_are_the_same_to_the_bit() -> None:
    raw, masks = noisy()
    settings = replace(SETTINGS, indices=(NDVI, NORM), min_valid_fraction=0.1)
    stored = FeatureStack(features.build(raw, masks, settings).load())
    recipe = features.build(raw, masks, replace(settings, stored=False)).load()
    assert recipe.arrays == {}
    computed = FeatureStack(features.recomputed(recipe.attributes, raw, masks, threads=1))
    assert computed.names == stored.names
    for window in (None, (slice(3, 40), slice(50, 90))):
        np.testing.assert_array_equal(computed.read(window), stored.read(window))
    one = computed.cube.read("features", date=3, feature=slice(1, 3))
    np.testing.assert_array_equal(one, stored.cube.read("features", date=3, feature=slice(1, 3)))


def test_features_of_acquisitions_that_are_gone_are_not_computed() -> None:
    raw, masks = noisy()
    recipe = features.build(
        raw, masks, replace(SETTINGS, min_valid_fraction=0.1, stored=False)
    ).load()
    fewer = held.stack(raw.digital_numbers()[1:], range(10, 90, 10), ["B08", "B04"])
    with pytest.raises(
        DataError,
        match=r"patch 33N-r000-c000, 2018: features were made of other raw_bands than there are "
        r"now\. Materialize features of this patch again",
    ):
        features.recomputed(recipe.attributes, fewer, held.masks(fewer, masks.valid()[1:]))


@pytest.mark.parametrize("other", ["raw_bands", "cloud_masks"])
def test_features_are_not_computed_of_imagery_or_masks_that_were_made_again(other: str) -> None:
    raw, masks = noisy()
    cubes = {"raw_bands": raw.cube, "cloud_masks": masks.cube}
    for cube in cubes.values():
        cube.attributes = {**cube.attributes, "content_id": "1"}  # type: ignore[misc]
    recipe = features.build(
        raw, masks, replace(SETTINGS, min_valid_fraction=0.1, stored=False)
    ).load()
    features.recomputed(recipe.attributes, raw, masks)
    cubes[other].attributes = {**cubes[other].attributes, "content_id": "2"}  # type: ignore[misc]
    with pytest.raises(DataError, match=f"made of other {other} than there are now"):
        features.recomputed(recipe.attributes, raw, masks)


# Patches at the border of the area, or of the imagery


def at_the_border(
    data: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> tuple[AcquisitionStack, CloudMasks]:
    """Acquisitions eight days apart, with data and valid pixels (time, y, x)."""
    raw = growing([8 * i for i in range(len(data))], data.shape[1:], data=data)
    return raw, held.masks(raw, valid & data)


def used(raw: AcquisitionStack, masks: CloudMasks, **changed: Any) -> list[int]:
    return list(features.on_the_fly(raw, masks, replace(SETTINGS, **changed)).used)


def test_a_patch_of_which_a_quarter_is_imaged_keeps_what_shows_that_quarter() -> None:
    data = np.zeros((3, 8, 8), bool)
    data[:, :4, :4] = True
    valid = np.ones((3, 8, 8), bool)
    valid[1, :, :2] = False  # half of what is shown
    valid[2, 0, 0:3] = False  # 3 of 16
    assert used(*at_the_border(data, valid)) == [0, 2]
    assert used(*at_the_border(data, valid), min_valid_fraction=0.9) == [0]


def test_what_one_acquisition_shows_counts_for_all_of_the_year() -> None:
    """Orbits see two halves of a patch: what the other one shows is missing here."""
    data = np.zeros((3, 8, 8), bool)
    data[0, :, :4] = data[1, :, 4:] = data[2, :, :6] = True
    assert used(*at_the_border(data, np.ones_like(data)), min_valid_fraction=0.7) == [2]


def test_clouds_beyond_the_area_do_not_count() -> None:
    data = np.ones((3, 8, 8), bool)
    valid = np.ones((3, 8, 8), bool)
    valid[0, :, 2:] = False  # beyond the area
    valid[1, :6, :2] = False  # within it, 12 of its 16 pixels
    raw, masks = at_the_border(data, valid)
    assert used(raw, masks, area=held.west_of(2)) == [0, 2]
    assert used(raw, masks) == [1, 2]
    assert used(raw, masks, area=held.west_of(2), min_valid_fraction=0.2) == [0, 1, 2]


def test_what_is_neither_in_the_area_nor_imaged_does_not_count() -> None:
    data = np.zeros((2, 8, 8), bool)
    data[:, :4] = True
    valid = np.ones((2, 8, 8), bool)
    valid[0, :, 3:] = False
    valid[1, 0, :2] = False  # 2 of the 8 that are both in the area and imaged
    raw, masks = at_the_border(data, valid)
    assert used(raw, masks, area=held.west_of(2)) == [0]
    assert used(raw, masks, area=held.west_of(2), min_valid_fraction=0.75) == [0, 1]


def test_an_area_that_holds_no_pixel_of_the_patch_has_no_say() -> None:
    data = np.ones((2, 8, 8), bool)
    valid = np.ones((2, 8, 8), bool)
    valid[1, :4] = False
    assert used(*at_the_border(data, valid), area=held.west_of(-1)) == [0]


def test_an_area_of_which_nothing_is_imaged_is_told() -> None:
    data = np.zeros((2, 8, 8), bool)
    data[:, :, 4:] = True
    raw, masks = at_the_border(data, data)
    with pytest.raises(
        DataError, match=r"none of 2 acquisitions has a valid pixel of what the area"
    ):
        used(raw, masks, area=held.west_of(2))
