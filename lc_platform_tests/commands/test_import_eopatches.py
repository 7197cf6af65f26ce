"""`lc-platform import eopatches`: what eo-learn's users have, taken over."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

import lc_platform
from lc_platform import config
from lc_platform.commands.eopatch_reference import write_reference
from lc_platform.sources.eopatches.eopatch import TIMELESS, EOPatch
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.stac.archive import StacArchive
from lc_platform_tests.command_line import Command, Ended
from lc_platform_tests.sources.eopatches import folders
from lc_platform_tests.sources.eopatches.folders import (
    BANDS,
    ORIGIN,
    SHAPE,
    TIMES,
    bbox,
    reflectance,
    write,
)

YEAR = (datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC))
GRID = GeoBox(SHAPE, Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), "EPSG:32633")
CLOUD = np.zeros((len(TIMES), *SHAPE, 1), np.uint8)
CLOUD[1, :2] = 1
"""The two upper rows of the second acquisition."""
LEVEL_2A = ("--collection", "sentinel-2-l2a")


def take_over(lc: Command, *arguments: str | Path, bands: str = BANDS) -> Ended:
    given = LEVEL_2A if "--collection" not in arguments else ()
    named = () if "--bands" in arguments else ("--bands", bands)
    return lc("import", "eopatches", *arguments, "--to", "new", *named, *given)


def archive(data_type: Any = "float32", collection: str = "sentinel-2-l2a") -> StacArchive:
    return StacArchive("new/archive/catalog.json", collection, data_type=data_type)


def pixels(
    bands: list[str], grid: GeoBox = GRID, data_type: Any = "float32"
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return what the platform reads of all acquisitions: (time, band, y, x), and where there is
    data (time, y, x)."""
    source = archive(data_type)
    read = [source.read(one, grid, bands) for one in source.search(grid.extent, *YEAR)]
    return np.stack([one.values for one in read]), np.stack([one.data_mask for one in read])


def test_every_pixel_of_every_acquisition_is_read_as_it_was(lc: Command, tmp_path: Path) -> None:
    numbers = reflectance()
    patch = write(tmp_path / "eop #1 50%", {"data/BANDS": numbers, "mask/CLM": CLOUD})
    ended = take_over(lc, patch)
    assert ended.status == 0, ended.err
    assert ended.err == ""
    values, data = pixels(["B08", "B03", "B04"])
    assert data.all()
    np.testing.assert_array_equal(values, numbers[..., [2, 0, 1]].transpose(0, 3, 1, 2))
    found = archive().search(GRID.extent, *YEAR)
    assert [f"{one.datetime:%Y-%m-%dT%H:%M:%S}" for one in found] == list(TIMES)
    # Two rows of six.
    assert [one.cloud_cover for one in found] == [0, pytest.approx(33.33), 0]


def test_the_configuration_reads_what_was_imported(lc: Command, tmp_path: Path) -> None:
    classes = np.arange(48, dtype=np.int64).reshape(*SHAPE, 1) % 3
    for column in range(2):
        write(
            tmp_path / "eopatches" / f"eop {column}",
            {
                "data/BANDS": reflectance(column),
                "mask/CLM": CLOUD,
                "mask_timeless/LULC": classes + column,
            },
            box=bbox(ORIGIN[0] + 80 * column),
        )
    (tmp_path / "eopatches" / "notes").mkdir()
    ended = take_over(lc, "eopatches", "--reference", "LULC")
    assert ended.status == 0, ended.err
    assert "2 EOPatches with 6 acquisitions" in ended.out
    found = config.load(tmp_path / "new" / config.FILE_NAME)
    assert found.imagery.stored_type == "float32"
    assert found.imagery.bands == ("B03", "B04", "B08")
    assert found.clouds.method == "provider"
    assert found.years == (2021,)
    assert (found.aoi.crs, found.aoi.resolution) == ("EPSG:32633", 10)
    assert found.reference.ignore == (0,)
    assert [one.values for one in found.reference.classes] == [(1,), (2,), (3,)]
    assert lc("config", "check", "new/lc-platform.yaml").status == 0
    with rasterio.open(tmp_path / "new" / "reference.tif") as raster:
        assert raster.transform == GRID.affine
        read = raster.read(1)
    np.testing.assert_array_equal(read, np.hstack([classes[..., 0], classes[..., 0] + 1]))
    again = take_over(lc, "eopatches")
    assert again.status == 1
    assert "is there already" in again.err


def test_the_catalog_is_valid_stac(lc: Command, tmp_path: Path) -> None:
    write(tmp_path / "eop", {"data/BANDS": reflectance(), "mask/CLM": CLOUD})
    assert take_over(lc, "eop").status == 0
    catalog = pystac.Catalog.from_file(str(tmp_path / "new/archive/catalog.json"))
    items = [*catalog.get_items(recursive=True)]
    assert len(items) == len(TIMES)
    for item in items:
        assert set(item.assets) == {"B03", "B04", "B08", "CLM", "CLP"}
        assert all(Path(one.get_absolute_href() or "").exists() for one in item.assets.values())
        assert item.get_collection() is not None
        assert item.properties["proj:code"] == "EPSG:32633"


def test_a_pixel_without_data_is_that_of_the_mask_or_else_one_of_zeros(
    lc: Command, tmp_path: Path
) -> None:
    numbers = reflectance()
    numbers[0, 0, 0] = 0
    numbers[0, 0, 1, 1] = np.nan
    numbers[2] = 0
    features = {"data/BANDS": numbers, "mask/CLM": CLOUD}
    write(tmp_path / "zeros", features)
    told = np.ones((len(TIMES), *SHAPE, 1), np.bool_)
    told[0, 5, 5] = False
    write(tmp_path / "told" / "eop", {**features, "mask/IS_DATA": told})
    ended = take_over(lc, "zeros")
    assert ended.status == 0, ended.err
    assert "Left out: 1 acquisition without data." in ended.out
    _, data = pixels(["B03", "B04"])
    assert len(data) == len(TIMES) - 1
    assert np.argwhere(~data).tolist() == [[0, 0, 0], [0, 0, 1]]
    shutil.rmtree("new")
    assert take_over(lc, "told").status == 0
    values, data = pixels(["B03", "B04"])
    assert np.argwhere(~data).tolist() == [[0, 0, 1], [0, 5, 5]]
    assert not values[2].any()


def test_digital_numbers_stay_what_they_are_and_tell_their_scale(
    lc: Command, tmp_path: Path
) -> None:
    numbers = (reflectance() * 10_000).astype(np.uint16)
    numbers[0, 2, 2] = (0, 1, 65534)
    write(tmp_path / "eop", {"data/BANDS": numbers, "mask/CLM": CLOUD})
    ended = take_over(lc, "eop", "--offset", "-0.1")
    assert ended.status == 0, ended.err
    values, data = pixels(["B03", "B04", "B08"], data_type="uint16")
    assert data.all()
    np.testing.assert_array_equal(values, numbers.transpose(0, 3, 1, 2))
    first = archive().search(GRID.extent, *YEAR)[0]
    assert (first.bands["B03"].scale, first.bands["B03"].offset) == (0.0001, -0.1)
    other = take_over(lc, "eop", "--collection", "planetscope")
    assert other.status == 1
    assert "is there already" in other.err
    shutil.rmtree("new")
    other = take_over(lc, "eop", "--collection", "planetscope")
    assert "Give it by --scale" in other.err


def test_clouds_are_those_that_the_eopatch_has(lc: Command, tmp_path: Path) -> None:
    probability = np.full((len(TIMES), *SHAPE, 1), 0.2, np.float32)
    unknown = CLOUD.copy()
    unknown[2, 5, 7] = 255
    write(
        tmp_path / "eop",
        {"data/BANDS": reflectance(), "mask/CLM": unknown, "data/CLP": probability},
    )
    assert take_over(lc, "eop").status == 0
    values, data = pixels(["CLP", "CLM"])
    assert data.all()
    np.testing.assert_array_equal(values[:, 1], unknown[..., 0])
    assert set(np.unique(values[:, 0])) == {51}  # 0.2 of 255
    assert config.load("new/lc-platform.yaml").clouds.method == "provider"


def test_the_scene_classification_goes_before_the_mask_of_clouds(
    lc: Command, tmp_path: Path
) -> None:
    scene = np.where(CLOUD == 1, 9, 4).astype(np.uint8)
    write(tmp_path / "eop", {"data/BANDS": reflectance(), "mask/CLM": CLOUD, "mask/SCL": scene})
    assert take_over(lc, "eop").status == 0
    values, _ = pixels(["SCL"])
    np.testing.assert_array_equal(values[:, 0], scene[..., 0])
    assert config.load("new/lc-platform.yaml").clouds.method == "scl"
    shutil.rmtree("new")
    assert take_over(lc, "eop", "--clouds", "CLM").status == 0
    assert config.load("new/lc-platform.yaml").clouds.method == "provider"


@pytest.mark.slow
def test_without_masks_clouds_are_found_in_ten_bands_or_said_not_to_be(
    lc: Command, tmp_path: Path
) -> None:
    every = "B01,B02,B03,B04,B05,B06,B07,B08,B8A,B09,B10,B11,B12"
    write(tmp_path / "eop", {"data/BANDS": reflectance(bands=13)})
    ended = take_over(lc, "eop", "--collection", "sentinel-2-l1c", bands=every)
    assert ended.status == 0, ended.err
    found = config.load("new/lc-platform.yaml")
    assert found.clouds.method == "s2cloudless"
    assert found.imagery.bands == ("B02", "B03", "B04", "B08", "B11", "B12")
    shutil.rmtree("new")
    ended = take_over(lc, "eop", bands=every)
    assert ended.status == 1
    assert "nothing says where its clouds are" in ended.err
    assert take_over(lc, "eop", "--no-clouds", bands=every).status == 0
    values, _ = pixels(["CLM"])
    assert not values.any()


def test_an_eopatch_in_degrees_is_read_at_each_pixel_s_centre(lc: Command, tmp_path: Path) -> None:
    numbers = reflectance()
    place = bbox(15.0, 45.0, step=0.0001, epsg=4326)
    write(tmp_path / "eop", {"data/BANDS": numbers, "mask/CLM": CLOUD}, box=place)
    ended = take_over(lc, "eop")
    assert ended.status == 0, ended.err
    assert "of these the map takes the nearest" in ended.err
    found = config.load("new/lc-platform.yaml")
    assert (found.aoi.crs, found.aoi.resolution) == ("utm", 11)  # 0.0001 degrees are 11.13 m
    to_utm = Transformer.from_crs(4326, 32633, always_xy=True)
    for row, column in ((0, 0), (2, 3), (5, 7)):
        x, y = to_utm.transform(15.0 + (column + 0.5) / 10_000, 45.0 - (row + 0.5) / 10_000)
        here = GeoBox((1, 1), Affine(1, 0, x - 0.5, 0, -1, y + 0.5), "EPSG:32633")
        values, _ = pixels(["B03"], here)
        np.testing.assert_array_equal(values[:, 0, 0, 0], numbers[:, row, column, 0])


def test_eopatches_of_two_zones_are_each_read_in_their_own(lc: Command, tmp_path: Path) -> None:
    zones = {32633: ORIGIN[0], 32634: 400_000}  # 16.3 and 19.7 degrees east
    for zone, west in zones.items():
        features = {"data/BANDS": reflectance(zone), "mask/CLM": CLOUD}
        write(tmp_path / "eops" / f"eop_{zone}", features, box=bbox(west, epsg=zone))
    ended = take_over(lc, "eops")
    assert (ended.status, ended.err) == (0, "")
    assert config.load("new/lc-platform.yaml").aoi.crs == "utm"
    area = geopandas.read_file("new/area.gpkg")
    assert len(area) == 2
    for zone, west in zones.items():
        grid = GeoBox(SHAPE, Affine(10, 0, west, 0, -10, ORIGIN[1]), f"EPSG:{zone}")
        values, data = pixels(["B03"], grid)
        assert data.all()
        np.testing.assert_array_equal(values[:, 0], reflectance(zone)[..., 0])
        own = area[area.eopatch == f"eop_{zone}"].to_crs(zone)
        assert own.total_bounds == pytest.approx((west, 4_999_940, west + 80, ORIGIN[1]), abs=0.1)


def test_pixels_off_the_map_s_grid_are_told_of(lc: Command, tmp_path: Path) -> None:
    features = {"data/BANDS": reflectance(), "mask/CLM": CLOUD}
    write(tmp_path / "eop", features, box=bbox(ORIGIN[0] + 3))
    ended = take_over(lc, "eop")
    assert ended.status == 0
    assert "1 of 1 EOPatches (eop) have other pixels than the map" in ended.err


def test_pixels_of_a_zone_are_the_same_in_both_hemispheres(lc: Command, tmp_path: Path) -> None:
    """South of the equator the map is in 33S, whose northings are those of 33N and 10,000 km."""
    features = {"data/BANDS": reflectance(), "mask/CLM": CLOUD}
    write(tmp_path / "eops" / "north", features, box=bbox(400_000, epsg=32634))
    write(tmp_path / "eops" / "south", features, box=bbox(ORIGIN[0], -1_000_000, epsg=32633))
    ended = take_over(lc, "eops")
    assert (ended.status, ended.err) == (0, "")


def test_what_was_never_written_is_left_out(lc: Command, tmp_path: Path) -> None:
    patch = write(
        tmp_path / "eop",
        {"data/BANDS": reflectance(), "mask/CLM": CLOUD},
        save=folders.as_zarr,
    )
    (patch / "data/BANDS.zarr/2.0.0.0").unlink()
    ended = take_over(lc, "eop")
    assert ended.status == 0, ended.err
    assert "Left out: 1 acquisition without" in ended.out
    assert len(archive().search(GRID.extent, *YEAR)) == len(TIMES) - 1
    shutil.rmtree("new")
    (patch / "mask/CLM.zarr/1.0.0.0").unlink()
    ended = take_over(lc, "eop")
    assert "CLM.zarr: acquisition 1 (2021-03-20 10:05) was never written" in ended.err


class Burglar:
    """What runs where it is read by pickle."""

    def __reduce__(self) -> Any:
        return Path.write_text, (Path("stolen"), "all")


def _pickled(patch: Path, name: str) -> None:
    (patch / name).write_bytes(gzip.compress(pickle.dumps(Burglar())))


def _replaced(patch: Path, name: str, values: NDArray[Any]) -> None:
    for file in patch.glob(f"{name}.*"):
        file.unlink()
    folders.npy_gz(patch / name, values)


def _pickle_for_bbox(patch: Path) -> None:
    (patch / "bbox.geojson").unlink()
    _pickled(patch, "bbox.pkl.gz")


def _pickle_for_times(patch: Path) -> None:
    (patch / "timestamps.json").unlink()
    _pickled(patch, "timestamp.pkl.gz")


def _pickle_for_bands(patch: Path) -> None:
    (patch / "data/BANDS.npy.gz").unlink()
    _pickled(patch, "data/BANDS.pkl.gz")


def _objects(patch: Path) -> None:
    _replaced(patch, "data/BANDS", np.full((len(TIMES), *SHAPE, 3), Burglar(), object))


def _objects_in_zarr(patch: Path) -> None:
    (patch / "data/BANDS.npy.gz").unlink()
    folders.as_zarr(patch / "data/BANDS", reflectance())
    head = patch / "data/BANDS.zarr/.zarray"
    told = json.loads(head.read_text())
    head.write_text(json.dumps({**told, "dtype": "|O", "filters": [{"id": "pickle"}]}))
    for chunk in head.parent.glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Burglar()))


def _cut_short(patch: Path) -> None:
    file = patch / "data/BANDS.npy.gz"
    file.write_bytes(file.read_bytes()[:-500])


def _no_head(patch: Path) -> None:
    (patch / "mask/CLM.npy.gz").unlink()
    folders.as_zarr(patch / "mask/CLM", CLOUD)
    (patch / "mask/CLM.zarr/.zarray").unlink()


def _twice(patch: Path) -> None:
    folders.npy(patch / "data/BANDS", reflectance())


def _other_json(name: str, value: Any) -> Callable[[Path], None]:
    return lambda patch: (patch / name).write_text(json.dumps(value)) and None


def _other(name: str, values: NDArray[Any]) -> Callable[[Path], None]:
    return lambda patch: _replaced(patch, name, values)


def _without(name: str) -> Callable[[Path], None]:
    return lambda patch: (patch / name).unlink()


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickled box": (_pickle_for_bbox, "bbox.pkl.gz: it is a pickle, as eo-learn before 1.0"),
    "pickled times": (_pickle_for_times, "timestamp.pkl.gz: it is a pickle"),
    "pickled bands": (_pickle_for_bands, "BANDS.pkl.gz: it is a pickle"),
    "objects": (_objects, "BANDS.npy.gz: it holds Python objects in a pickle"),
    "objects in zarr": (_objects_in_zarr, "BANDS.zarr: it holds Python objects in a pickle"),
    "no box": (_without("bbox.geojson"), "it has no bbox.geojson, so where on Earth"),
    "no times": (_without("timestamps.json"), "it has no timestamps.json or timestamp.json, so"),
    "no bands": (_without("data/BANDS.npy.gz"), "it has no feature of data"),
    "no clouds": (_without("mask/CLM.npy.gz"), "nothing says where its clouds are"),
    "cut short": (_cut_short, "BANDS.npy.gz: it is cut short"),
    "no head": (_no_head, "CLM.zarr: it has no .zarray, as of a save that has not ended"),
    "twice": (_twice, "data has BANDS twice, as BANDS.npy and BANDS.npy.gz"),
    "text": (_other("data/BANDS", np.full((3, *SHAPE, 3), "a")), "it holds <U1, and imagery"),
    "empty": (_other("data/BANDS", np.zeros((0, *SHAPE, 3))), "BANDS.npy.gz: it is empty"),
    "three axes": (_other("data/BANDS", np.ones((3, *SHAPE))), "a feature of data has 4 axes"),
    "few times": (_other_json("timestamps.json", TIMES[:2]), "it has 3 acquisitions, and the "),
    "no list": (_other_json("timestamps.json", {"a": 1}), "timestamps.json: it is no list of"),
    "no time": (_other_json("timestamps.json", ["soon"]), "timestamps.json: it is no list of"),
    "empty times": (_other_json("timestamps.json", []), "it has no time, and so no imagery"),
    "no area": (_other_json("bbox.geojson", bbox(step=0)), "has no area"),
    "no geometry": (_other_json("bbox.geojson", [1, 2]), "bbox.geojson: it is no GeoJSON"),
    "no such crs": (_other_json("bbox.geojson", bbox(epsg=999999)), "its CRS"),
    "bands": (_other("data/BANDS", reflectance(bands=4)), "none is of so many (data/BANDS has 4)"),
    "other shape": (_other("mask/CLM", CLOUD[:, 1:]), "CLM.npy.gz: its shape is (3, 5, 8, 1)"),
    "no mask": (_other("mask/CLM", CLOUD * 7), "CLM.npy.gz: it holds 7, and a mask of clouds"),
    "numbers": (_other("data/BANDS", reflectance() * 9000), "reflectance is from 0 to about 1"),
    "large": (
        _other("data/BANDS", np.full((3, *SHAPE, 3), 70_000)),
        "it holds int64 from 70000 to 70000, and digital numbers are from 0 to 65535",
    ),
    "truth": (_other("data/BANDS", np.ones((3, *SHAPE, 3), bool)), "it holds truth values"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_eopatch_is_named_and_nothing_of_it_is_run(
    lc: Command, tmp_path: Path, case: str
) -> None:
    spoil, said = BAD[case]
    patch = write(tmp_path / "eop", {"data/BANDS": reflectance(), "mask/CLM": CLOUD})
    spoil(patch)
    ended = take_over(lc, "eop")
    assert ended.status == 1
    assert f"{tmp_path / 'eop'}" in ended.err
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "stolen").exists()
    assert not (tmp_path / "new" / config.FILE_NAME).exists()


def test_a_bad_eopatch_stops_no_other(lc: Command, tmp_path: Path) -> None:
    for column, name in enumerate(("a", "b", "c")):
        write(
            tmp_path / "eopatches" / name,
            {"data/BANDS": reflectance(column), "mask/CLM": CLOUD},
            box=bbox(ORIGIN[0] + 80 * column),
        )
    _cut_short(tmp_path / "eopatches" / "b")
    ended = take_over(lc, "eopatches")
    assert ended.status == 1
    assert "2 EOPatches with 6 acquisitions" in ended.out
    assert "b/data/BANDS.npy.gz: it is cut short" in ended.err
    assert {one.name for one in Path("new/archive/sentinel-2-l2a").iterdir()} == {
        "a",
        "c",
        "collection.json",
    }
    assert config.load("new/lc-platform.yaml")
    values, _ = pixels(["B03"], GRID.translate_pix(16, 0))
    np.testing.assert_array_equal(values[:, 0], reflectance(2)[..., 0])


def test_an_eopatch_that_differs_from_the_others_is_named(lc: Command, tmp_path: Path) -> None:
    features = {"data/BANDS": reflectance(), "mask/CLM": CLOUD}
    write(tmp_path / "one" / "a", features)
    numbers = (reflectance() * 10_000).astype(np.uint16)
    write(tmp_path / "one" / "b", {**features, "data/BANDS": numbers})
    ended = take_over(lc, "one")
    assert ended.status == 1
    assert "b: its numbers are uint16, and those of the EOPatches before are float32" in ended.err
    shutil.rmtree("new")
    write(tmp_path / "two" / "a", features)
    ended = take_over(lc, "one/a", "two/a")
    assert "another EOPatch is called a too" in ended.err


@pytest.mark.parametrize(
    ("place", "classes", "said"),
    [
        (bbox(ORIGIN[0] + 80, epsg=32634), 1, "one raster has one CRS"),
        (bbox(ORIGIN[0] + 84), 1, "one raster has one grid"),
        (bbox(ORIGIN[0] + 80), 2.0**40, "classes are whole numbers of 31 bits"),
    ],
)
def test_maps_that_are_not_of_one_raster_are_refused(
    tmp_path: Path, place: Any, classes: float, said: str
) -> None:
    name = "mask_timeless/LULC"
    one = EOPatch(write(tmp_path / "a", {name: np.ones((*SHAPE, 1), np.uint8)}))
    other = EOPatch(write(tmp_path / "b", {name: np.full((*SHAPE, 1), classes)}, box=place))
    grids = {each: each.geobox(each.feature("LULC", TIMELESS)) for each in (one, other)}
    with pytest.raises(SourceError, match=said):
        write_reference(grids, "LULC", tmp_path / "reference.tif")
    assert not (tmp_path / "reference.tif").exists()


@pytest.mark.slow
def test_a_map_that_is_none_is_named_and_the_others_are_there(lc: Command, tmp_path: Path) -> None:
    features = {"data/BANDS": reflectance(), "mask/CLM": CLOUD}
    classes = {"a": 2.0, "b": 0.5, "c": None, "d": 3.0}
    for column, (name, value) in enumerate(classes.items()):
        own = {} if value is None else {"data_timeless/LULC": np.full((*SHAPE, 1), value)}
        place = bbox(ORIGIN[0] + 80 * column)
        write(tmp_path / "eops" / name, {**features, **own}, box=place)
    ended = take_over(lc, "eops", "--reference", "LULC")
    assert ended.status == 1
    assert "b/data_timeless/LULC.npy.gz: it holds float64 that are no whole numbers" in ended.err
    assert "c: it has no feature LULC" in ended.err
    assert "4 EOPatches with 12 acquisitions" in ended.out
    assert [one.values for one in config.load("new/lc-platform.yaml").reference.classes] == [
        (2,),
        (3,),
    ]
    with rasterio.open("new/reference.tif") as raster:
        read = raster.read(1, masked=True)
    assert read[:, :8].tolist() == [[2] * 8] * 6
    assert read[:, 8:24].mask.all()
    assert read[:, 24:].tolist() == [[3] * 8] * 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing",), "nothing: is not there"),
        (("empty",), "empty: neither is an EOPatch nor has one in it"),
        (("eop", "--feature", "L1C"), "it has no feature L1C. It has data/BANDS, data/NDVI"),
        (("eop", "--feature", "NDVI"), "it has 1 channels, and --bands names 3"),
        (("eop", "--clouds", "CLD"), "it has no feature CLD"),
        (("eop", "--data-mask", "VALID"), "it has no feature VALID"),
        (("eop", "--clouds", "CLM", "--no-clouds"), "Give one"),
        (("eop", "--collection", "../sentinel-2"), "a name has letters, digits, _ and -"),
        (("eop", "--collection", "hls2-s30"), "neither radar nor HLS"),
        (("eop", "--collection", "sentinel-1-grd"), "neither radar nor HLS"),
        (("eop", "--bands", "B02,B03,B02"), "each channel has a name of its own"),
        (("eop", "--bands", "B02,../B03,B04"), "each channel has a name of its own"),
        (("eop", "--bands", "B02,B03,SCL"), "SCL is a mask, and no band"),
    ],
)
def test_what_is_asked_for_and_is_not_there_is_told(
    lc: Command, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    numbers = reflectance()
    write(
        tmp_path / "eop",
        {"data/BANDS": numbers, "data/NDVI": numbers[..., :1], "mask/CLM": CLOUD},
    )
    ended = take_over(lc, *arguments)
    assert ended.status == 1
    assert said in ended.err
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_run_has_the_eopatches_pixels_clouds_and_classes(lc: Command, tmp_path: Path) -> None:
    shape = (32, 40)
    cloud = np.random.default_rng(5).random((len(TIMES), *shape, 1)) < 0.2
    numbers = {name: reflectance(n, shape) for n, name in enumerate(("a", "b"))}
    classes = np.indices(shape)[1][..., None].astype(np.uint8) // 8 % 2 + 1
    for column, (name, one) in enumerate(numbers.items()):
        write(
            tmp_path / "eopatches" / name,
            {"data/BANDS": one, "mask/CLM": cloud, "mask_timeless/LULC": classes},
            box=bbox(ORIGIN[0] + 400 * column, shape=shape),
            save=folders.as_zarr if column else folders.npy_gz,
        )
    assert take_over(lc, "eopatches", "--reference", "LULC").status == 0
    only = [f"--select={one}" for one in ("patch_grid", "raw_bands", "cloud_masks")]
    ended = lc("run", "-c", "new/lc-platform.yaml", *only, "--select=reference_rasters")
    assert ended.status == 0, ended.err
    opened = lc_platform.open("new/lc-platform.yaml")
    whole = np.concatenate([numbers["a"], numbers["b"]], axis=2)
    clouds = np.concatenate([cloud, cloud], axis=2)[..., 0]
    labels = np.hstack([classes, classes])[..., 0]
    seen = np.zeros(labels.shape, np.bool_)
    for patch in opened.patches.index:
        imagery = opened.dataset("raw_bands", patch, 2021)
        columns = np.floor((imagery.x.values - ORIGIN[0]) / 10).astype(int)
        rows = np.floor((ORIGIN[1] - imagery.y.values) / 10).astype(int)
        here = (rows >= 0) & (rows < shape[0]), (columns >= 0) & (columns < 2 * shape[1])
        at = np.ix_(rows[here[0]], columns[here[1]])
        inside = np.ix_(*here)
        read = imagery.reflectance.sel(band=["B03", "B04", "B08"]).values[
            :, :, inside[0], inside[1]
        ]
        np.testing.assert_array_equal(read, whole[:, *at].transpose(0, 3, 1, 2))
        masks = opened.dataset("cloud_masks", patch, 2021)
        np.testing.assert_array_equal(masks.cloud_mask.values[:, *inside], clouds[:, *at])
        reference = opened.dataset("reference_rasters", patch)
        np.testing.assert_array_equal(reference["class"].values[inside], labels[at])
        seen[at] = True
    assert seen.all()
