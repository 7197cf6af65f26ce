"""What `lc_platform.open` gives of a store that was made without Dagster."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
import xarray as xr
import yaml

import lc_platform
from lc_platform.area.grid import PatchGrid
from lc_platform.artefacts.layout import key
from lc_platform.artefacts.records import Records
from lc_platform.config import FILE_NAME
from lc_platform.eo.indices import normalized_difference
from lc_platform.eo.onnx_model import MissingPackageError
from lc_platform.errors import PlatformError
from lc_platform.platform import Platform
from lc_platform.products.mosaic import Mosaic
from lc_platform.products.options import MosaicOptions
from lc_platform.reading import datasets, lazy
from lc_platform.reading.errors import NotFoundError
from lc_platform.reading.reader import Reader
from lc_platform.reading.series import PolygonError
from lc_platform.storage import raster_cube
from lc_platform.storage.errors import (
    DamagedArtefactError,
    MissingArtefactError,
    UnavailableError,
)
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ZarrCube
from lc_platform_tests.graphs import YEAR, settings
from lc_platform_tests.reading import stores
from lc_platform_tests.rooms import PROJECT

SIDE = 32


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PatchGrid]:
    """Two patches side by side, by a configuration in a file."""
    folder = tmp_path_factory.mktemp("read")
    data = settings(2, 1)
    (folder / FILE_NAME).write_text(yaml.safe_dump(data), encoding="utf-8")
    return folder, stores.make(Platform(lc_platform.config.load(folder / FILE_NAME)))


@pytest.fixture(scope="module")
def reader(made: tuple[Path, PatchGrid]) -> Any:
    return lc_platform.open(made[0])


@pytest.fixture(scope="module")
def grid(made: tuple[Path, PatchGrid]) -> PatchGrid:
    return made[1]


def degrees(reader: Any, patch: str, row: float, column: float) -> tuple[float, float]:
    """Longitude and latitude of a place in a patch, in pixels from its north-western corner."""
    here = reader.patches.loc[patch]
    x, y = here.xmin + 10 * column, here.ymax - 10 * row
    point = geopandas.GeoSeries([shapely.Point(x, y)], crs=here.crs).to_crs(4326).iloc[0]
    return point.x, point.y


def test_a_configuration_its_folder_and_its_store_open_the_same(
    made: tuple[Path, PatchGrid],
) -> None:
    folder, grid = made
    of_file = lc_platform.open(folder / FILE_NAME)
    of_store = lc_platform.open(folder / "data")
    for reader in (of_file, lc_platform.open(str(folder)), of_store):
        assert list(reader.patches.index) == grid.keys
        assert reader.years == [YEAR]
    assert reader.patches.crs.to_epsg() == 4326
    assert of_store.classes.equals(of_file.classes)
    assert len(of_store.classes) == 10


def test_opening_needs_no_dagster_and_importing_needs_nothing(
    made: tuple[Path, PatchGrid], tmp_path: Path
) -> None:
    code = f"""
import sys
import lc_platform
cheap = {{"numpy", "pydantic", "xarray", "pandas", "dagster"}} & set(sys.modules)
reader = lc_platform.open({str(made[0])!r})
patch = reader.patches.index[0]
centre = reader.patches.geometry.iloc[0].centroid
reader.at(centre.x, centre.y, {YEAR}), reader.series(reader.patches.geometry.iloc[0])
reader.dataset("features", patch, {YEAR}).features[0, 0].load()
reader.land_cover({YEAR}).load(), reader.status()
print(sorted(cheap), "dagster" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.stdout.strip() == "[] False", done.stderr


def test_imagery_is_reflectance_on_the_patchs_grid_and_nothing_is_read_before_it_is_used(
    reader: Any, grid: PatchGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = grid.patches[0]
    stored = ZarrCube(reader.store, key("raw_bands", patch.key, YEAR))
    read: list[Any] = []
    original = ZarrCube.read

    def watched(self: ZarrCube, layer: str, window: Any = None, **select: Any) -> Any:
        read.append((layer, window))
        return original(self, layer, window, **select)

    monkeypatch.setattr(ZarrCube, "read", watched)
    imagery = reader.dataset("raw_bands", patch.key, YEAR)
    part = imagery.reflectance.isel(time=3, y=slice(4, 9), x=[7, 2]).sel(band=["B08", "B04"])
    assert read == []
    values = part.values
    margin = int(stored.attributes["margin"])
    assert read == [("bands", (slice(margin + 4, margin + 9), slice(margin + 2, margin + 8)))]
    assert imagery.odc.geobox == patch.geobox
    assert imagery.reflectance.dims == ("time", "band", "y", "x")
    numbers = stored.read("bands")[3]
    about = stored.attributes["acquisitions"][3]
    bands = list(stored.coordinates["band"])
    for i, band in enumerate(("B08", "B04")):
        at = bands.index(band)
        expected = numbers[at] * about["scale"][at] + about["offset"][at]
        expected = np.where(numbers[at] == 0, np.nan, expected)
        for j, column in enumerate((7, 2)):
            rows = slice(margin + 4, margin + 9)
            np.testing.assert_allclose(values[i, :, j], expected[rows, margin + column], rtol=1e-6)


@pytest.mark.parametrize(
    "pick",
    [
        {"time": slice(None, None, -2), "y": -1, "x": slice(30, 3, -4)},
        {"time": [4, 0, 0], "y": [31, 2, 2], "x": 5},
        {"time": 0, "y": slice(3, 3), "x": slice(None)},
    ],
)
def test_any_selection_is_that_of_the_whole(reader: Any, grid: PatchGrid, pick: Any) -> None:
    masks = reader.dataset("cloud_masks", grid.keys[1], YEAR)
    whole = masks.load()
    again = reader.dataset("cloud_masks", grid.keys[1], YEAR)
    xr.testing.assert_equal(again.isel(pick).load(), whole.isel(pick))
    assert whole.valid.dtype == bool
    assert float(whole.cloud_probability.max()) <= 1


def test_maps_have_their_classes_names_and_colours_and_no_data_is_nan(
    reader: Any, grid: PatchGrid
) -> None:
    patch = grid.patches[0]
    found = reader.dataset("predictions", patch.key, YEAR)
    ids = reader.classes.index.tolist()
    assert found["class"].attrs["flag_values"].tolist() == [0, *ids]
    meanings = found["class"].attrs["flag_meanings"].split()
    assert meanings == ["no_data", *("_".join(name.split()) for name in reader.classes.name)]
    assert found["class"].attrs["flag_colors"].split()[1:] == reader.classes.color.tolist()
    np.testing.assert_array_equal(found["class"], stores.classes(patch.geobox, tuple(ids)))
    assert np.isnan(found.confidence[0]).all()
    assert (found.confidence[1:] == 60).all()
    assert found.confidence.units == "percent"
    assert np.isnan(found.entropy[0]).all()
    assert found.odc.geobox == patch.geobox
    assert found.model_version == "m1"

    land_cover = reader.land_cover(YEAR)
    assert land_cover.shape == (SIDE, 2 * SIDE)
    assert land_cover.odc.crs == patch.geobox.crs
    np.testing.assert_array_equal(land_cover.sel(x=found.x, y=found.y), found["class"])
    reference = reader.dataset("reference_rasters", patch.key)
    assert reference.ambiguous.dtype == bool
    assert reference["class"].attrs["flag_meanings"].split()[0] == "no_data"
    assert reference.mask_1.long_name == f"labelled as {reader.classes.name[1]}"


def test_classes_are_those_that_a_map_was_made_with(made: tuple[Path, PatchGrid]) -> None:
    """The configuration's may have changed since."""
    folder, grid = made
    data = settings(2, 1, reference={"classes": [{"id": 1, "name": "field", "color": "#123456"}]})
    changed = lc_platform.open(lc_platform.config.parse(data, folder))
    assert changed.classes.name.tolist() == ["field"]
    found = changed.dataset("predictions", grid.keys[0], YEAR)
    assert len(found["class"].attrs["flag_values"]) == 11
    assert "field" not in found["class"].attrs["flag_meanings"].split()


def test_a_pixels_story_is_what_the_artefacts_hold(reader: Any, grid: PatchGrid) -> None:
    patch = grid.keys[1]
    story = reader.at(*degrees(reader, patch, 20.5, 11.5), YEAR)
    told = story.attrs
    assert (told["patch"], told["row"], told["column"]) == (patch, 20, 11)
    here = {"y": 20, "x": 11}
    imagery = reader.dataset("raw_bands", patch, YEAR).isel(here)
    masks = reader.dataset("cloud_masks", patch, YEAR).isel(here)
    np.testing.assert_array_equal(story.index, imagery.time)
    np.testing.assert_array_equal(story.B08, imagery.reflectance.sel(band="B08"))
    np.testing.assert_array_equal(story.valid, masks.valid)
    np.testing.assert_allclose(story.cloud_probability, masks.cloud_probability, rtol=1e-6)
    np.testing.assert_allclose(
        story.NDVI, (story.B08 - story.B04) / (story.B08 + story.B04), rtol=1e-6
    )
    features = ZarrCube(reader.store, key("features", patch, YEAR)).attributes["acquisitions"]
    assert story.acquisition[story.used].tolist() == features
    assert 0 < story.valid.sum() < len(story)
    predictions = RasterCube(reader.store, key("predictions", patch, YEAR))
    assert told["class"] == predictions.read("class")[20, 11]
    assert told["class_name"] == reader.classes.name[told["class"]]
    assert told["confidence"] == 60
    assert list(told["probabilities"]) == reader.classes.name.tolist()[:2]
    assert told["model_version"] == "m1"
    reference = reader.dataset("reference_rasters", patch).isel(here)
    assert told["reference"] == (int(reference["class"]) or None)
    assert (told["x"], told["y"]) == (float(imagery.x), float(imagery.y))


def test_a_place_on_an_edge_is_in_one_patch_and_the_outer_edge_is_inside(
    reader: Any, grid: PatchGrid
) -> None:
    west, east = grid.patches
    places = reader._places
    shared = degrees(reader, west.key, 10.5, SIDE)
    # The edge, there and back, is off by a millionth of a pixel at most.
    pixel = places.pixel(*shared)
    assert (pixel.patch.key, pixel.column) in {(east.key, 0), (west.key, SIDE - 1)}
    for row, column in ((0.001, 0.001), (SIDE - 0.001, SIDE - 0.001)):
        pixel = places.pixel(*degrees(reader, east.key, row, column))
        assert (pixel.patch.key, pixel.row, pixel.column) == (east.key, int(row), int(column))


def test_a_place_outside_names_the_nearest_patch(reader: Any, grid: PatchGrid) -> None:
    longitude, latitude = degrees(reader, grid.keys[1], 16, 1016)
    with pytest.raises(
        NotFoundError, match=f"none of the 2 patches; the nearest is {grid.keys[1]}, 10 km"
    ):
        reader.at(longitude, latitude, YEAR)
    with pytest.raises(NotFoundError, match="the nearest is"):
        reader.at(longitude - 180, -latitude, YEAR)
    with pytest.raises(NotFoundError, match="no place on Earth"):
        reader.at(latitude, longitude + 90, YEAR)
    far = shapely.box(longitude, latitude, longitude + 0.01, latitude + 0.01)
    with pytest.raises(NotFoundError, match="the nearest is"):
        reader.series(far)


def test_a_series_is_the_mean_over_the_valid_pixels_of_a_polygon_across_patches(
    reader: Any, grid: PatchGrid
) -> None:
    west, east = grid.patches
    left, _, _, top = west.box
    # Rows 4 to 9 and columns 28 to 37: four of the western patch, six of the eastern.
    box = shapely.box(left + 280, top - 100, left + 380, top - 40)
    given = geopandas.GeoSeries([box], crs=west.crs)
    found = reader.series(given, "NDVI", YEAR)
    both = []
    for patch, columns in ((west, slice(28, 32)), (east, slice(0, 6))):
        part = {"y": slice(4, 10), "x": columns}
        imagery = reader.dataset("raw_bands", patch.key, YEAR).isel(part)
        masks = reader.dataset("cloud_masks", patch.key, YEAR).isel(part)
        ndvi = normalized_difference(
            imagery.reflectance.sel(band="B08").values, imagery.reflectance.sel(band="B04").values
        )
        both.append((np.where(masks.valid, ndvi, np.nan), masks.cloud_mask.values))
    values = np.concatenate([one[0] for one in both], axis=2).reshape(len(found), -1)
    cloudy = np.concatenate([one[1] for one in both], axis=2).reshape(len(found), -1)
    assert found.attrs["pixels"] == values.shape[1] == 60
    seen = np.isfinite(values)
    np.testing.assert_allclose(found.valid_fraction, seen.mean(axis=1))
    np.testing.assert_allclose(found.cloud_fraction, cloudy.mean(axis=1))
    assert found.valid.tolist() == seen.any(axis=1).tolist()
    means = [np.nanmean(v) if s.any() else np.nan for v, s in zip(values, seen, strict=True)]
    np.testing.assert_allclose(found.NDVI, means, rtol=1e-5)
    assert found.NDVI.isna().any()
    in_degrees = reader.series(given.to_crs(4326).iloc[0], {"NDVI": ["B08", "B04"]})
    np.testing.assert_allclose(in_degrees.NDVI, found.NDVI, rtol=1e-6)


def test_what_is_no_polygon_or_no_band_is_told(reader: Any, grid: PatchGrid) -> None:
    whole = reader.patches.geometry.iloc[0]
    with pytest.raises(PolygonError, match="Point without any area"):
        reader.series(whole.centroid)
    with pytest.raises(PolygonError, match="has no CRS"):
        reader.series(geopandas.GeoSeries([whole]))
    with pytest.raises(PolygonError, match="str is none"):
        reader.series("NDVI")
    with pytest.raises(NotFoundError, match="the nearest is NDVI"):
        reader.series(whole, "NDVJ")
    with pytest.raises(NotFoundError, match="needs B05"):
        reader.series(whole, {"RE": ["B05", "B04"]})
    longitude, latitude = degrees(reader, grid.keys[0], 10.1, 10.1)
    tiny = shapely.Point(longitude, latitude).buffer(1e-6)
    with pytest.raises(NotFoundError, match="no centre of a pixel"):
        reader.series(tiny)


def test_what_is_not_there_is_told_with_the_nearest(reader: Any, grid: PatchGrid) -> None:
    patch = grid.keys[0]
    with pytest.raises(NotFoundError, match=f"the nearest is {patch}"):
        reader.dataset("raw_bands", f"{patch}x", YEAR)
    with pytest.raises(NotFoundError, match=rf"year 1999: is not there; there is {YEAR}"):
        reader.dataset("raw_bands", patch, 1999)
    with pytest.raises(NotFoundError, match="the nearest is raw_bands"):
        reader.dataset("raw_band", patch, YEAR)
    with pytest.raises(NotFoundError, match="of a patch and of a year"):
        reader.dataset("raw_bands")
    with pytest.raises(NotFoundError, match=r"table\('training_samples', patch=patch, year=year\)"):
        reader.dataset("training_samples", patch, YEAR)
    with pytest.raises(NotFoundError, match=r"dataset\('mosaic', year=year\)"):
        reader.table("mosaic", year=YEAR)
    with pytest.raises(NotFoundError, match="no auxiliary collection 'S1'; there is none"):
        reader.dataset("raw_bands", patch, YEAR, collection="S1")
    command = f"lc-platform run --select alignment --patch {patch} --year {YEAR} -c .*{FILE_NAME}"
    with pytest.raises(MissingArtefactError, match=command):
        reader.table("alignment", patch, YEAR)


def test_what_is_no_store_is_told(tmp_path: Path, made: tuple[Path, PatchGrid]) -> None:
    with pytest.raises(NotFoundError, match="neither the folder of a configuration"):
        lc_platform.open(tmp_path)
    with pytest.raises(PlatformError, match="cannot be read"):
        lc_platform.open(tmp_path / "none")
    shutil.copy(made[0] / FILE_NAME, tmp_path / FILE_NAME)
    empty = lc_platform.open(tmp_path)
    with pytest.raises(MissingArtefactError, match="lc-platform run --select patch_grid"):
        empty.patches  # noqa: B018


def test_half_of_the_artefacts_are_read_and_the_others_told(
    made: tuple[Path, PatchGrid], tmp_path: Path
) -> None:
    folder, grid = made
    shutil.copytree(folder / "data", tmp_path / "data", symlinks=True)
    store = Store(str(tmp_path / "data"))
    first, second = grid.keys
    store.remove(key("raw_bands", second, YEAR))
    for asset in ("cloud_masks", "predictions", "features"):
        store.remove(key(asset, first, YEAR))
    reader = lc_platform.open(tmp_path / "data")
    story = reader.at(*degrees(reader, first, 5.5, 5.5), YEAR)
    assert story.valid.isna().all()
    assert story.used.isna().all()
    assert story.attrs["class"] is None
    assert np.isfinite(story.NDVI).any()
    with pytest.raises(MissingArtefactError, match=f"raw_bands of {second} {YEAR}: is not made"):
        reader.at(*degrees(reader, second, 5.5, 5.5), YEAR)
    status = reader.status()
    assert status.loc[("raw_bands", YEAR)].tolist() == [2, 1, 1]
    assert status.loc[("reference_rasters", 0)].tolist() == [2, 2, 0]
    assert status.loc[("mosaic", YEAR)].tolist() == [1, 1, 0]
    with pytest.raises(NotFoundError, match="without its configuration"):
        reader.status(versions=True)


def test_a_rewritten_year_is_never_a_mixture(made: tuple[Path, PatchGrid], tmp_path: Path) -> None:
    """What was opened before is the old one, or says that it is gone."""
    folder, grid = made
    shutil.copytree(folder / "data", tmp_path / "data", symlinks=True)
    reader = lc_platform.open(tmp_path / "data")
    patch = grid.patches[0]
    before = reader.dataset("predictions", patch.key, YEAR)
    legend = {1: ("field", "#010203")}
    stores.put(
        reader.store,
        "predictions",
        stores.Partition(patch.key, YEAR),
        stores.predicted(patch, YEAR, legend),
    )
    with pytest.raises(PlatformError, match="was replaced while it was read"):
        before["class"].load()
    after = reader.dataset("predictions", patch.key, YEAR)
    assert set(np.unique(after["class"])) == {0, 1}
    assert after["class"].attrs["flag_colors"].split()[1:] == ["#010203"]


def replaced_map(store: Store, grid: PatchGrid, legend: dict[int, tuple[str, str]]) -> None:
    """Put other predictions, and the map that is joined of them, in place of those that are
    there."""
    maps = {}
    for one in grid.patches:
        here = stores.Partition(one.key, YEAR)
        stores.put(store, "predictions", here, stores.predicted(one, YEAR, legend))
        maps[one.key] = RasterCube(store, key("predictions", one.key, YEAR))
    options = MosaicOptions(classes=legend, crs=None, area=None, polygons=False)
    joined = Mosaic(YEAR, grid.patches, maps, {}, options)
    stores.put(store, "mosaic", stores.Partition(year=YEAR), joined)


def test_a_map_that_is_replaced_is_the_old_one_or_the_new_one_or_says_so(
    made: tuple[Path, PatchGrid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, grid = made
    shutil.copytree(folder / "data", tmp_path / "data", symlinks=True)
    reader = lc_platform.open(tmp_path / "data")
    before = reader.land_cover(YEAR)
    replaced_map(reader.store, grid, {3: ("field", "#010203")})
    with pytest.raises(UnavailableError, match=r"mosaic/.*: was replaced while it was read"):
        before.load()
    # Between the listing of its files and the first one that is opened.
    original, times = raster_cube.opened_file, iter([{4: ("lake", "#040506")}])

    def late(store: Store, *arguments: Any) -> Any:
        if legend := next(times, None):
            replaced_map(store, grid, legend)
        return original(store, *arguments)

    monkeypatch.setattr(datasets, "opened_file", late)
    after = reader.land_cover(YEAR)
    assert after.attrs["flag_meanings"].split()[1:] == ["lake"]
    assert set(np.unique(after)) == {0, 4}


def test_a_damaged_map_is_told_of_as_damaged_and_not_as_replaced(
    made: tuple[Path, PatchGrid], tmp_path: Path
) -> None:
    shutil.copytree(made[0] / "data", tmp_path / "data", symlinks=True)
    reader = lc_platform.open(tmp_path / "data")
    (tmp_path / "data" / "mosaic" / str(YEAR) / "confidence.tif").write_bytes(b"II*\0")
    with pytest.raises(DamagedArtefactError, match=r"confidence\.tif is damaged .*again"):
        reader.land_cover(YEAR)


def test_a_configuration_whose_store_was_moved_says_where_it_looked_and_what_to_do(
    made: tuple[Path, PatchGrid], tmp_path: Path
) -> None:
    file = tmp_path / FILE_NAME
    shutil.copy(made[0] / FILE_NAME, file)
    opened = lc_platform.open(file)
    for ask in (lambda: opened.patches, opened.to_stac, lambda: opened.at(15.0, 46.7, YEAR)):
        with pytest.raises(MissingArtefactError) as told:
            ask()
        text = str(told.value)
        assert str(tmp_path / "data" / "patch_grid.parquet") in text
        assert f"lc-platform run --select patch_grid -c {file}" in text
        assert text.endswith("Where the store was moved, say in `storage` where it lies now")
    moved = yaml.safe_load(file.read_text("utf-8")) | {"storage": str(made[0] / "data")}
    file.write_text(yaml.safe_dump(moved), encoding="utf-8")
    assert list(lc_platform.open(file).patches.index) == made[1].keys


def test_what_is_being_written_is_not_counted_and_what_a_newer_release_wrote_is_named(
    made: tuple[Path, PatchGrid], tmp_path: Path
) -> None:
    shutil.copytree(made[0] / "data", tmp_path / "data", symlinks=True)
    reader = lc_platform.open(tmp_path / "data")
    first, second = made[1].keys
    with Records(reader.store).changing("raw_bands", stores.Partition(first, YEAR)):
        assert reader.status().loc[("raw_bands", YEAR)].tolist() == [2, 1, 1]
    newer = tmp_path / "data" / "raw_bands" / str(YEAR) / f"{second}.zarr" / "zarr.json"
    newer.write_text('{"zarr_format": 4}', encoding="utf-8")
    with pytest.raises(DamagedArtefactError, match=rf"{second}\.zarr.*[Mm]aterialize"):
        reader.dataset("raw_bands", second, YEAR)
    assert reader.dataset("raw_bands", first, YEAR).sizes["y"] > 0


def test_chunks_are_read_by_dask_and_give_what_is_there(
    reader: Any, grid: PatchGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = grid.patches[0].key
    asked = {"time": 3, "y": 10, "x": 16}
    chunked = reader.dataset("raw_bands", patch, YEAR, chunks=asked).reflectance
    assert chunked.data.chunksize == (3, len(chunked.band), 10, 16)
    plain = reader.dataset("raw_bands", patch, YEAR).reflectance
    assert plain.chunks is None
    xr.testing.assert_equal(chunked.max("time").compute(), plain.load().max("time"))
    assert reader.land_cover(YEAR, chunks="auto").chunks is not None
    monkeypatch.setattr(lazy, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"chunks: dask, .* `pip install dask`"):
        reader.land_cover(YEAR, chunks="auto")


def test_all_that_a_reader_offers_says_its_types() -> None:
    offered = {n: one for n, one in vars(Reader).items() if not n.startswith("_")}
    assert len(offered) > 15
    for name, one in offered.items():
        call = getattr(one, "fget", None) or getattr(one, "func", one)
        arguments = set(inspect.signature(call).parameters) - {"self"}
        assert arguments | {"return"} == set(call.__annotations__), name


@pytest.mark.slow
def test_a_country_of_3000_patches_and_three_years_opens_in_a_second(
    tmp_path: Path, record_property: Any
) -> None:
    stores.country(Store(str(tmp_path)), 60, 50, ())
    for year in (2021, 2022, 2023):
        (tmp_path / "predictions" / str(year)).mkdir(parents=True)
    lc_platform.open(tmp_path).patches  # noqa: B018 - what is imported
    times = []
    for _ in range(3):  # the least: threads that earlier tests have left take time of the process
        begun = time.process_time()
        reader = lc_platform.open(tmp_path)
        assert len(reader.patches) == 3000
        assert reader.years == [2021, 2022, 2023]
        times.append(time.process_time() - begun)
    taken = min(times)
    assert taken < 1
    record_property("figure", f"3,000 patches x 3 years open in {taken:.2f} s of a processor")
    assert reader._places.pixel(15.0, 46.9).patch.key in reader.patches.index


def test_the_notebook_of_the_recipes_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder in which the demo has made one patch, of another size."""
    text = (PROJECT / "docs" / "how-to" / "read-results.md").read_text("utf-8")
    section = re.search(r"^## In a notebook\n.*?```python\n(.*?)```", text, re.M | re.S)
    assert section is not None
    code = section[1]
    longitude, latitude = map(float, re.findall(r"at\(([\d.]+), ([\d.]+), \d+\)", code)[0])
    data = yaml.safe_load(lc_platform.config.template("simulated"))
    around = [longitude - 1e-4, latitude - 1e-4, longitude + 1e-4, latitude + 1e-4]
    data["aoi"] = {"bbox": around, "crs": "EPSG:32633", "patch_size": 320}
    data["imagery"]["max_cloud_cover"] = 30
    data["reference"] = {}
    (tmp_path / "lc-demo").mkdir()
    (tmp_path / "lc-demo" / FILE_NAME).write_text(yaml.safe_dump(data), encoding="utf-8")
    stores.make(Platform(lc_platform.config.load(tmp_path / "lc-demo" / FILE_NAME)))
    assert len(code.strip().splitlines()) <= 5
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict[str, Any] = {}
    exec(code, names)
    (line,) = names["plot"].get_lines()
    pixel = names["pixel"]
    np.testing.assert_array_equal(line.get_ydata(), pixel.NDVI[pixel.valid.astype(bool)])
    assert 0 < len(line.get_ydata()) < len(pixel)
