"""What an archive corrects under the same id is taken over, and no more is read than changed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest

from lc_platform.commands import plan as planning
from lc_platform.commands import run as running
from lc_platform.commands.status import status
from lc_platform_tests.acquisition.corrected_archive import (
    DAYS,
    FILES,
    LATER,
    NUMBERS,
    SIDE,
    Archive,
)
from lc_platform_tests.stac_server import StacServer, stac_server
from lc_platform_tests.storage.growing import YEAR

pytestmark = pytest.mark.slow

MARCH, JUNE = DAYS


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


class Reads:
    """The files of an archive in a folder that are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from lc_platform.sources.stac import archive as stac

        self.files: list[str] = []
        read = stac.read_layer

        def counted(layer: Any, *more: Any) -> Any:
            self.files.append("/".join(Path(layer.uri).parts[-2:]))
            return read(layer, *more)

        monkeypatch.setattr(stac, "read_layer", counted)

    def since(self) -> list[str]:
        """Those read since the last question."""
        found, self.files = sorted(self.files), []
        return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


# Metadata alone


@pytest.mark.parametrize(
    ("raster", "right"),
    [
        ({"offset": -0.1}, 0.05),  # 1500 * 0.0001 - 0.1
        ({"scale": 0.0002}, 0.3),
        ({"scale": 0.0002, "offset": -0.25}, 0.05),
    ],
    ids=["offset", "scale", "both"],
)
def test_a_corrected_calibration_is_taken_over_and_nothing_is_read(
    archive: Archive, reads: Reads, raster: dict[str, float], right: float
) -> None:
    archive.run()
    assert archive.run() is None
    reads.since()
    archive.tell(MARCH, *NUMBERS, **raster)
    archive.update(MARCH)
    facts = archive.run()
    assert facts is not None
    assert facts["acquisitions_new"] == 0
    assert reads.since() == []
    assert archive.reflectance("B04") == [right, 0.15]
    assert archive.run() is None


def test_a_corrected_time_is_taken_over(archive: Archive, reads: Reads) -> None:
    archive.update(MARCH, **{"s2:datatake_id": "GS2A_20230301T100001_040000_N05.09"})
    archive.run()
    reads.since()
    archive.items[MARCH]["properties"]["datetime"] = f"{MARCH}T10:00:31Z"
    archive.publish()
    assert archive.run() is not None
    assert str(archive.stack.datetimes[0]) == f"{MARCH}T10:00:31"
    assert reads.since() == []


def test_what_an_item_says_beside_its_bands_and_its_time_makes_nothing_stale(
    archive: Archive,
) -> None:
    archive.run()
    archive.update(JUNE, title="a scene", **{"view:sun_elevation": 31.0})
    assert archive.run() is None


# Files


def test_of_a_replaced_file_that_alone_is_read(archive: Archive, reads: Reads) -> None:
    archive.run()
    reads.since()
    archive.write(MARCH, "B04", 3000)
    archive.update(MARCH)
    archive.run()
    assert reads.since() == [f"{MARCH}/B04.tif"]
    assert archive.reflectance("B04") == [0.3, 0.15]
    assert archive.reflectance("B08") == [0.45, 0.45]
    assert archive.run() is None


def test_a_file_that_was_replaced_in_silence_is_noticed(archive: Archive, reads: Reads) -> None:
    archive.run()
    reads.since()
    archive.write(JUNE, "SCL", 9)
    archive.run()
    assert reads.since() == [f"{JUNE}/SCL.tif"]
    assert archive.stack.digital_numbers(bands=["SCL"])[:, 0, 5, 5].tolist() == [4, 9]


def test_a_replaced_file_and_a_corrected_offset_are_taken_over_together(archive: Archive) -> None:
    archive.run()
    archive.write(MARCH, "B04", 2500)
    archive.tell(MARCH, *NUMBERS, offset=-0.1)
    archive.run()
    assert archive.reflectance("B04") == [0.15, 0.15]
    assert archive.reflectance("B08") == [0.35, 0.45]


def test_another_no_data_value_has_the_band_read_again(archive: Archive, reads: Reads) -> None:
    numbers = np.full((SIDE, SIDE), NUMBERS["B03"])
    numbers[:4] = 777
    archive.write(MARCH, "B03", numbers)
    archive.run()
    reads.since()
    archive.tell(MARCH, "B03", nodata=777)
    archive.run()
    assert reads.since() == [f"{MARCH}/B03.tif"]
    mask = archive.stack.data_mask()[0]
    assert not mask[:4].any()
    assert mask[4:].all()
    assert not archive.stack.digital_numbers(times=[0])[0][:, :4].any()


def test_where_a_replaced_file_has_data_that_was_missing_all_bands_are_read(
    archive: Archive, reads: Reads
) -> None:
    # What is stored of the other bands is 0 where the broken one had no data.
    numbers = np.full((SIDE, SIDE), NUMBERS["B04"])
    numbers[:, :3] = 0
    archive.write(MARCH, "B04", numbers)
    archive.run()
    assert archive.stack.data_mask()[0].mean() == (SIDE - 3) / SIDE
    reads.since()
    archive.write(MARCH, "B04", NUMBERS["B04"])
    archive.run()
    assert {f"{MARCH}/{name}.tif" for name in FILES} <= set(reads.since())
    assert archive.stack.data_mask()[0].all()
    for name, number in NUMBERS.items():
        assert (archive.stack.digital_numbers(bands=[name])[0] == number).all()


# Granules


def test_a_granule_that_comes_and_is_too_cloudy_makes_nothing_stale(
    archive: Archive, reads: Reads
) -> None:
    archive.update(JUNE, **{"eo:cloud_cover": 70})
    archive.run()
    reads.since()
    other = copy.deepcopy(archive.items[JUNE])
    other["id"] = f"{other['id']}_b"
    archive.items["other"] = other
    archive.update("other", **{"eo:cloud_cover": 95})
    assert archive.run() is None
    # As clear as that it is one of the pass's granules, which alone is read again.
    archive.update("other", **{"eo:cloud_cover": 75})
    facts = archive.run()
    assert facts is not None
    assert facts["acquisitions_new"] == 1
    assert {name.split("/")[0] for name in reads.since()} == {JUNE}
    stored = archive.stack.acquisitions
    assert [len(one["items"]) for one in stored] == [1, 2]
    # And without it the pass is what it was.
    archive.update("other", **{"eo:cloud_cover": 95})
    assert archive.run() is not None
    assert [len(one["items"]) for one in archive.stack.acquisitions] == [1, 1]


# Over HTTP


def checksum(day: str, name: str, content: str) -> dict[str, str]:
    return {"file:checksum": f"1220{content}{day}{name}"}


def test_a_checksum_tells_which_file_was_replaced(tmp_path: Path) -> None:
    with stac_server(tmp_path / "archive") as server:
        archive = Archive(tmp_path, server)
        for day in DAYS:
            for name in FILES:
                archive.items[day]["assets"][name] |= checksum(day, name, "a")
        archive.publish()
        archive.run()
        server.requests.clear()
        archive.tell(JUNE, *NUMBERS, offset=-0.1)
        archive.update(JUNE)
        archive.run()
        assert server.of_files == []
        assert archive.reflectance("B04") == [0.15, 0.05]
        archive.write(JUNE, "B04", 2500)
        archive.items[JUNE]["assets"]["B04"] |= checksum(JUNE, "B04", "b")
        archive.publish()
        archive.run()
        assert files(server) == {f"{JUNE}/B04.tif"}
        assert archive.reflectance("B04") == [0.15, 0.15]


@pytest.mark.parametrize("told", ["item", "asset"])
def test_without_checksums_a_newer_update_has_the_files_read_again(
    tmp_path: Path, told: str
) -> None:
    with stac_server(tmp_path / "archive") as server:
        archive = Archive(tmp_path, server)
        archive.run()
        assert archive.run() is None
        server.requests.clear()
        archive.write(JUNE, "B04", 3000)
        if told == "item":
            archive.update(JUNE)
        else:
            archive.items[JUNE]["assets"]["B04"]["updated"] = LATER
            archive.publish()
        archive.run()
        asked = {f"{JUNE}/{name}.tif" for name in (FILES if told == "item" else ["B04"])}
        assert files(server) == asked
        assert archive.reflectance("B04") == [0.15, 0.3]


def test_a_newer_update_of_the_same_files_costs_a_request_a_file_where_the_server_tells(
    tmp_path: Path,
) -> None:
    with stac_server(tmp_path / "archive", tags=True) as server:
        archive = Archive(tmp_path, server)
        archive.run()
        server.requests.clear()
        # As Earth Search corrects an offset: nothing but `updated` tells of the files.
        archive.tell(JUNE, *NUMBERS, offset=-0.1)
        archive.update(JUNE, **{"s2:processing_baseline": "05.10"})
        archive.run()
        assert sorted(request.bytes for request in server.of_files) == [1] * len(FILES)
        assert archive.reflectance("B04") == [0.15, 0.05]
        assert archive.run() is None
        # And of files that were replaced in between those alone are read.
        server.requests.clear()
        archive.write(JUNE, "B04", 2500)
        archive.update(JUNE, updated=f"{YEAR + 2}-01-01T00:00:00Z")
        archive.run()
        more = [request.path for request in server.of_files if request.bytes > 1]
        assert {"/".join(path.split("/")[-2:]) for path in more} == {f"{JUNE}/B04.tif"}
        assert archive.reflectance("B04") == [0.15, 0.15]
        assert archive.reflectance("B08") == [0.45, 0.35]
        assert archive.run() is None


def files(server: StacServer) -> set[str]:
    return {"/".join(request.path.split("/")[-2:]) for request in server.of_files}


# What was acquired before files were looked at


@pytest.fixture
def old(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An archive whose raw bands tell no states of files."""
    with monkeypatch.context() as before:
        before.setattr("lc_platform.sources.stac.archive.Bands", lambda *_: {})
        archive.run()
    assert all("states" not in facts for facts in archive.stack.acquisitions)
    return archive


def test_what_was_acquired_before_stays_as_it_is(old: Archive, reads: Reads) -> None:
    assert old.run() is None
    assert planned(old) == (2, 2)
    assert reads.since() == []


def test_a_calibration_that_differs_from_what_was_stored_is_noticed(
    old: Archive, reads: Reads
) -> None:
    old.tell(JUNE, *NUMBERS, offset=-0.1)
    old.run()
    # Nothing tells whether the files were replaced too.
    assert reads.since() == [f"{JUNE}/{name}.tif" for name in sorted(FILES)]
    assert old.reflectance("B04") == [0.15, 0.05]
    assert old.run() is None


def test_what_is_taken_over_beside_it_is_known_from_then_on(old: Archive, reads: Reads) -> None:
    old.tell(JUNE, *NUMBERS, offset=-0.1)
    old.run()
    reads.since()
    old.write(MARCH, "B08", 5000)
    old.run()
    assert reads.since() == [f"{MARCH}/B08.tif"]
    assert old.reflectance("B08") == [0.5, 0.35]


# What is said of it


def planned(archive: Archive) -> tuple[int, int]:
    """Acquisitions, and how many of them need not be acquired again."""
    plan = planning.make(archive.site.config, lambda _, results: iter(results))
    return plan.total.acquisitions, plan.total.existing


def test_the_plan_counts_replaced_files_and_not_corrected_metadata(archive: Archive) -> None:
    archive.run()
    archive.tell(MARCH, *NUMBERS, offset=-0.1)
    archive.update(MARCH)
    assert planned(archive) == (2, 2)
    archive.write(MARCH, "B04", 3000)
    assert planned(archive) == (2, 1)


@pytest.mark.proof
@pytest.mark.slow
def test_a_run_takes_a_correction_over_and_has_made_again_what_is_made_of_it(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)
    config = archive.site.config
    ground = archive.site.patch.geobox.extent.geom
    table = geopandas.GeoDataFrame({"kind": [1]}, geometry=[ground], crs="EPSG:32633")
    table.to_file(archive.folder / "reference.gpkg")

    def run() -> None:
        select = ["patch_grid", "raw_bands", "cloud_masks", "observation_stats"]
        report = running.run(config, lambda _, __, outcomes: iter(outcomes), select=select)
        assert report.succeeded

    def ndvi() -> float:
        (file,) = (archive.folder / "data" / "observation_stats" / str(YEAR)).glob("*.parquet")
        return float(pandas.read_parquet(file)["ndvi_with_clouds"].iloc[0])

    def stale() -> dict[str, str]:
        return {row.asset: row.why_stale for row in status(config) if row.count("stale")}

    run()
    assert ndvi() == pytest.approx(0.5)  # (0.45 - 0.15) / (0.45 + 0.15)
    assert stale() == {}
    archive.update(MARCH, title="a scene")  # which nothing is made of
    assert stale() == {}
    archive.tell(MARCH, *NUMBERS, offset=-0.1)
    # What lies in a folder is known without a run.
    assert stale() == {
        "raw_bands": "the catalog's files, or what it tells of them, have changed",
        "cloud_masks": "raw_bands stale",
        "observation_stats": "raw_bands stale; cloud_masks stale",
    }
    run()
    assert stale() == {}
    assert ndvi() == pytest.approx(0.75)  # (0.35 - 0.05) / (0.35 + 0.05)


# Values that cannot be


def test_an_offset_that_is_taken_out_twice_is_told_until_it_is_mended_or_left_out(
    archive: Archive,
) -> None:
    # Vegetation: red of 0.04, which an offset of -0.1 has at -0.06.
    archive.write(MARCH, "B04", 400)
    assert archive.ran().warnings == {}
    archive.tell(MARCH, *NUMBERS, offset=-0.1)
    (key, words), *others = archive.ran().warnings.items()
    assert key == "20230301T100000_sentinel-2a"
    assert words == "B04 is below -0.03 in 100% (down to -0.06)"
    assert others == []
    assert archive.stack.acquisitions[0]["implausible"] == words
    archive.write(JUNE, "B08", 4600)  # the other is read again, and this one is taken over
    assert [*archive.ran().warnings] == [key]
    archive.write(MARCH, "B04", 1400)
    assert archive.ran().warnings == {}
    assert "implausible" not in archive.stack.acquisitions[0]


@pytest.mark.proof
@pytest.mark.slow
def test_the_run_and_status_name_it_and_how_it_is_left_out(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)
    archive.write(MARCH, "B04", 400)
    archive.tell(MARCH, *NUMBERS, offset=-0.1)
    ground = archive.site.patch.geobox.extent.geom
    table = geopandas.GeoDataFrame({"kind": [1]}, geometry=[ground], crs="EPSG:32633")
    table.to_file(archive.folder / "reference.gpkg")
    config, key = archive.site.config, "20230301T100000_sentinel-2a"
    select = ["patch_grid", "raw_bands"]
    for _ in range(2):  # also where there is nothing to make
        report = running.run(config, lambda _, __, outcomes: iter(outcomes), select=select)
        first, advice = report.warnings
        patch = archive.site.patch.key
        assert first == (
            f"acquisition {key}: impossible reflectance: B04 is below -0.03 in 100% (down to "
            f"-0.06) of {patch}"
        )
        assert advice.endswith(f"leave such acquisitions out by imagery.exclude: [{key}]")
    (row,) = (row for row in status(config) if row.asset == "raw_bands")
    assert row.warnings == report.warnings
