"""The index that observation statistics are of: NDVI, another one, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lc_platform import assets
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.artefacts.layout import Partition
from lc_platform.config import Config, ConfigError
from lc_platform.cube import LazyCube
from lc_platform.eo.indices import KNOWN, Index
from lc_platform.platform import Platform
from lc_platform.products.observation_stats import observe
from lc_platform.products.options import AcquisitionOptions, StatisticsOptions
from lc_platform.report import with_figure
from lc_platform.sources.protocol import SourceError
from lc_platform_tests.acquisition.corrected_archive import Archive
from lc_platform_tests.acquisition.patches import L2A, SCL, configured, patch
from lc_platform_tests.products import cubes

pytestmark = pytest.mark.slow

GREENNESS = {"GREENNESS": ["B03", "B04"]}


def told(entry: Any, **sections: Any) -> Config:
    bands = {"bands": ["B03", "B04"], **L2A}
    return configured(bands, clouds=SCL, statistics={"index": entry}, **sections)


# Which bands are acquired for it


@pytest.mark.parametrize(
    ("entry", "bands"),
    [
        ("NDVI", ("B03", "B04", "B08")),
        ("NDWI", ("B03", "B04", "B08")),
        (GREENNESS, ("B03", "B04")),
        ({"RED_EDGE": ["rededge1", "red"]}, ("B03", "B04", "B05")),
        ("none", ("B03", "B04")),
        (None, ("B03", "B04")),
    ],
)
def test_the_index_has_its_bands_acquired(entry: Any, bands: tuple[str, ...]) -> None:
    assert told(entry).acquired_bands == bands


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("NDIV", "statistics.index: NDIV is not known"),
        (False, "statistics.index: "),
        ({"valid_observations": ["B03", "B04"]}, "is another layer of the statistics"),
        (["NDVI"], "statistics.index: "),
    ],
)
def test_what_is_no_index_is_refused(entry: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        told(entry)


# An archive that lacks a band


def without_b08(folder: Path) -> Archive:
    archive = Archive(folder)
    for one in archive.items.values():
        del one["assets"]["B08"]
    archive.publish()
    return archive


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {},
            "B08 is needed for statistics.index: NDVI. No feature needs it: set ",
        ),
        (
            {"features": {"indices": ["NDWI"]}},
            "B08 is needed for features.indices: NDWI and statistics.index: NDVI. Take it out",
        ),
        (
            {"statistics": {"index": "none"}, "features": {"indices": ["NDVI"]}},
            "B08 is needed for features.indices: NDVI. Take it out there",
        ),
    ],
)
def test_a_band_that_is_missing_is_told_with_who_needs_it(
    tmp_path: Path, sections: dict[str, Any], words: str
) -> None:
    source = without_b08(tmp_path).site.platform.source
    where = Archive(tmp_path / "other").site.patch
    config = configured({"bands": ["B03", "B04"], **L2A}, clouds=SCL, **sections)
    with pytest.raises(SourceError) as caught:
        acquire(
            source, search_acquisitions(source, where, 2023, AcquisitionOptions.of(config))
        ).load()
    assert "the archive has no band B08 (item S2A_2023-03-01). It has: " in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("entry", [GREENNESS, "none"])
def test_without_it_the_archive_need_not_have_the_band(tmp_path: Path, entry: Any) -> None:
    source = without_b08(tmp_path).site.platform.source
    config = told(entry)
    cube = acquire(
        source,
        search_acquisitions(
            source, Archive(tmp_path / "o").site.patch, 2023, AcquisitionOptions.of(config)
        ),
    )
    assert cube.load().coordinates["band"].tolist() == ["B03", "B04", "SCL"]


# What becomes of it


def statistics(index: Index | None) -> LazyCube:
    numbers = np.array([[[[3000, 1000]], [[1000, 1000]]], [[[4000, 2000]], [[1000, 3000]]]])
    raw = cubes.stack(numbers, [0, 10], ["B03", "B04"])
    valid = np.array([[[True, True]], [[True, False]]])
    return observe(raw, cubes.masks(raw, valid), StatisticsOptions(window=16, index=index))


def test_another_index_has_a_layer_and_columns_of_its_own_name() -> None:
    found = statistics(Index("GREENNESS", ("B03", "B04")))
    held = found.load()
    assert [*held.layers] == ["valid_observations", "cloud_probability", "greenness"]
    # (0.5 + 0.6) / 2 of the first pixel, and 0 of the second, of which one date is valid.
    np.testing.assert_allclose(held.read("greenness"), [[0.55, 0.0]], atol=1e-6)
    table = found.summary.table
    np.testing.assert_allclose(table["greenness_with_clouds"], [0.25, 0.2], atol=1e-6)
    np.testing.assert_allclose(table["greenness_without_clouds"], [0.25, 0.6], atol=1e-6)


def test_without_an_index_there_is_how_often_the_ground_was_seen() -> None:
    found = statistics(None)
    held = found.load()
    assert [*held.layers] == ["valid_observations", "cloud_probability"]
    np.testing.assert_array_equal(held.read("valid_observations"), [[2, 1]])
    shares = ["valid_fraction", "data_fraction", "snow_fraction"]
    assert [*found.summary.table] == ["datetime", "acquisition", *shares]


@pytest.mark.parametrize("index", [KNOWN["NDVI"], None])
def test_the_figure_is_drawn_of_what_there_is(index: Index | None) -> None:
    raw = cubes.stack(np.full((2, 2, 4, 4), 1000), [0, 10], ["B08", "B04"])
    masks = cubes.masks(raw, np.ones((2, 4, 4), bool))
    shown = with_figure(observe(raw, masks, StatisticsOptions(window=16, index=index)))
    for _ in shown:
        pass
    assert shown.figures[".png"](shown.summary).startswith(b"\x89PNG")


# What was made before


def version(config: Config) -> str:
    platform = Platform(config, [asset.recipe for asset in assets.ALL])
    where = Partition(patch().key, 2023)
    return str(platform.versions.look().expected("observation_stats", where).version.made)


def test_statistics_of_ndvi_keep_their_version_and_others_have_their_own(tmp_path: Path) -> None:
    usual = {"storage": str(tmp_path), "features": {"indices": ["NDVI", "NDWI"]}}
    plain, named, water, none = (
        version(configured({"bands": ["B03"], **L2A}, clouds=SCL, **usual, **more))
        for more in (
            {},
            {"statistics": {"index": "NDVI"}},
            {"statistics": {"index": "NDWI"}},
            {"statistics": {"index": "none"}},
        )
    )
    assert plain == named
    assert len({plain, water, none}) == 3
