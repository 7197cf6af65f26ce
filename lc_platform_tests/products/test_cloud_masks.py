"""Clouds in a patch's year: masks, validity, and that they do not depend on how they were cut."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import clouds
from lc_platform.errors import DataError
from lc_platform.products import cloud_masks
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.options import DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack, detector_grid
from lc_platform.sources.stac.archive import StacArchive
from lc_platform_tests.products import cubes

S2CLOUDLESS = DetectionOptions(method="s2cloudless", threshold=0.4, average_over=4, dilation=2)
BANDS = clouds.DETECTOR_BANDS
LAND = np.array([1300, 1000, 700, 1000, 2800, 3000, 900, 15, 1800, 1000])
"""Of a meadow, in the detector's bands."""
CLOUD = np.array([6000, 5900, 6100, 6200, 6300, 6400, 2500, 400, 4000, 3000])


def scene(shape: tuple[int, int], seed: int, share: float = 0.3) -> NDArray[np.uint16]:
    """(band, y, x): meadow with clouds some ten pixels across."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    field = sum(
        np.sin(rows / rng.uniform(3, 9) + rng.uniform(0, 6))
        + np.sin(columns / rng.uniform(3, 9) + rng.uniform(0, 6))
        for _ in range(3)
    )
    cloudy = np.asarray(field) > np.quantile(field, 1 - share)
    pixels = np.where(cloudy[None], CLOUD[:, None, None], LAND[:, None, None])
    return (pixels * rng.normal(1, 0.03, pixels.shape)).clip(1, 65535).astype(np.uint16)


def detected(raw: AcquisitionStack, **changed: Any) -> CloudMasks:
    return CloudMasks(cloud_masks.detect(raw, replace(S2CLOUDLESS, **changed)).load())


@pytest.mark.real_data
def test_full_resolution_on_the_archives_own_grid_is_s2cloudless_itself(shared_data: Path) -> None:
    folder = shared_data / "slovenia"
    archive = StacArchive(str(folder / "l1c" / "catalog.json"), "sentinel-2-l1c")
    with rasterio.open(next((folder / "l1c").glob("*/B04.tif"))) as file:
        geobox = GeoBox(file.shape, file.transform, str(file.crs))
    year = datetime(2015, 1, 1, tzinfo=UTC), datetime(2016, 1, 1, tzinfo=UTC)
    found = archive.search(geobox.extent, *year)
    pixels = [archive.read(acquisition, geobox, BANDS) for acquisition in found]
    days = [(a.datetime - year[0]).days for a in found]
    numbers = np.stack([p.values for p in pixels])
    raw = cubes.stack(numbers, days, BANDS, year=2015, geobox=geobox)

    masks = detected(raw)

    expected = np.load(folder / "expected" / "cloud_probability_s2cloudless.npy")
    # A stored probability has steps of 1/200.
    np.testing.assert_allclose(masks.probability(), expected, rtol=0, atol=1 / 400 + 1e-6)
    mask = np.load(folder / "expected" / "cloud_mask_s2cloudless.npy").astype(bool)
    np.testing.assert_array_equal(masks.cloud(), mask)
    np.testing.assert_array_equal(masks.valid(), ~mask)


def test_cloud_and_no_data_are_not_valid() -> None:
    numbers = np.stack([scene((40, 50), seed) for seed in (1, 2)])
    data = np.ones((2, 40, 50), bool)
    data[0, :, 30:] = False
    data[1] = False
    numbers[~np.broadcast_to(data[:, None], numbers.shape)] = 0
    masks = detected(cubes.stack(numbers, [10, 20], BANDS, data=data))
    cloud, valid, probability = masks.cloud(), masks.valid(), masks.probability()
    assert 0.1 < cloud[0, :, :30].mean() < 0.9
    np.testing.assert_array_equal(valid, data & ~cloud)
    np.testing.assert_array_equal(np.isnan(probability), ~data)
    assert not cloud[~data].any()
    facts = masks.acquisitions
    assert facts[0]["valid_fraction"] == pytest.approx(valid[0].mean())
    assert facts[0]["cloud_fraction"] == pytest.approx(cloud[0].mean())
    assert facts[1]["valid_fraction"] == 0


def test_where_the_detector_saw_nothing_a_pixel_is_not_valid() -> None:
    geobox = cubes.grid(32, 32)
    coarse = detector_grid(geobox, 80, 7)
    looked = np.broadcast_to(LAND[None, :, None, None], (1, 10, *coarse.shape)).copy()
    # The western half of the patch: two of its four columns of coarse pixels.
    looked[..., : 7 + 2] = 0
    numbers = np.full((1, 1, 32, 32), 1000)
    raw = cubes.stack(numbers, [10], ["B02"], detector=(looked, BANDS, coarse), geobox=geobox)
    valid = detected(raw).valid()[0]
    assert not valid[:, :16].any()
    assert valid[:, 16:].all()


def test_coarse_detection_masks_the_fine_pixels_in_a_cloudy_coarse_one() -> None:
    geobox = cubes.grid(64, 64)
    coarse = detector_grid(geobox, 80, 3)
    looked = np.broadcast_to(LAND[None, :, None, None], (1, 10, *coarse.shape)).copy()
    looked[0, :, 3 + 2, 3 + 5] = CLOUD
    raw = cubes.stack(
        np.full((1, 1, 64, 64), 1000), [10], ["B02"], detector=(looked, BANDS, coarse)
    )
    masks = detected(raw, average_over=0, dilation=0)
    expected = np.zeros((64, 64), bool)
    expected[16:24, 40:48] = True
    np.testing.assert_array_equal(masks.cloud()[0], expected)
    # Bilinear between centres: highest in the middle of the cloud, less on the way out of it.
    probability = masks.probability()[0]
    assert probability[19, 43] > probability[19, 38] > probability[19, 20]


@pytest.mark.parametrize("resolution", [10, 80])
def test_neighbouring_patches_have_the_masks_of_one_patch_twice_their_size(
    resolution: int,
) -> None:
    step = resolution // 10
    margin = clouds.detector_margin(4, 2) + (step > 1)
    reach = margin * step
    rows, columns = 32 // step + 2 * margin, 64 // step + 2 * margin
    world = scene((rows, columns), 7, share=0.15)[None].repeat(step, 2).repeat(step, 3)

    def patch(west: int, width: int) -> AcquisitionStack:
        part = world[..., west : west + width + 2 * reach]
        inner = cubes.grid(32, width, west=500_000 + 10 * west)
        if step == 1:
            return cubes.stack(part, [10], BANDS, margin=margin, geobox=inner.pad(margin))
        shape = (*part.shape[:2], part.shape[2] // step, step, part.shape[3] // step, step)
        coarse = part.reshape(shape).mean(axis=(3, 5))
        own = detector_grid(inner, resolution, margin)
        assert coarse.shape[2:] == tuple(own.shape)
        fine = part[:, :1, reach:-reach, reach:-reach]
        return cubes.stack(fine, [10], ["B01"], geobox=inner, detector=(coarse, BANDS, own))

    both, left, right = (detected(patch(*at)) for at in ((0, 64), (0, 32), (32, 32)))
    for mask in ("cloud", "valid", "probability"):
        joined = np.concatenate([getattr(left, mask)(), getattr(right, mask)()], axis=-1)
        np.testing.assert_array_equal(joined, getattr(both, mask)())
    assert 0.05 < both.cloud().mean() < 0.95


def test_a_patch_beyond_one_window_has_no_seam_even_without_a_margin() -> None:
    numbers = scene((24, 2100), 3)[None]
    mask = detected(cubes.stack(numbers, [10], BANDS)).cloud()
    reflectance = numbers.astype(np.float32) * np.float32(1e-4)
    expected = clouds.s2cloudless_mask(clouds.s2cloudless_probability(reflectance), 0.4, 4, 2)
    np.testing.assert_array_equal(mask, expected)


def test_the_providers_mask_and_probability_are_taken_as_they_are() -> None:
    # A clear pixel, a cloud, one that the provider knows nothing of, and one without data.
    told = np.array([[[[51, 255, 0, 102]], [[0, 1, 255, 1]]]])  # CLP and CLM
    raw = cubes.stack(told, [10], ["CLP", "CLM"], data=np.array([[[True, True, True, False]]]))
    masks = CloudMasks(cloud_masks.detect(raw, replace(S2CLOUDLESS, method="provider")).load())
    assert masks.valid().ravel().tolist() == [True, False, False, False]
    assert masks.cloud().ravel().tolist() == [False, True, False, False]
    np.testing.assert_array_equal(
        masks.probability().ravel(), np.array([0.2, 1.0, np.nan, np.nan], np.float32)
    )


def test_scl_takes_classes_4_5_6_7_and_11_for_clear() -> None:
    scl = np.arange(12).reshape(1, 1, 3, 4)
    raw = cubes.stack(scl, [10], ["SCL"], data=scl[:, 0] != 0)
    masks = CloudMasks(cloud_masks.detect(raw, replace(S2CLOUDLESS, method="scl")).load())
    assert scl[:, 0][masks.valid()].tolist() == [4, 5, 6, 7, 11]
    assert scl[:, 0][masks.cloud()].tolist() == [8, 9, 10]
    assert masks.probability()[0, 2, 0] == 1
    assert np.isnan(masks.probability()[0, 0, 0])
    assert scl[:, 0][masks.cube.read("shadow_mask") == 1].tolist() == [2, 3]
    assert scl[:, 0][masks.cube.read("snow_mask") == 1].tolist() == [11]


def test_a_band_that_the_detector_lacks_is_named() -> None:
    raw = cubes.stack(np.ones((1, 2, 4, 4)), [10], ["B02", "B04"])
    with pytest.raises(DataError, match=r"patch 33N-r000-c000, 2018: no band B01, .*B10.* in "
                       r"raw_bands, which has B02, B04\. Acquire it"):  # fmt: skip
        detected(raw)


def test_another_method_is_refused() -> None:
    raw = cubes.stack(np.ones((1, 1, 4, 4)), [10], ["B02"])
    with pytest.raises(ValueError, match=r"clouds\.method: cfmask is not known. Take s2cloudless"):
        detected(raw, method="cfmask")


def test_the_summary_says_how_clear_the_year_was() -> None:
    raw = cubes.stack(np.stack([scene((40, 100), seed) for seed in (1, 2)]), [10, 20], BANDS)
    computed = cloud_masks.detect(raw, S2CLOUDLESS)
    masks = CloudMasks(computed.load())
    facts = computed.summary.facts
    assert facts["acquisitions"] == 2
    assert facts["valid_fraction"] == pytest.approx(masks.valid().mean())
    assert facts["cloud_fraction"] == pytest.approx(masks.cloud().mean())
    assert computed.summary.picture is not None
    assert max(computed.summary.picture.shape[:2]) <= 64
