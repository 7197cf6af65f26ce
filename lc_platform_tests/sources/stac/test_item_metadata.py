"""What items tell amiss: it is unknown, or refused by the item's name, and ends no search."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area.grid import Patch
from lc_platform.products.options import AcquisitionOptions
from lc_platform.sources.protocol import SourceError
from lc_platform_tests.acquisition.patches import configured
from lc_platform_tests.sources.stac.catalogs import (
    GRID,
    archive,
    band,
    item,
    one_acquisition,
    ramp,
    write_tiff,
)

NAN = float("nan")

# Cloud cover


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (12.5, 12.5),
        ("12.5", 12.5),
        (0, 0.0),
        (100.0001, 100.0),
        (NAN, None),
        ("NaN", None),
        (float("inf"), None),
        ("", None),
        ("cloudy", None),
        ("12 %", None),
        (-1, None),  # Landsat's, of scenes that nobody assessed
        (9999, None),
        (True, None),
        ([12.5], None),
        ({"value": 12.5}, None),
        (None, None),
    ],
)
def test_a_cloud_cover_is_a_percentage_or_unknown(tmp_path: Path, told: Any, known: Any) -> None:
    write_tiff(tmp_path / "red.tif", ramp())
    assets = {"red": band("./red.tif", "B04")}
    source = archive(
        tmp_path, [item("one", "2021-06-01T10:00:00Z", assets, **{"eo:cloud_cover": told})]
    )
    assert one_acquisition(source).cloud_cover == known


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ((158.25, 31.5), (158.25, 31.5)),
        ((158.25, None), None),
        ((None, None), None),
        ((NAN, 31.5), None),
        (("158", 31.5), None),
        ((400.0, 31.5), None),
        ((158.25, True), None),
    ],
)
def test_the_suns_angles_are_those_of_the_item_or_unknown(
    tmp_path: Path, told: tuple[Any, Any], known: tuple[float, float] | None
) -> None:
    write_tiff(tmp_path / "red.tif", ramp())
    angles = dict(zip(("view:sun_azimuth", "view:sun_elevation"), told, strict=True))
    one = item("one", "2021-06-01T10:00:00Z", {"red": band("./red.tif", "B04")}, **angles)
    assert one_acquisition(archive(tmp_path, [one])).sun == known


def test_a_scene_of_unknown_cloud_cover_is_taken_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tiff(tmp_path / "red.tif", ramp())
    assets = {"red": band("./red.tif", "B04")}
    items = [
        item(f"scene-{n}-of-{tmp_path.name}", f"2021-0{n}-01T10:00:00Z", assets, **cover)
        for n, cover in enumerate(
            [{"eo:cloud_cover": NAN}, {"eo:cloud_cover": "?"}, {"eo:cloud_cover": 99}, {}], 1
        )
    ]
    config = configured(
        {"max_cloud_cover": 20, "collection": "sentinel-2-l2a"}, clouds={"method": "scl"}
    )
    where = Patch("33N-r000-c000", GRID, "33N", 0, 0)
    with caplog.at_level(logging.WARNING):
        found = search_acquisitions(
            archive(tmp_path, items), where, 2021, AcquisitionOptions.of(config)
        )
    assert [one.items[0].split("-")[1] for one in found.acquisitions] == ["1", "2", "4"]
    assert found.too_cloudy == 1
    words = [r.getMessage() for r in caplog.records]
    assert len(words) == 2
    assert words[0].startswith(f"item {items[0]['id']}: its cloud cover is nan")
    assert words[1].startswith(f"item {items[1]['id']}: its cloud cover is '?'")


# Orbit


@pytest.mark.parametrize("told", ["", "n/a", NAN, -5, [22]])
def test_an_orbit_that_is_no_number_is_not_told(tmp_path: Path, told: Any) -> None:
    write_tiff(tmp_path / "red.tif", ramp())
    assets = {"red": band("./red.tif", "B04")}
    source = archive(
        tmp_path, [item("one", "2021-06-01T10:00:00Z", assets, **{"sat:relative_orbit": told})]
    )
    assert one_acquisition(source).key == "20210601T100000_sentinel-2a"


# No data


def masked(
    tmp_path: Path,
    values: Any,
    *,
    file: float | None,
    grid: GeoBox = GRID,
    **told: Any,
) -> Any:
    """A band whose file tells one value of no data, and its asset others, on a grid."""
    write_tiff(tmp_path / "red.tif", values, nodata=file)
    asset = {"href": "./red.tif", "roles": ["data"], **told}
    old = {"s2:processing_baseline": "02.14"}  # without an offset
    source = archive(tmp_path, [item("one", "2021-06-01T10:00:00Z", {"red": asset}, **old)])
    return source.read(one_acquisition(source), grid, ["red"])


BOTH = np.array([[0, 65535], [7, 8]], np.uint16).repeat(4, axis=0).repeat(4, axis=1)
"""Rows and columns of 4 pixels."""


@pytest.mark.parametrize(
    ("file", "told", "lost"),
    [
        (65535, {"raster:bands": [{"nodata": 0}]}, {0, 65535}),
        (0, {"raster:bands": [{"nodata": 65535}]}, {0, 65535}),
        (None, {"raster:bands": [{"nodata": 65535}]}, {65535}),
        (65535, {}, {65535}),
        (None, {}, {0}),
        (None, {"bands": [{"nodata": 7}], "raster:bands": [{"nodata": 0}]}, {0, 7}),
        (8, {"nodata": 0, "bands": [{"nodata": 7}]}, {0, 7, 8}),
        (0, {"raster:bands": [{"nodata": "nan"}]}, {0}),
        (0, {"raster:bands": [{"nodata": -9999}]}, {0}),
        (None, {"raster:bands": [{"nodata": 70000}]}, {0}),
    ],
)
def test_all_that_is_told_to_be_no_data_is_none(
    tmp_path: Path, file: float | None, told: dict[str, Any], lost: set[int]
) -> None:
    pixels = masked(tmp_path, BOTH, file=file, **told)
    np.testing.assert_array_equal(pixels.data_mask, ~np.isin(BOTH, sorted(lost)))
    assert not pixels.values[0][~pixels.data_mask].any()


def test_neither_value_of_no_data_goes_into_a_mean(tmp_path: Path) -> None:
    values = np.full((8, 8), 1000, np.uint16)
    values[0, 0], values[7, 7] = 0, 65535
    coarse = GRID.zoom_to((1, 1))
    pixels = masked(tmp_path, values, file=65535, grid=coarse, **{"raster:bands": [{"nodata": 0}]})
    assert pixels.values.tolist() == [[[1000]]]


# Scale and offset


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"scale": NAN}, "tells scale nan, which is no number"),
        ({"scale": "a tenth"}, "tells scale 'a tenth', which is no number"),
        ({"offset": ""}, "tells offset '', which is no number"),
        ({"offset": True}, "tells offset True, which is no number"),
        ({"scale": 0}, "tells scale 0"),
    ],
)
def test_a_calibration_that_is_no_number_is_refused_by_the_items_name(
    tmp_path: Path, told: dict[str, Any], words: str
) -> None:
    write_tiff(tmp_path / "red.tif", ramp())
    source = archive(
        tmp_path, [item("one", "2021-06-01T10:00:00Z", {"red": band("./red.tif", "B04", **told)})]
    )
    acquisition = one_acquisition(source)
    assert "B04" not in acquisition.bands
    with pytest.raises(SourceError, match=re.escape(f"band B04: item one {words}")):
        source.read(acquisition, GRID, ["B04"])


# Radar


def backscatter(tmp_path: Path, values: Any, **told: Any) -> Any:
    """What is read of a radar's band, as linear power (y, x), NaN where it has no data."""
    write_tiff(tmp_path / "vv.tif", values)
    asset = {"href": "./vv.tif", "roles": ["data"], "raster:bands": [told]}
    radar = item("one", "2021-06-01T10:00:00Z", {"vv": asset})
    radar["properties"]["platform"] = "sentinel-1a"
    source = archive(tmp_path, [radar])
    pixels = source.read(one_acquisition(source), GRID, ["VV"])
    power = (pixels.values[0] * pixels.scale[0]) ** 2
    return np.where(pixels.data_mask, power, np.nan)


DECIBELS = np.linspace(-19, -6, 64, dtype=np.float32).reshape(8, 8)
POWER = (10 ** (DECIBELS / 10)).astype(np.float32)
FLOAT = {"data_type": "float32"}


@pytest.mark.parametrize(
    "unit", [{}, {"unit": "dB"}, {"unit": "decibels"}, {"unit": ""}, {"unit": "sigma0"}]
)
def test_decibels_are_recognized_whatever_the_item_calls_them(
    tmp_path: Path, unit: dict[str, str]
) -> None:
    found = backscatter(tmp_path, DECIBELS, **FLOAT, **unit)
    np.testing.assert_allclose(10 * np.log10(found), DECIBELS, atol=0.01)


@pytest.mark.parametrize("unit", [{}, {"unit": "power"}, {"unit": "1"}, {"unit": None}])
def test_linear_power_stays_as_it_is_also_where_noise_was_taken_from_it(
    tmp_path: Path, unit: dict[str, Any]
) -> None:
    power = POWER.copy()
    power[0] = -0.004  # a lake, and less than the noise
    found = backscatter(tmp_path, power, **FLOAT, **unit)
    np.testing.assert_allclose(found[1:], POWER[1:], rtol=0.01)
    assert np.isnan(found[0]).all()


@pytest.mark.parametrize(
    ("values", "told", "words"),
    [
        (np.float32([[-20, 3, 3, 4]]), FLOAT, "its item tells no unit"),
        (DECIBELS, FLOAT | {"unit": "linear"}, "are decibels, and its item tells a linear unit"),
        (DECIBELS, {}, "item say data_type: float32 and the unit (dB, or power) in raster:bands"),
        (ramp(), FLOAT, "holds uint16, and its item tells floating-point numbers"),
    ],
)
def test_backscatter_that_nobody_can_tell_is_refused_with_what_to_set(
    tmp_path: Path, values: Any, told: dict[str, Any], words: str
) -> None:
    values = np.broadcast_to(values, (8, values.shape[1])).repeat(8 // values.shape[1], axis=1)
    with pytest.raises(SourceError, match=re.escape(words)) as caught:
        backscatter(tmp_path, values, **told)
    assert "vv.tif" in str(caught.value)
    assert not caught.value.transient
