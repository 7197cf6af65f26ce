"""Seasons that are no calendar years, with days around them, through the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import lc_platform
from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.assets.io_manager import UNCHANGED
from lc_platform.assets.partitions import patch_year_key
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.features import FeatureStack
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources.protocol import Acquisition, Pixels
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform_tests.graphs import Platform, settings, why

pytestmark = pytest.mark.slow

YEARS = 2022, 2023
PADDING = 40
ASSETS = ("raw_bands", "cloud_masks", "observation_stats", "features")


@dataclass
class Made:
    """Two years of a patch, whose seasons are from October to September."""

    platform: Platform
    reads: Sequence[tuple[str, tuple[int, int]]]
    """The acquisitions that were read, and the shapes of their grids."""

    def opened(self, asset: str, year: int) -> Any:
        (patch,) = self.platform.patches
        return formats()[asset].open(self.platform.store, key(asset, patch, year))

    def imagery(self, year: int) -> AcquisitionStack:
        stack: AcquisitionStack = self.opened("raw_bands", year)
        return stack


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    reads: list[tuple[str, tuple[int, int]]] = []
    read = SimulatedArchive.read

    def counted(
        self: SimulatedArchive, acquisition: Acquisition, geobox: Any, bands: Sequence[str]
    ) -> Pixels:
        reads.append((acquisition.key, tuple(geobox.shape)))
        return read(self, acquisition, geobox, bands)

    data = settings(
        1,
        1,
        season={"begins": "10-01"},
        imagery={"max_cloud_cover": 25},
        features={"padding": PADDING, "interval": 91, "min_valid_fraction": 0},
    )
    folder = tmp_path_factory.mktemp("seasons")
    platform = Platform(config.parse(data | {"years": list(YEARS)}, folder))
    assert platform.launch("grid").success
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulatedArchive, "read", counted)
        for year in YEARS:
            where = str(patch_year_key(platform.patches[0], year))
            result = platform.launch("patch_year", [where], ASSETS)
            assert result.success, why(result)
    return Made(platform, reads)


def _interpolated(
    days: NDArray[np.datetime64], values: NDArray[Any], valid: NDArray[Any], at: Any
) -> NDArray[np.float64]:
    """The linear interpolation of a pixel's valid observations (time,) by the date."""
    on, its = days[valid].astype(np.int64), values[valid]
    return np.interp(at.astype(np.int64), on, its, left=np.nan, right=np.nan)


def test_a_season_is_made_of_the_observations_of_two_calendar_years(made: Made) -> None:
    stack: FeatureStack = made.opened("features", 2023)
    dates = stack.cube.coordinates["date"].astype("datetime64[D]")
    assert dates[0] == np.datetime64("2022-10-01")
    assert dates[-1] == np.datetime64("2022-10-01") + 4 * 91
    assert stack.days == (1, 92, 183, 274, 365)
    raw = made.imagery(2023)
    first, last = date(2022, 10, 1), date(2023, 9, 30)
    own = [one.astype(date) for one in raw.datetimes[raw.of_season].astype("datetime64[D]")]
    assert {one.year for one in own} == {2022, 2023}
    assert all(first <= one <= last for one in own)
    masks: CloudMasks = made.opened("cloud_masks", 2023)
    window = (slice(4, 12), slice(4, 12))
    reflectance, valid = raw.reflectance(window, bands=["B08"])[:, 0], masks.valid(window)
    days = raw.datetimes.astype("datetime64[D]")
    assert len(np.unique(days)) == len(days)
    found = stack.read(window)[[stack.names.index(f"B08_{day:03d}") for day in stack.days]]
    for y, x in np.ndindex(8, 8):
        expected = _interpolated(days, reflectance[:, y, x], valid[:, y, x], dates)
        np.testing.assert_allclose(found[:, y, x], expected, atol=1e-6)


@pytest.mark.parametrize("year", YEARS)
def test_first_and_last_dates_are_known_where_there_is_an_observation_within_the_padding(
    made: Made, year: int
) -> None:
    stack: FeatureStack = made.opened("features", year)
    raw, valid = made.imagery(year), made.opened("cloud_masks", year).valid()
    days, last = raw.days, stack.days[-1] - 1
    assert days[0] >= -PADDING
    assert days[-1] < 365 + PADDING
    of_season = valid[(days >= 0) & (days < 365)].any(axis=0)
    names = [name for name in stack.names if name.endswith(("_001", f"_{last + 1:03d}"))]
    values = stack.read()
    for at, outside in ((0, days < 0), (last, days >= 365)):
        known = valid[outside].any(axis=0) & of_season
        alone = valid[(days <= at if at == 0 else days >= at) & ~outside].any(axis=0)
        assert (known & ~alone).any()  # missing without padding
        for name in names:
            if name.endswith(f"_{at + 1:03d}"):
                assert not np.isnan(values[stack.names.index(name)][known]).any(), name


def test_what_two_years_share_is_read_and_stored_once(made: Made) -> None:
    before, after = (set(made.imagery(year).keys) for year in YEARS)
    shared = before & after
    assert len(shared) >= 4
    assert set(Counter(made.reads).values()) == {1}
    assert {name for name, _ in made.reads} == before | after
    new = {
        one.partition: one.metadata["acquisitions_new"].value
        for one in made.platform.materializations("raw_bands")
    }
    assert sorted(new.values()) == sorted([len(before), len(after) - len(shared)])
    files = {}
    for year in YEARS:
        (patch,) = made.platform.patches
        store = Path(made.platform.store.physical(key("raw_bands", patch, year))).resolve()
        for position, name in enumerate(made.imagery(year).keys):
            chunks = (store / "bands" / "c" / str(position)).rglob("*")
            files[year, name] = sorted(one.stat().st_ino for one in chunks if one.is_file())
    for name in shared:
        assert files[2022, name]
        assert files[2022, name] == files[2023, name]


def test_only_what_is_of_the_season_is_counted(made: Made) -> None:
    (patch,) = made.platform.patches
    raw, masks = made.imagery(2023), made.opened("cloud_masks", 2023)
    path = key("observation_stats", patch, 2023).replace(".tif", ".parquet")
    table = pq.read_table(Path(made.platform.store.physical(path)))
    assert table["acquisition"].to_pylist() == raw.keys[raw.of_season]
    counts = made.opened("observation_stats", 2023).read("valid_observations")
    valid = masks.valid()[(raw.days >= 0) & (raw.days < 365)]
    np.testing.assert_array_equal(counts, valid.sum(axis=0))


def test_what_is_opened_says_of_which_days_it_is(made: Made) -> None:
    reader = lc_platform.open(made.platform.config)
    (patch,) = made.platform.patches
    imagery = reader.dataset("raw_bands", patch, 2023)
    assert imagery.attrs["season"] == "2022-10-01/2023-09-30"
    assert len(imagery.time) == len(made.imagery(2023))
    ground = reader.patches.geometry.iloc[0].centroid.buffer(0.0005)
    table = reader.series(ground, "NDVI")
    days = table.index.to_numpy()
    assert (np.diff(days) > np.timedelta64(0)).all()  # none of what is shared is there twice
    own = [made.imagery(year).datetimes[made.imagery(year).of_season] for year in YEARS]
    np.testing.assert_array_equal(days, np.concatenate(own))


def test_a_month_is_the_one_of_the_season(made: Made) -> None:
    raw = made.imagery(2023)
    assert {str(day)[:7] for day in raw.datetimes} >= {"2022-10", "2023-10", "2022-09", "2023-09"}
    for month, named in ((10, "2022-10"), (9, "2023-09")):
        found = [str(raw.datetimes[position])[:7] for position in raw.of_month(month)]
        assert len(found) == sum(str(day)[:7] == named for day in raw.datetimes) > 0
        assert set(found) == {named}


def test_a_second_look_makes_nothing(made: Made) -> None:
    for year in YEARS:
        where = str(patch_year_key(made.platform.patches[0], year))
        assert made.platform.launch("patch_year", [where], ASSETS).success
        for asset in ASSETS:
            assert UNCHANGED in made.platform.materializations(asset)[0].metadata
