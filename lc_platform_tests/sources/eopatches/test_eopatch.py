"""EOPatches in the forms that eo-learn 1.0 to 1.5 has written."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lc_platform.sources.eopatches.eopatch import TEMPORAL, TIMELESS, EOPatch, found_in
from lc_platform_tests.sources.eopatches import folders
from lc_platform_tests.sources.eopatches.folders import ORIGIN, SHAPE, TIMES, reflectance, write

CLASSES = np.arange(SHAPE[0] * SHAPE[1], dtype=">i4").reshape(*SHAPE, 1)


@pytest.mark.parametrize("save", [folders.npy, folders.npy_gz, folders.as_zarr, folders.by_columns])
def test_arrays_are_read_as_they_were_saved(tmp_path: Path, save: folders.Save) -> None:
    numbers = reflectance()
    features = {"data/BANDS": numbers, "mask_timeless/LULC": CLASSES}
    patch = EOPatch(write(tmp_path / "eop", features, save=save))
    bands = patch.feature("BANDS", TEMPORAL)
    assert (bands.shape, bands.dtype) == (numbers.shape, numbers.dtype)
    frames = [one for one in bands.frames() if one is not None]
    np.testing.assert_array_equal(np.stack(frames), numbers)
    classes = patch.feature("mask_timeless/LULC", TIMELESS).read()
    np.testing.assert_array_equal(classes, CLASSES)
    assert patch.names(TEMPORAL + TIMELESS) == ["data/BANDS", "mask_timeless/LULC"]


def test_the_first_row_is_the_northernmost(tmp_path: Path) -> None:
    patch = EOPatch(write(tmp_path / "eop", {"data/BANDS": reflectance()}))
    grid = patch.geobox(patch.feature("BANDS", TEMPORAL))
    assert grid.shape == SHAPE
    assert grid.affine * (0, 0) == ORIGIN
    assert grid.affine * (8, 6) == (ORIGIN[0] + 80, ORIGIN[1] - 60)
    assert patch.crs == "EPSG:32633"


@pytest.mark.parametrize("ending", [".json", ".json.gz"])
def test_names_of_before_1_4_1_and_gzip_are_read(tmp_path: Path, ending: str) -> None:
    folder = write(tmp_path / "eop", {"data/BANDS": reflectance()})
    for old, new in (("timestamps.json", f"timestamp{ending}"), ("bbox.geojson", "bbox.geojson")):
        content = (folder / old).read_bytes()
        (folder / old).unlink()
        if ending.endswith(".gz"):
            content, new = gzip.compress(content), f"{new.removesuffix('.gz')}.gz"
        (folder / new).write_bytes(content)
    patch = EOPatch(folder)
    assert [f"{when:%Y-%m-%dT%H:%M:%S}" for when in patch.times] == list(TIMES)
    assert patch.box == (ORIGIN[0], ORIGIN[1] - 60, ORIGIN[0] + 80, ORIGIN[1])


def test_times_with_a_zone_are_brought_to_utc(tmp_path: Path) -> None:
    folder = write(tmp_path / "eop", {}, times=["2021-01-01T01:00:00+02:00", "2021-01-01"])
    assert [f"{when:%Y-%m-%dT%H}" for when in EOPatch(folder).times] == [
        "2020-12-31T23",
        "2021-01-01T00",
    ]


def test_eopatches_are_found_once_whether_they_are_named_or_their_folder_is(
    tmp_path: Path,
) -> None:
    for name in ("b", "a"):
        write(tmp_path / "eops" / name, {"data/BANDS": reflectance()})
    (tmp_path / "eops" / "logs").mkdir()
    (tmp_path / "eops" / "grid.gpkg").touch()
    found = found_in([tmp_path / "eops" / "b", tmp_path / "eops"])
    assert [one.name for one in found] == ["b", "a"]
