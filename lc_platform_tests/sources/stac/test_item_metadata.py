"""What items tell amiss: it is unknown, or refused by the item's name, and ends no search."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from lc_platform.acquisition.acquire import offer
from lc_platform.area.grid import Patch
from lc_platform_tests.acquisition.test_acquire import configured
from lc_platform_tests.sources.stac.test_archive import (
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
        found = offer(archive(tmp_path, items), where, 2021, config)
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
