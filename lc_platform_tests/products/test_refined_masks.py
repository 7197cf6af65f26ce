"""Shadows, snow and what the season shows: masks that do not depend on how the ground was cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.config import parse
from lc_platform.eo import clouds
from lc_platform.eo.sun import sun_position
from lc_platform.products import cloud_masks
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.options import AcquisitionOptions, DetectionOptions
from lc_platform.products.raw_bands import SUN, AcquisitionStack, detector_grid
from lc_platform_tests.products import cubes

pytestmark = pytest.mark.slow

BANDS = (*clouds.DETECTOR_BANDS, "B03")
LAND = np.array([1300, 1000, 700, 1000, 2800, 3000, 900, 15, 1800, 1000, 950])
CLOUD = np.array([6000, 5900, 6100, 6200, 6300, 6400, 2500, 400, 4000, 3000, 6000])
SNOW = np.array([7600, 7500, 7400, 7300, 7000, 6900, 3000, 20, 800, 600, 7400])
SHADE = np.array([1200, 850, 450, 550, 900, 950, 300, 12, 500, 300, 700])
DAYS = list(range(10, 350, 20))
REACH = 6
"""Pixels of 80 m in which clouds are looked for."""
MARGIN = REACH + 1
ROWS, COLUMNS = 4, 8
"""Pixels of 80 m under the map."""
CLOUDY, SHADED = (MARGIN + 6, MARGIN + COLUMNS + 3), (MARGIN + 2, MARGIN + COLUMNS - 1)
"""A cloud in the margin in the south-east, and its shadow on the ground that is mapped: the sun
stands at 135 degrees, and the cloud 4 pixels away along both axes."""


def world() -> NDArray[np.int_]:
    """(time, band, y, x) of 80 m: a meadow; a cloud and its shadow, and another shade without a
    cloud, in the third acquisition; snow in the first; a roof in one pixel."""
    shape = len(DAYS), ROWS + 2 * MARGIN, COLUMNS + 2 * MARGIN
    pixels = np.broadcast_to(LAND[None, :, None, None], (shape[0], len(BANDS), *shape[1:])).copy()
    pixels[2, :, CLOUDY[0], CLOUDY[1]] = CLOUD
    pixels[2, :, SHADED[0], SHADED[1]] = SHADE
    pixels[2, 4:6, MARGIN, MARGIN + 2] = 2000, 2100
    pixels[0, :, MARGIN + 1, MARGIN + 1] = SNOW
    return pixels


def patch(first: int, columns: int, suns: list[tuple[float, float]] | None) -> AcquisitionStack:
    """Some columns of 80 m of the world as a patch of its own."""
    part = world()[..., first : first + columns + 2 * MARGIN]
    inner = cubes.grid(8 * ROWS, 8 * columns, west=500_000 + 80 * first)
    own = detector_grid(inner, 80, MARGIN)
    assert part.shape[2:] == tuple(own.shape)
    fine = np.full((len(DAYS), 1, *inner.shape), 1000)
    raw = cubes.stack(fine, DAYS, ["B01"], geobox=inner, detector=(part, BANDS, own))
    for facts, sun in zip(raw.cube.attributes["acquisitions"], suns or [], strict=False):
        facts |= dict(zip(SUN, sun, strict=True))
    return raw


def detected(raw: AcquisitionStack, **changed: Any) -> CloudMasks:
    options: dict[str, Any] = {
        "average_over": 0, "dilation": 0, "shadow_reach": 80.0 * REACH, "threads": 1, **changed,
    }  # fmt: skip
    return CloudMasks(cloud_masks.detect(raw, DetectionOptions(**options)).load())


def coarse(masks: CloudMasks, layer: str) -> NDArray[np.bool_]:
    """(time, y, x) of 80 m; all fine pixels in one agree."""
    values = masks.cube.read(layer).astype(bool)
    found: NDArray[np.bool_] = values[:, ::8, ::8]
    np.testing.assert_array_equal(found.repeat(8, 1).repeat(8, 2), values)
    return found


SUNS = [(135.0, 45.0)] * len(DAYS)


def test_a_cloud_beyond_the_patch_casts_its_shadow_on_it() -> None:
    masks = detected(patch(0, COLUMNS, SUNS), shadows=True)
    shadow = coarse(masks, "shadow_mask")
    expected = np.zeros_like(shadow)
    expected[2, SHADED[0] - MARGIN, SHADED[1] - MARGIN] = True
    np.testing.assert_array_equal(shadow, expected)
    np.testing.assert_array_equal(coarse(masks, "valid"), ~expected)
    assert not masks.cloud().any()


def test_a_cloud_beyond_the_reach_casts_none() -> None:
    raw = patch(0, COLUMNS, SUNS)
    assert detected(raw, shadows=True).cube.read("shadow_mask").any()
    grid = raw.cube.grids["detector"]
    inner = slice(3, grid.shape[0] - 3), slice(3, grid.shape[1] - 3)
    own = cubes.stack(
        np.full((len(DAYS), 1, *raw.geobox.shape), 1000), DAYS, ["B01"], geobox=raw.geobox,
        detector=(world()[..., inner[0], inner[1]], BANDS, grid[inner]),
    )  # fmt: skip
    for facts in own.cube.attributes["acquisitions"]:
        facts |= dict(zip(SUN, SUNS[0], strict=True))
    assert not detected(own, shadows=True, shadow_reach=240.0).cube.read("shadow_mask").any()


def test_a_season_shows_what_is_dark_beyond_doubt_without_any_cloud() -> None:
    masks = detected(patch(0, COLUMNS, SUNS), temporal=True)
    shadow = coarse(masks, "shadow_mask")
    assert shadow[2, SHADED[0] - MARGIN, SHADED[1] - MARGIN]
    assert shadow[[0, 1, *range(3, len(DAYS))]].sum() == 0


def test_snow_is_used_unless_it_is_asked_for() -> None:
    raw = patch(0, COLUMNS, SUNS)
    found = detected(raw, snow=True, threshold=1.0)
    snow = coarse(found, "snow_mask")
    assert np.argwhere(snow).tolist() == [[0, 1, 1]]
    np.testing.assert_array_equal(coarse(found, "valid"), ~snow)
    kept = detected(raw, temporal=True, threshold=1.0)
    np.testing.assert_array_equal(coarse(kept, "snow_mask"), snow)
    assert coarse(kept, "valid")[0, 1, 1]


@pytest.mark.parametrize("told", [True, False], ids=["told", "computed"])
def test_neighbouring_patches_have_the_masks_of_one_patch_twice_their_size(told: bool) -> None:
    suns = SUNS if told else None
    wanted = {"shadows": True, "snow": True, "temporal": True}
    both, left, right = (
        detected(patch(first, columns, suns), **wanted)
        for first, columns in ((0, COLUMNS), (0, COLUMNS // 2), (COLUMNS // 2, COLUMNS // 2))
    )
    for layer in both.cube.layers:
        joined = np.concatenate([one.cube.read(layer) for one in (left, right)], axis=-1)
        np.testing.assert_array_equal(joined, both.cube.read(layer))


def test_without_angles_from_the_archive_the_sun_is_that_of_place_and_time() -> None:
    # At noon UTC, 15 degrees east of Greenwich, the sun stands in the south-west.
    azimuth, elevation = sun_position(np.datetime64("2018-02-20T12:00"), 15.0, 46.95)
    assert 180 < azimuth < 230
    told = detected(patch(0, COLUMNS, [(float(azimuth), float(elevation))] * len(DAYS)),
                    shadows=True)  # fmt: skip
    computed = detected(patch(0, COLUMNS, None), shadows=True)
    for layer in told.cube.layers:
        np.testing.assert_array_equal(computed.cube.read(layer), told.cube.read(layer))


def test_an_acquisition_under_a_sun_below_the_horizon_is_named() -> None:
    raw = patch(0, COLUMNS, [(135.0, -2.5)] * len(DAYS))
    computed = cloud_masks.detect(
        raw, DetectionOptions(average_over=0, dilation=0, shadows=True, shadow_reach=80.0 * REACH)
    )
    masks = CloudMasks(computed.load())
    key = raw.keys[2]
    assert computed.summary.warnings == {
        key: "the sun stands 2.5 degrees below the horizon, and no shadow of a cloud is found. "
        f"Leave it out by imagery.exclude: [{key}]"
    }
    assert not masks.cube.read("shadow_mask").any()


def test_imagery_is_acquired_for_shadows_and_snow_and_not_for_the_season() -> None:
    def acquired(**asked: Any) -> AcquisitionOptions:
        return AcquisitionOptions.of(
            parse(
                {
                    "name": "masks",
                    "storage": "unused",
                    "years": [2018],
                    "aoi": {"bbox": [16, 46, 16.1, 46.1], "crs": "EPSG:32633", "patch_size": 1000},
                    "imagery": {"source": "simulated"},
                    "clouds": asked,
                }
            )
        )

    usual = acquired()
    assert acquired(temporal=True).counted("data") == usual.counted("data")
    snow, shadows = acquired(snow=True), acquired(shadows=True, shadow_reach=1000)
    assert snow.detector_bands == (*usual.detector_bands, "B03")
    assert usual.detector is not None
    assert shadows.detector is not None
    # 12.5 pixels of 80 m, rounded up.
    assert shadows.detector.margin == usual.detector.margin + 13


def test_the_scene_classification_is_refined_too() -> None:
    inner = cubes.grid(8 * ROWS, 8 * COLUMNS)
    own = detector_grid(inner, 80, MARGIN)
    bands = ("SCL", "B02", "B8A", "B11", "B03")
    at = [BANDS.index(band) for band in bands[1:]]
    scl = np.full((len(DAYS), 1, *own.shape), 4)
    scl[2, 0, CLOUDY[0], CLOUDY[1]] = 9
    scl[5:, 0, MARGIN, MARGIN + 3] = 8  # a roof that is always called cloud
    fine = scl[..., MARGIN:-MARGIN, MARGIN:-MARGIN].repeat(8, 2).repeat(8, 3)
    raw = cubes.stack(
        fine, DAYS, ["SCL"], geobox=inner,
        detector=(np.concatenate([scl, world()[:, at]], axis=1), bands, own),
    )  # fmt: skip
    for facts in raw.cube.attributes["acquisitions"]:
        facts |= dict(zip(SUN, SUNS[0], strict=True))
    masks = detected(raw, method="scl", shadows=True, temporal=True)
    assert coarse(masks, "shadow_mask")[2, SHADED[0] - MARGIN, SHADED[1] - MARGIN]
    assert not masks.cloud().any()
    assert coarse(masks, "valid")[5:, 0, 3].all()
