"""Statistics of a patch's year."""

from __future__ import annotations

import numpy as np
import pytest

from lc_platform.errors import DataError
from lc_platform.products.cloud_masks import CloudMasks, detect
from lc_platform.products.observation_stats import observe
from lc_platform.products.options import DetectionOptions, StatisticsOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform_tests.products import cubes

NAN = float("nan")


def two_pixels() -> tuple[AcquisitionStack, CloudMasks]:
    """Three acquisitions of two pixels, of which the second is cloudy on the second date and has
    no data on the third."""
    # B08 and B04 give NDVI 0.5, 0.2 and 0.8 of the first pixel; 0.6 and 0.1 of the second.
    numbers = np.array(
        [
            [[[3000, 8000]], [[1000, 2000]]],
            [[[6000, 5500]], [[4000, 4500]]],
            [[[9000, 0]], [[1000, 0]]],
        ]
    )
    data = np.array([[[True, True]], [[True, True]], [[True, False]]])
    valid = np.array([[[True, True]], [[True, False]], [[True, False]]])
    probability = np.array([[[0.0, 0.1]], [[0.2, 0.9]], [[0.1, NAN]]])
    raw = cubes.stack(numbers, [0, 10, 20], ["B08", "B04"], data=data)
    return raw, cubes.masks(raw, valid, probability)


def test_two_pixels_have_the_statistics_worked_out_by_hand() -> None:
    statistics = observe(*two_pixels(), StatisticsOptions(window=256))
    found = statistics.load()
    np.testing.assert_array_equal(found.read("valid_observations"), [[3, 1]])
    np.testing.assert_allclose(found.read("cloud_probability"), [[0.1, 0.5]], atol=1e-6)
    np.testing.assert_allclose(found.read("ndvi"), [[0.5, 0.6]], atol=1e-6)
    table = statistics.summary.table
    assert table["datetime"].tolist() == two_pixels()[0].datetimes.tolist()
    np.testing.assert_allclose(table["valid_fraction"], [1, 0.5, 0.5])
    # All pixels with data; then only those without cloud.
    np.testing.assert_allclose(table["ndvi_with_clouds"], [0.55, 0.15, 0.8], atol=1e-6)
    np.testing.assert_allclose(table["ndvi_without_clouds"], [0.55, 0.2, 0.8], atol=1e-6)
    facts = statistics.summary.facts
    assert facts["acquisitions"] == 3
    assert facts["valid_observations_mean"] == pytest.approx(2)
    assert facts["valid_observations_min"] == 1
    assert facts["pixels_never_seen"] == 0


def test_a_date_and_a_pixel_never_seen_have_no_ndvi() -> None:
    raw = cubes.stack(np.full((2, 2, 1, 2), 1000), [0, 5], ["B08", "B04"])
    masks = cubes.masks(raw, np.array([[[True, False]], [[False, False]]]))
    statistics = observe(raw, masks, StatisticsOptions(window=16))
    np.testing.assert_array_equal(statistics.load().read("ndvi"), [[0, NAN]])
    np.testing.assert_array_equal(statistics.summary.table["ndvi_without_clouds"], [0, NAN])
    assert statistics.summary.facts["pixels_never_seen"] == 0.5


def test_facts_are_of_every_pixel_also_where_the_picture_shows_but_some() -> None:
    shape = (8, 1100)
    raw = cubes.stack(np.full((1, 2, *shape), 1000), [0], ["B08", "B04"])
    valid = np.ones((1, *shape), bool)
    valid[0, 0, 0] = False
    statistics = observe(raw, cubes.masks(raw, valid), StatisticsOptions(window=64))
    statistics.load()
    assert max(statistics.summary.maps["valid_observations"].shape) <= 512
    facts = statistics.summary.facts
    assert facts["valid_observations_min"] == 0
    assert facts["pixels_never_seen"] == pytest.approx(1 / 8800)
    assert facts["valid_observations_mean"] == pytest.approx(1 - 1 / 8800)


@pytest.mark.parametrize("window", [16, 64])
def test_the_window_changes_nothing(window: int) -> None:
    rng = np.random.default_rng(7)
    raw = cubes.stack(rng.integers(1, 9000, (6, 2, 70, 90)), range(0, 60, 10), ["B08", "B04"])
    masks = cubes.masks(raw, rng.random((6, 70, 90)) < 0.6)
    one, other = (observe(raw, masks, StatisticsOptions(window=side)) for side in (256, window))
    for name, expected in one.load().arrays.items():
        if name == "":
            continue
        np.testing.assert_array_equal(other.load().read(name), expected)
    assert other.summary.facts == one.summary.facts
    for name, column in one.summary.table.items():
        if column.dtype.kind == "f":
            np.testing.assert_allclose(other.summary.table[name], column, rtol=1e-12)


def test_masks_of_other_acquisitions_are_refused() -> None:
    raw, _ = two_pixels()
    earlier = cubes.stack(np.ones((2, 2, 1, 2)), [0, 10], ["B08", "B04"])
    masks = cubes.masks(earlier, np.ones((2, 1, 2), bool))
    with pytest.raises(
        DataError,
        match=r"patch 33N-r000-c000, 2018: cloud_masks were made of other raw_bands than there are "
        r"now \(2 acquisitions on EPSG:32633, .*; now 3 on .*\)\. Materialize cloud_masks of this",
    ):
        observe(raw, masks, StatisticsOptions(window=16))


def test_snow_and_ground_have_means_of_their_own() -> None:
    """Three dates of two pixels in green, near and shortwave infrared, and red. NDSI of snow is
    (0.8 - 0.1) / 0.9; water's is as high, but its near infrared is dark."""
    snow, grass, water = [8000, 7000, 1000, 7000], [800, 4000, 2000, 1000], [600, 200, 100, 300]
    numbers = np.array([[snow, grass], [snow, snow], [water, grass]]).transpose(0, 2, 1)[:, :, None]
    raw = cubes.stack(numbers, [0, 10, 150], ["B03", "B08", "B11", "B04"])
    valid = np.array([[[True, True]], [[True, False]], [[True, True]]])
    statistics = observe(raw, cubes.masks(raw, valid), StatisticsOptions(window=16))
    statistics.load()
    table = statistics.summary.table
    np.testing.assert_allclose(table["snow_fraction"], [0.5, 0.5, 0])
    np.testing.assert_allclose(table["ndvi_of_snow"], [0, 0, NAN])
    # (0.4 - 0.1) / 0.5 of grass, (0.02 - 0.03) / 0.05 of water.
    np.testing.assert_allclose(table["ndvi_of_ground"], [0.6, NAN, (0.6 - 0.2) / 2], atol=1e-6)
    np.testing.assert_allclose(table["ndvi_without_clouds"], [0.3, 0, 0.2], atol=1e-6)


def test_snow_is_what_the_masks_say_where_they_do() -> None:
    numbers = np.array([[[3000, 3000]], [[1000, 1000]], [[11, 4]]]).reshape(1, 3, 1, 2)
    raw = cubes.stack(numbers, [0], ["B08", "B04", "SCL"])
    detected = detect(raw, DetectionOptions(method="scl"))
    statistics = observe(raw, CloudMasks(detected.load()), StatisticsOptions(window=16))
    statistics.load()
    np.testing.assert_allclose(statistics.summary.table["snow_fraction"], [0.5])


def test_the_shares_that_have_data_are_told() -> None:
    data = np.array([[[True, False, False]], [[True, True, False]]])
    raw = cubes.stack(np.full((2, 2, 1, 3), 1000), [0, 5], ["B08", "B04"], data=data)
    statistics = observe(raw, cubes.masks(raw, data), StatisticsOptions(window=16))
    statistics.load()
    np.testing.assert_allclose(statistics.summary.table["data_fraction"], [1 / 3, 2 / 3])
    assert statistics.summary.facts["pixels_without_data"] == pytest.approx(1 / 3)
