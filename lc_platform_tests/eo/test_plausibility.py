"""Reflectance that cannot be: found where a calibration is wrong, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.eo.plausibility import implausible
from lc_platform.sources.protocol import Source
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform.sources.stac.archive import StacArchive

BANDS = ("B02", "B03", "B04", "B08", "B11")
# Reflectance of targets, in the order of the bands; as in the textbooks.
TARGETS = {
    "forest": (0.02, 0.03, 0.02, 0.30, 0.12),
    "lake": (0.04, 0.03, 0.02, 0.01, 0.005),
    "snow": (1.15, 1.10, 1.12, 0.95, 0.10),
    "shadow": (0.005, 0.004, 0.001, 0.02, 0.01),
    "overcorrected lake": (-0.018, -0.012, -0.01, -0.006, -0.004),
    "cloud": (1.4, 1.35, 1.3, 1.3, 0.8),
    "desert": (0.2, 0.3, 0.4, 0.45, 0.5),
}


def judged(
    name: str, offset: float, wrong: float = 0.0, scale: float = 1e-4, share: float = 1.0
) -> str:
    """Of a scene of one target, stored with an offset and told with another."""
    row = np.zeros(2000, np.bool_)
    row[: round(2000 * share)] = True
    reflectance = np.where(row, np.array(TARGETS[name])[:, None], 0.25).reshape(5, 20, 100)
    numbers = np.clip(np.rint((reflectance - offset) / 1e-4), 0, 65535).astype(np.uint16)
    told = [offset + wrong] * len(BANDS)
    return implausible(numbers, np.ones((20, 100), bool), [scale] * 5, told, BANDS, BANDS)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("offset", [0.0, -0.1])
def test_what_is_on_the_ground_is_plausible(name: str, offset: float) -> None:
    assert judged(name, offset) == ""


@pytest.mark.parametrize("name", ["forest", "lake", "shadow"])
def test_an_offset_that_is_taken_out_twice_is_found(name: str) -> None:
    words = judged(name, 0.0, wrong=-0.1)
    assert "B04 is below -0.03 in 100% (down to -0." in words
    assert judged(name, -0.1, wrong=-0.1) == words  # whatever the files have


def test_an_offset_that_is_half_as_wrong_shows_in_the_ndvi() -> None:
    # Red of 0.02 becomes -0.028, which water may have; an NDVI of (0.252 + 0.028) / 0.224 not.
    assert judged("forest", 0.0, wrong=-0.048) == "NDVI is above 1.2 in 100%"


def test_a_scale_that_is_not_taken_is_found() -> None:
    assert "B08 is above 2 in 100%" in judged("forest", 0.0, scale=1.0)


def test_some_pixels_are_no_scene() -> None:
    assert judged("lake", 0.0, wrong=-0.1, share=0.09) == ""
    assert judged("lake", 0.0, wrong=-0.1, share=0.11) != ""
    few = np.full((5, 7, 7), 100, np.uint16)
    assert implausible(few, np.ones((7, 7), bool), [1e-4] * 5, [-0.1] * 5, BANDS) == ""


def test_what_has_no_data_is_not_judged() -> None:
    numbers = np.zeros((5, 20, 20), np.uint16)
    valid = np.zeros((20, 20), bool)
    assert implausible(numbers, valid, [1e-4] * 5, [-0.1] * 5, BANDS) == ""
    valid[:, :10] = True
    numbers[:, :, :10] = 2000
    assert implausible(numbers, valid, [1e-4] * 5, [-0.1] * 5, BANDS) == ""


# No alarm where there is nothing, and one where there is


def scenes(source: Source, grid: GeoBox, year: int) -> list[tuple[Any, ...]]:
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    found = []
    for one in source.search(grid.extent, start, end):
        p = source.read(one, grid, bands)
        found.append((p.values, p.data_mask, p.scale.tolist(), p.offset.tolist(), bands, bands))
    return found


def alarms(found: list[tuple[Any, ...]], wrong: float = 0.0) -> float:
    """Share of scenes that are told, where their offsets are wrong by so much."""
    told = [
        implausible(values, mask, scale, [o + wrong for o in offset], *bands)
        for values, mask, scale, offset, *bands in found
    ]
    return sum(map(bool, told)) / len(told)


@pytest.mark.real_data
def test_of_real_scenes_none_is_told_and_with_a_wrong_offset_half_of_them_are(
    shared_data: Path,
) -> None:
    grid = GeoBox((64, 64), Affine(10, 0, 501360, 0, -10, 5629680), "EPSG:32631")
    flanders = StacArchive(str(shared_data / "flanders/l2a/catalog.json"), "sentinel-2-l2a")
    with rasterio.open(next((shared_data / "slovenia/l1c").glob("*/B02.tif"))) as file:
        own = GeoBox(file.shape, file.transform, file.crs)
    slovenia = StacArchive(str(shared_data / "slovenia/l1c/catalog.json"), "sentinel-2-l1c")
    for source, where, year in ((flanders, grid, 2018), (slovenia, own, 2015)):
        found = scenes(source, where, year)
        assert alarms(found) == 0
        assert alarms(found, wrong=-0.1) > 0.45


@pytest.mark.parametrize(
    ("x", "y"),
    [(461_300, 5_099_600), (415_400, 5_133_100), (390_900, 5_050_700)],
    ids=["a town", "mountains", "the sea"],
)
def test_of_simulated_scenes_none_is_told(x: int, y: int) -> None:
    grid = GeoBox((48, 48), Affine(10, 0, x, 0, -10, y), "EPSG:32633")
    found = scenes(SimulatedArchive(), grid, 2023)
    assert alarms(found) == 0
    assert alarms(found, wrong=-0.1) > 0
