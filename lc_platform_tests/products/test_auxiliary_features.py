"""Bands of further collections among the features, each by its own days and validity."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.eo import indices
from lc_platform.errors import DataError
from lc_platform.products import features
from lc_platform.products.auxiliary_features import AuxiliaryBands, decibels
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_options import FeatureOptions
from lc_platform.products.features import FeatureStack
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform_tests.products import cubes

NDVI = indices.KNOWN["NDVI"]
RADAR = AuxiliaryBands("S1", ("VV", "VH"), "power")
LANDSAT = AuxiliaryBands("L8", ("B04", "B05"), "reflectance", "BQA")
SETTINGS = FeatureOptions(
    bands=("B04", "B08"), indices=(NDVI,), interval=16, min_valid_fraction=0.1, window=256
)
TARGETS = np.arange(0, 365, 16)
CLEAR, SNOW, CLOUD, SHADOW, CIRRUS, AROUND, FILL = 21824, 30048, 22280, 23888, 54596, 21826, 1
SHAPE = (40, 30)


def main_collection() -> tuple[AcquisitionStack, CloudMasks]:
    rng = np.random.default_rng(3)
    days = range(5, 360, 30)
    raw = cubes.stack(rng.integers(1, 9000, (len(days), 2, *SHAPE)), days, ["B04", "B08"])
    return raw, cubes.masks(raw, rng.random((len(days), *SHAPE)) < 0.7)


RADAR_DAYS = [3, 9, 9, 40, 41, 200, 350]
LANDSAT_DAYS = [11, 27, 43, 300]


def measured() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(4)
    radar = rng.integers(1, 9000, (len(RADAR_DAYS), 2, *SHAPE))
    radar[2, 1, 5, 5] = 0  # no echo in VH alone
    quality = rng.choice(
        [CLEAR, SNOW, CLOUD, SHADOW, CIRRUS, AROUND, FILL], (len(LANDSAT_DAYS), 1, *SHAPE)
    )
    landsat = rng.integers(1, 40000, (len(LANDSAT_DAYS), 2, *SHAPE))
    return {
        "radar": radar,
        "radar_data": rng.random((len(RADAR_DAYS), *SHAPE)) < 0.8,
        "landsat": np.concatenate([landsat, quality], axis=1),
        "landsat_data": rng.random((len(LANDSAT_DAYS), *SHAPE)) < 0.9,
    }


def with_both() -> tuple[AcquisitionStack, CloudMasks]:
    raw, masks = main_collection()
    of = measured()
    raw = cubes.beside(raw, "S1", of["radar"], RADAR_DAYS, ["VV", "VH"], data=of["radar_data"])
    raw = cubes.beside(
        raw, "L8", of["landsat"], LANDSAT_DAYS, ["B04", "B05", "BQA"],
        collection="landsat-ot-l1", scale=[2e-5, 2e-5, 1.0], offset=-0.1, data=of["landsat_data"],
    )  # fmt: skip
    return raw, masks


def built(raw: AcquisitionStack, masks: CloudMasks, **changed: Any) -> FeatureStack:
    return FeatureStack(features.build(raw, masks, replace(SETTINGS, **changed)).load())


def plainly(values: NDArray[Any], valid: NDArray[Any], days: list[int]) -> NDArray[Any]:
    """(time, y, x) on the target dates by numpy, a pixel at a time; a day counts once."""
    out = np.full((len(TARGETS), *SHAPE), np.nan)
    for y, x in np.ndindex(*SHAPE):
        known = valid[:, y, x] & ~np.isnan(values[:, y, x])
        if known.any():
            when = np.array(days)[known]
            once = np.unique(when)
            of_day = [values[known, y, x][when == day].mean() for day in once]
            out[:, y, x] = np.interp(TARGETS, once, of_day, left=np.nan, right=np.nan)
    return out


def test_they_come_after_the_main_ones_under_names_that_say_where_they_come_from() -> None:
    raw, masks = with_both()
    stack = built(raw, masks, auxiliary=[RADAR, LANDSAT], interval=360)
    assert stack.names == (
        "B04_001", "B08_001", "NDVI_001", "S1_VV_001", "S1_VH_001", "L8_B04_001", "L8_B05_001",
        "B04_361", "B08_361", "NDVI_361", "S1_VV_361", "S1_VH_361", "L8_B04_361", "L8_B05_361",
    )  # fmt: skip


def test_radar_is_in_decibels_between_its_own_days_whatever_the_clouds() -> None:
    raw, masks = with_both()
    found = built(raw, masks, auxiliary=[RADAR, LANDSAT]).read().reshape(len(TARGETS), 7, *SHAPE)
    of = measured()
    with np.errstate(divide="ignore"):
        power = 10 * np.log10(of["radar"] * 1e-4)
    power[np.isinf(power)] = np.nan
    for band in range(2):
        expected = plainly(power[:, band], of["radar_data"], RADAR_DAYS)
        np.testing.assert_allclose(found[:, 3 + band], expected, atol=2e-5)


def test_landsat_is_reflectance_of_the_pixels_that_its_quality_band_calls_ground() -> None:
    raw, masks = with_both()
    found = built(raw, masks, auxiliary=[RADAR, LANDSAT]).read().reshape(len(TARGETS), 7, *SHAPE)
    of = measured()
    ground = np.isin(of["landsat"][:, 2], [CLEAR, SNOW]) & of["landsat_data"]
    for band in range(2):
        reflectance = of["landsat"][:, band] * 2e-5 - 0.1
        expected = plainly(reflectance, ground, LANDSAT_DAYS)
        np.testing.assert_allclose(found[:, 5 + band], expected, atol=1e-6)
    assert np.isnan(found[:, 5]).any()
    assert not np.isnan(found[:, 5]).all()


def test_the_main_collections_features_are_the_same_to_the_bit() -> None:
    raw, masks = with_both()
    alone = built(raw, masks).read().reshape(len(TARGETS), 3, *SHAPE)
    beside = built(raw, masks, auxiliary=[RADAR, LANDSAT]).read().reshape(len(TARGETS), 7, *SHAPE)
    np.testing.assert_array_equal(alone, beside[:, :3])


@pytest.mark.parametrize("window", [16, 32])
def test_the_window_changes_nothing(window: int) -> None:
    raw, masks = with_both()
    one = features.build(raw, masks, replace(SETTINGS, auxiliary=(RADAR, LANDSAT)))
    other = features.build(raw, masks, replace(SETTINGS, auxiliary=(RADAR, LANDSAT), window=window))
    np.testing.assert_array_equal(one.load().read("features"), other.load().read("features"))
    assert one.summary.facts == pytest.approx(other.summary.facts)


def test_features_that_are_not_stored_are_the_same_to_the_bit() -> None:
    raw, masks = with_both()
    stored = built(raw, masks, auxiliary=[RADAR, LANDSAT])
    recipe = features.build(
        raw, masks, replace(SETTINGS, auxiliary=(RADAR, LANDSAT), stored=False)
    ).load()
    told = json.loads(json.dumps(recipe.attributes))
    computed = FeatureStack(features.recomputed(told, raw, masks, threads=1))
    assert computed.names == stored.names
    assert computed.cube.attributes["also"] == told["also"]
    for window in (None, (slice(3, 20), slice(7, 30))):
        np.testing.assert_array_equal(computed.read(window), stored.read(window))
    one = computed.cube.read("features", date=[3, 0], feature=slice(3, 6))
    expected = stored.cube.read("features", date=[3, 0], feature=slice(3, 6))
    np.testing.assert_array_equal(one, expected)


def test_the_attributes_say_which_acquisitions_of_which_collection_they_are_made_of() -> None:
    raw, masks = with_both()
    radar, landsat = built(raw, masks, auxiliary=[RADAR, LANDSAT]).cube.attributes["also"]
    assert radar["collection"] == "sentinel-1-grd"
    assert radar["acquisitions"][:2] == ["S1_003_0", "S1_009_1"]
    assert (landsat["name"], landsat["quality_band"]) == ("L8", "BQA")
    assert len(landsat["acquisitions"]) == 4


def test_a_year_without_an_acquisition_of_it_has_no_values_and_says_so() -> None:
    raw, masks = main_collection()
    raw = cubes.beside(raw, "S1", np.empty((0, 2, *SHAPE)), [], ["VV", "VH"])
    # As an archive may leave it: the collection is told, and it has no layers.
    for name in ("S1/bands", "S1/data_mask"):
        del raw.cube.arrays[name]  # type: ignore[attr-defined]
    computed = features.build(raw, masks, replace(SETTINGS, auxiliary=(RADAR,)))
    stack = FeatureStack(computed.load())
    values = stack.read().reshape(len(TARGETS), 5, *SHAPE)
    assert np.isnan(values[:, 3:]).all()
    assert not np.isnan(values[:, 0]).all()
    assert computed.summary.facts["acquisitions_S1"] == 0
    assert stack.cube.attributes["also"][0]["acquisitions"] == []


def test_facts_count_each_collections_acquisitions() -> None:
    raw, masks = with_both()
    computed = features.build(raw, masks, replace(SETTINGS, auxiliary=(RADAR, LANDSAT)))
    computed.load()
    facts = computed.summary.facts
    assert (facts["acquisitions"], facts["acquisitions_S1"], facts["acquisitions_L8"]) == (12, 7, 4)
    assert facts["features"] == 7 * len(TARGETS)


def test_a_collection_or_band_that_was_not_acquired_is_asked_for() -> None:
    raw, masks = main_collection()
    with pytest.raises(
        DataError,
        match=r"patch 33N-r000-c000, 2018: raw_bands has no collection S1 beside the main one "
        r"\(it has none\)\. Acquire it: materialize raw_bands again",
    ):
        built(raw, masks, auxiliary=[RADAR])
    raw = cubes.beside(raw, "S1", np.ones((1, 1, *SHAPE)), [4], ["VV"])
    with pytest.raises(DataError, match=r"no band VH in raw_bands, which has VV\. Acquire it"):
        built(raw, masks, auxiliary=[RADAR])


def test_features_of_further_acquisitions_that_are_gone_are_not_computed() -> None:
    raw, masks = with_both()
    recipe = features.build(raw, masks, replace(SETTINGS, auxiliary=(RADAR,), stored=False)).load()
    fewer = cubes.beside(raw, "S1", measured()["radar"][1:], RADAR_DAYS[1:], ["VV", "VH"])
    for now in (fewer, main_collection()[0]):
        with pytest.raises(DataError, match="made of other raw_bands than there are now"):
            features.recomputed(recipe.attributes, now, masks)


def test_decibels_of_no_power_are_missing() -> None:
    found = decibels(np.array([1.0, 0.1, 0.5, 0.0, -1.0], np.float32))
    np.testing.assert_allclose(found, [0.0, -10.0, -3.0103, np.nan, np.nan], atol=1e-4)


def test_amplitude_and_power_of_one_echo_are_the_same_decibels() -> None:
    raw, masks = main_collection()
    amplitude = np.random.default_rng(5).integers(10, 20000, (3, 1, *SHAPE))
    found = []
    for quantity, numbers, scale in (
        ("amplitude", amplitude, 1e-4),
        ("power", np.rint((amplitude * 1e-4) ** 2 * 1e4), 1e-4),
    ):
        beside = cubes.beside(raw, "S1", numbers, [0, 100, 360], ["VV"], scale=scale)
        which = AuxiliaryBands("S1", ("VV",), quantity)  # type: ignore[arg-type]
        found.append(
            built(beside, masks, auxiliary=[which]).read().reshape(len(TARGETS), 4, *SHAPE)
        )
    bright = amplitude[0, 0] > 2000  # whose power is a whole number to a few parts in a thousand
    np.testing.assert_allclose(found[0][0, 3][bright], found[1][0, 3][bright], atol=0.01)
    expected = 20 * np.log10(amplitude[0, 0] * 1e-4)
    np.testing.assert_allclose(found[0][0, 3], expected, atol=1e-4)


# Orbits that are kept apart

APART = tuple(replace(RADAR, orbit=orbit) for orbit in ("ascending", "descending"))
STATES = (
    "ascending",
    "descending",
    "ascending",
    "ascending",
    "descending",
    "ascending",
    "descending",
)


def with_orbits(states: tuple[str | None, ...] = STATES) -> tuple[AcquisitionStack, CloudMasks]:
    raw, masks = main_collection()
    of = measured()
    raw = cubes.beside(
        raw, "S1", of["radar"], RADAR_DAYS, ["VV", "VH"], data=of["radar_data"], orbits=states
    )
    return raw, masks


@pytest.mark.parametrize("stored", [True, False])
def test_orbits_apart_are_features_of_their_own_between_their_own_days(stored: bool) -> None:
    raw, masks = with_orbits()
    computed = features.build(raw, masks, replace(SETTINGS, auxiliary=APART, stored=stored))
    assert computed.attributes["also"][0]["orbit"] == "ascending"
    found = (
        FeatureStack(computed.load())
        if stored
        else FeatureStack(features.recomputed(computed.attributes, raw, masks))
    )
    assert found.names[3:7] == (
        "S1_VV_ascending_001", "S1_VH_ascending_001", "S1_VV_descending_001",
        "S1_VH_descending_001",
    )  # fmt: skip
    values = found.read().reshape(len(TARGETS), 7, *SHAPE)
    of = measured()
    with np.errstate(divide="ignore"):
        power = 10 * np.log10(of["radar"] * 1e-4)
    power[np.isinf(power)] = np.nan
    for number, orbit in enumerate(("ascending", "descending")):
        own = np.array(STATES) == orbit
        days = np.array(RADAR_DAYS)[own].tolist()
        for band in range(2):
            expected = plainly(power[own, band], of["radar_data"][own], days)
            np.testing.assert_allclose(values[:, 3 + 2 * number + band], expected, atol=2e-5)


def test_what_is_made_says_how_many_acquisitions_each_orbit_has_even_none() -> None:
    raw, masks = with_orbits(("descending",) * len(RADAR_DAYS))
    computed = features.build(raw, masks, replace(SETTINGS, auxiliary=APART))
    values = FeatureStack(computed.load()).read().reshape(len(TARGETS), 7, *SHAPE)
    facts = computed.summary.facts
    assert (facts["acquisitions_S1_ascending"], facts["acquisitions_S1_descending"]) == (0, 7)
    assert np.isnan(values[:, 3:5]).all()
    assert not np.isnan(values[:, 5:7]).all()


def test_an_acquisition_that_does_not_say_its_orbit_is_named() -> None:
    raw, masks = with_orbits((*STATES[:4], None, *STATES[5:]))
    with pytest.raises(DataError, match=r"acquisition S1_041_4 of S1 does not say .* ascending or"):
        built(raw, masks, auxiliary=APART)
    assert len(built(raw, masks, auxiliary=[RADAR]).names) > 0
