"""References in formats of all kinds: read once, found by place, refused where they lie nowhere."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.sources.protocol import SourceError
from lc_platform_tests.sources.references import (
    GRID,
    LAKES,
    LEFT,
    TOP,
    WOODS,
    box,
    expected,
    opened,
    raster,
    refusal,
    table,
)

BOTH = table([30, 80], [WOODS, LAKES])


def geojson(folder: Path) -> Path:
    BOTH.to_crs("EPSG:4326").to_file(folder / "r.geojson")
    return folder / "r.geojson"


def sequence(folder: Path) -> Path:
    BOTH.to_crs("EPSG:4326").to_file(folder / "r.geojsonl", driver="GeoJSONSeq")
    return folder / "r.geojsonl"


def geoparquet(folder: Path) -> Path:
    BOTH.to_parquet(folder / "r.parquet")
    return folder / "r.parquet"


def native_geoparquet(folder: Path) -> Path:
    BOTH.to_parquet(folder / "r.geoparquet", geometry_encoding="geoarrow")
    return folder / "r.geoparquet"


def geoparquet_in_degrees(folder: Path) -> Path:
    BOTH.to_crs("OGC:CRS84").to_parquet(folder / "r.pq")
    return folder / "r.pq"


def flat(folder: Path) -> Path:
    BOTH.to_file(folder / "r.fgb")
    return folder / "r.fgb"


def geodatabase(folder: Path) -> Path:
    BOTH.to_file(folder / "r.gdb", driver="OpenFileGDB")
    return folder / "r.gdb"


def virtual(folder: Path) -> Path:
    BOTH.to_file(folder / "in.gpkg", layer="r")
    (folder / "r.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="r"><SrcDataSource relativeToVRT="1">in.gpkg'
        "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    return folder / "r.vrt"


def zipped(folder: Path) -> Path:
    BOTH.to_file(folder / "r.shp")
    with zipfile.ZipFile(folder / "r.zip", "w") as archive:
        for part in folder.glob("r.*"):
            if part.suffix != ".zip":
                archive.write(part, f"export 2023/parcels/{part.name}")
                archive.writestr(f"__MACOSX/parcels/._{part.name}", "")
    return folder / "r.zip"


def measured(folder: Path) -> Path:
    """Polygons with heights."""
    raised = BOTH.set_geometry(shapely.force_3d(BOTH.geometry, 300.0))
    raised.to_file(folder / "r.gpkg")
    return folder / "r.gpkg"


FORMATS = [
    geojson, sequence, geoparquet, native_geoparquet, geoparquet_in_degrees, flat, geodatabase,
    virtual, zipped, measured,
]  # fmt: skip


@pytest.mark.parametrize("made", FORMATS, ids=lambda f: f.__name__)
def test_polygons_of_every_format_are_burnt_alike(
    tmp_path: Path, made: Callable[[Path], Path]
) -> None:
    reference = opened(made(tmp_path))
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected())
    assert reference.covers(GRID)
    assert not reference.covers(GRID[16:, :])


@pytest.mark.parametrize("made", [geojson, geoparquet, zipped], ids=lambda f: f.__name__)
def test_a_reference_is_read_once_and_then_found_in_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], Path]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = made(tmp_path)
    reference = opened(path)
    copies = tmp_path / "cache/lc_platform/reference"
    made = {copy: copy.stat().st_mtime_ns for copy in copies.rglob("*.fgb")}
    assert len(made) == 1
    opened(path)
    assert {copy: copy.stat().st_mtime_ns for copy in copies.rglob("*.fgb")} == made
    path.unlink()  # what is not read again need not be there
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected())


def test_a_reference_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = geojson(tmp_path)
    assert (opened(path).burnt(GRID).classes == 3).sum() == 100
    table([30], [LAKES]).to_crs("EPSG:4326").to_file(path)
    assert (opened(path).burnt(GRID).classes == 3).sum() == 25


def test_a_copy_that_was_not_finished_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = geojson(tmp_path)
    opened(path)
    for about in (tmp_path / "cache/lc_platform/reference").rglob("about.json"):
        about.unlink()
    (polygons,) = (tmp_path / "cache/lc_platform/reference").rglob("0.fgb")
    polygons.write_bytes(b"half")
    np.testing.assert_array_equal(opened(path).burnt(GRID).classes, expected())


def test_where_the_cache_cannot_be_written_another_place_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    np.testing.assert_array_equal(opened(geojson(tmp_path)).burnt(GRID).classes, expected())


def test_polygons_of_one_pixel_keep_the_order_of_the_file(tmp_path: Path) -> None:
    # The last claims the pixel, whatever the order in which an index finds them.
    kinds = [30, 80] * 50
    shapes = [box(0, 0, 20, 20 - n / 10) for n in range(100)]
    for path in (tmp_path / "r.gpkg", tmp_path / "r.shp"):
        table(kinds, shapes).to_file(path)
        assert (opened(path).burnt(GRID[:9]).classes == 8).all()
        table(kinds[::-1], shapes).to_file(path)
        assert (opened(path).burnt(GRID[:9]).classes == 3).all()


# Indices that are older than the polygons


def _replaced(folder: Path, name: str) -> None:
    """Polygons replaced as by a tool that knows nothing of the index beside them."""
    BOTH.to_file(folder / "new.shp")
    for part in folder.glob("new.*"):
        part.replace(folder / f"{name}{part.suffix}")


def test_polygons_that_an_outdated_index_does_not_know_are_burnt(tmp_path: Path) -> None:
    elsewhere = table([30] * 50, [box(900 + n, 900, 1, 1) for n in range(50)])
    pyogrio.write_dataframe(elsewhere, tmp_path / "r.shp", SPATIAL_INDEX="YES")
    assert (tmp_path / "r.qix").exists()
    _replaced(tmp_path, "r")
    reference = opened(tmp_path / "r.shp")
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected())
    assert reference.covers(GRID[11:14, 11:14])


def test_an_index_of_another_program_is_not_read(tmp_path: Path) -> None:
    BOTH.to_file(tmp_path / "r.shp")
    for ending in ("sbn", "sbx"):
        (tmp_path / f"r.{ending}").write_bytes(b"\x00\x00\x27\x0a" + bytes(96))
    np.testing.assert_array_equal(opened(tmp_path / "r.shp").burnt(GRID).classes, expected())


def test_polygons_that_the_index_of_a_geopackage_lacks_are_burnt(tmp_path: Path) -> None:
    path = tmp_path / "r.gpkg"
    BOTH.to_file(path, layer="r")
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM rtree_r_geom WHERE id = 2")
    database.close()
    np.testing.assert_array_equal(opened(path).burnt(GRID).classes, expected())


# Where on Earth


def _undefined(code: int) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        path = folder / "r.gpkg"
        BOTH.to_file(path, layer="r")
        database = sqlite3.connect(path)
        database.execute(f"UPDATE gpkg_contents SET srs_id = {code}")
        database.execute(f"UPDATE gpkg_geometry_columns SET srs_id = {code}")
        database.commit()
        database.close()
        return path

    return made


def _without(folder: Path) -> Path:
    BOTH.to_file(folder / "r.shp")
    (folder / "r.prj").unlink()
    return folder / "r.shp"


def _local(folder: Path) -> Path:
    BOTH.to_file(folder / "r.shp")
    (folder / "r.prj").write_text('LOCAL_CS["site grid",UNIT["metre",1]]')
    return folder / "r.shp"


def _engineers(folder: Path) -> Path:
    site = (
        'ENGCRS["mine",EDATUM["pit head"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
        'LENGTHUNIT["metre",1]]'
    )
    table_there = geopandas.GeoDataFrame(
        BOTH.drop(columns="geometry"), geometry=list(BOTH.geometry)
    )
    table_there.set_crs(site).to_file(folder / "r.gpkg")
    return folder / "r.gpkg"


def _geojson_in_metres(folder: Path) -> Path:
    shape = shapely.geometry.mapping(WOODS)
    feature = {"type": "Feature", "properties": {"kind": 30}, "geometry": shape}
    (folder / "r.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature]})
    )
    return folder / "r.geojson"


def _geoparquet_that_does_not_say(folder: Path) -> Path:
    unplaced = geopandas.GeoDataFrame({"kind": [30]}, geometry=[WOODS])
    unplaced.to_parquet(folder / "r.parquet")
    return folder / "r.parquet"


def _degrees_called_metres(folder: Path) -> Path:
    shape = shapely.box(14.0, 46.0, 14.1, 46.1)
    geopandas.GeoDataFrame({"kind": [30]}, geometry=[shape], crs="EPSG:32633").to_file(
        folder / "r.gpkg"
    )
    return folder / "r.gpkg"


def _raster_of_a_site(folder: Path) -> Path:
    values = np.full((20, 20), 30, np.uint8)
    return raster(folder / "r.tif", values, crs='LOCAL_CS["site grid",UNIT["metre",1]]')


def _raster_in_metres_called_degrees(folder: Path) -> Path:
    return raster(folder / "r.tif", np.full((20, 20), 30, np.uint8), crs="EPSG:4326")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (_undefined(-1), "has the CRS 'Undefined Cartesian SRS"),
        (_undefined(0), "has the CRS 'Undefined geographic SRS"),
        (_without, "has no CRS. Assign the one it was drawn in"),
        (_local, "has the CRS 'site grid', which does not say where on Earth"),
        (_engineers, "has the CRS 'mine', which does not say where on Earth"),
        (_geojson_in_metres, "says that its coordinates are degrees (WGS 84"),
        (_geoparquet_that_does_not_say, "has no CRS. Assign the one it was drawn in"),
        (
            _degrees_called_metres,
            "has a projected CRS (WGS 84 / UTM zone 33N), but its coordinates",
        ),
        (_raster_of_a_site, "has the CRS 'site grid', which does not say where on Earth"),
        (_raster_in_metres_called_degrees, "says that its coordinates are degrees (WGS 84)"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_does_not_say_where_on_earth_it_lies_is_refused_when_it_is_opened(
    tmp_path: Path, made: Callable[[Path], Path], why: str
) -> None:
    path = made(tmp_path)
    message = refusal(path)
    assert message.startswith(f"reference.path: {path} ")
    assert why in message


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_a_place_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    path = raster(tmp_path / "r.tif", np.full((20, 20), 30, np.uint8), transform=None)
    assert "does not say where its pixels lie" in refusal(path)


def test_points_and_lines_enclose_no_area(tmp_path: Path) -> None:
    path = tmp_path / "r.gpkg"
    table([30, 80], [shapely.Point(LEFT, TOP), WOODS.boundary]).to_file(path)
    assert refusal(path).startswith(
        f"reference.path: {path} has no polygon, but 2 points or lines, which enclose no area."
    )


def test_points_beside_polygons_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "r.geojson"
    mixed = table([30, 80, 99], [WOODS, LAKES, shapely.Point(LEFT, TOP)])
    mixed.to_crs("EPSG:4326").to_file(path)
    reference = opened(path)
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected())
    assert reference.notes == [
        f"reference.path: 1 features of {path} are points or lines, which enclose no area; they "
        "are left out"
    ]


def test_a_parquet_file_without_geometry_is_refused(tmp_path: Path) -> None:
    BOTH.drop(columns="geometry").to_parquet(tmp_path / "r.parquet")
    assert "r.parquet is a Parquet file without geometry" in refusal(tmp_path / "r.parquet")


@pytest.mark.parametrize("made", [geojson, geoparquet, flat, zipped], ids=lambda f: f.__name__)
def test_a_damaged_reference_is_refused_by_name(
    tmp_path: Path, made: Callable[[Path], Path]
) -> None:
    path = made(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(SourceError, match=f"{path.name} "):
        opened(path)


def test_a_raster_in_a_folder_of_a_zip_is_read(tmp_path: Path) -> None:
    values = np.full((20, 20), 30, np.uint8)
    path = raster(tmp_path / "r.tif", values)
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as archive:
        archive.write(path, "deep/r.tif")
    assert (opened(tmp_path / "r.zip").burnt(GRID).classes == 3).all()
    with zipfile.ZipFile(tmp_path / "r.zip", "a") as archive:
        archive.write(path, "deep/s.tif")
    assert "r.zip holds 2 rasters (deep/r.tif, deep/s.tif). Name one: /vsizip/" in refusal(
        tmp_path / "r.zip"
    )


# Whether there is reference


@pytest.mark.slow
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3035", "EPSG:4326"])
def test_there_is_reference_where_it_is_burnt_and_nowhere_else(tmp_path: Path, crs: str) -> None:
    generator = np.random.default_rng(3)
    places = generator.uniform(0, 400, (40, 2))
    shapes = [box(x, y, *generator.uniform(1, 12, 2)) for x, y in places]
    kinds = generator.choice([30, 80, 99], 40).tolist()
    table(kinds, shapes).to_crs(crs).to_file(tmp_path / "r.gpkg")
    values = generator.choice(np.array([0, 0, 0, 0, 0, 30, 99], np.uint8), (25, 25))
    coarse = Affine(160, 0, LEFT + 3, 0, -160, TOP + 5)
    path = raster(tmp_path / "r.tif", values, coarse, nodata=0)
    if crs != "EPSG:32633":
        there = geopandas.GeoSeries([box(0, 0, 400, 400)], crs="EPSG:32633").to_crs(crs)
        west, south, east, north = there.total_bounds
        turned = Affine((east - west) / 25, 0, west, 0, (south - north) / 25, north)
        path = raster(tmp_path / "t.tif", values, turned, crs, nodata=0)
    whole = GeoBox((400, 400), GRID.affine, GRID.crs)
    polygons, pixels = opened(tmp_path / "r.gpkg", ignore=[99]), opened(path, ignore=[99])
    ground = shapely.union_all([s for s, kind in zip(shapes, kinds, strict=True) if kind != 99])
    found = {True: 0, False: 0}
    for row in range(0, 400, 20):
        for column in range(0, 400, 20):
            grid = whole[row : row + 20, column : column + 20]
            assert pixels.covers(grid) == pixels.burnt(grid).classes.any()
            square = box(column, row, 20, 20)
            touching = bool(shapely.intersects(ground, square))
            assert polygons.covers(grid) == touching
            found[touching] += 1
    assert min(found.values()) >= 40


def test_a_grid_around_all_of_a_reference_or_inside_one_polygon_has_reference(
    tmp_path: Path,
) -> None:
    table([30, 99], [box(8, 8, 1, 1), box(-100, -100, 300, 300)]).to_file(tmp_path / "r.gpkg")
    reference = opened(tmp_path / "r.gpkg", classes=[{"id": 1, "name": "x", "color": "#000000",
        "values": [30]}], ignore=[99])  # fmt: skip
    assert reference.covers(GRID)
    assert not reference.covers(GRID[10:, 10:])
    everywhere = opened(tmp_path / "r.gpkg", ignore=[30], classes=[{"id": 1, "name": "x",
        "color": "#000000", "values": [99]}])  # fmt: skip
    assert everywhere.covers(GRID[10:, 10:])


def test_the_copy_of_a_folder_that_is_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    BOTH.to_file(folder / "r.shp")
    reference = opened(folder)
    shutil.rmtree(folder)
    assert reference.covers(GRID)


def _processor_seconds(done: Callable[[], object]) -> float:
    """The least of three times: what else the machine does can only add to it."""
    times = []
    for _ in range(3):
        started = time.process_time()
        done()
        times.append(time.process_time() - started)
    return min(times)


@pytest.mark.slow
def test_whether_a_patch_has_reference_takes_a_small_part_of_burning_it(tmp_path: Path) -> None:
    patch = GeoBox((1000, 1000), GRID.affine, GRID.crs)
    x, y = np.meshgrid(np.arange(0, 1000, 16), np.arange(0, 1000, 16))
    shapes = [box(a, b, 15, 15) for a, b in zip(x.ravel(), y.ravel(), strict=True)]
    kinds = np.where(np.arange(len(shapes)) % 2, 30, 80)
    table(list(kinds), shapes).to_crs("EPSG:4326").to_parquet(tmp_path / "r.parquet")
    values = np.kron(kinds[:900].reshape(30, 30), np.ones((34, 34), int)).astype(np.uint8)
    raster(tmp_path / "r.tif", values, tiled=True, compress="deflate")
    for path in (tmp_path / "r.parquet", tmp_path / "r.tif"):
        reference = opened(path)
        assert reference.covers(patch)
        burning = _processor_seconds(lambda reference=reference: reference.burnt(patch))
        asking = _processor_seconds(lambda reference=reference: reference.covers(patch))
        assert asking < burning / 5
