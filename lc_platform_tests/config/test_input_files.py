"""Whether a map's files are the same as before: what belongs to a file, and what does not."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from lc_platform.config import parse
from lc_platform.platform import Platform

PLACE = Affine(10, 0, 500_000, 0, -10, 5_100_000)


def digest(path: Path | str) -> str:
    """What stands for a reference in the versions of what is made of it."""
    data = {
        "name": "test",
        "storage": "data",
        "years": [2023],
        "aoi": {"bbox": [14, 45, 15, 46], "patch_size": 1000},
        "imagery": {"source": "stac", "catalog": "catalog.json"},
        "reference": {
            "path": str(path),
            "attribute": "kind",
            "classes": [{"id": 1, "name": "forest", "color": "#000000", "values": [1]}],
        },
    }
    found: str = Platform(parse(data)).reference_options().counted("data")["reference.path"]
    return found


def hashed(*files: Path) -> str:
    """The digest of a map of these files, as it has always been."""
    each = "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return hashlib.sha256(each.encode()).hexdigest()[:16]


def raster(path: Path, value: int = 1, **options: Any) -> Path:
    options = {"transform": PLACE, "crs": "EPSG:32633", **options}
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8", **options
    ) as file:
        file.write(np.full((8, 8), value, np.uint8), 1)
    return path


def polygons(path: Path, kind: int = 1, **options: Any) -> Path:
    table = geopandas.GeoDataFrame(
        {"kind": [kind]}, geometry=[shapely.box(5e5, 5.09e6, 5.1e5, 5.1e6)], crs="EPSG:32633"
    )
    table.to_file(path, **options)
    return path


def virtual(path: Path, source: str, relative: int = 1) -> Path:
    path.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>500000,10,0,5100000,0,-10</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def layers(path: Path, source: str) -> Path:
    path.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="r"><SrcDataSource relativeToVRT="1">{source}'
        "</SrcDataSource><SrcLayer>r</SrcLayer></OGRVRTLayer></OGRVRTDataSource>"
    )
    return path


def metadata(path: Path, content: str) -> None:
    path.write_text(f'<PAMDataset><PAMRasterBand band="1">{content}</PAMRasterBand></PAMDataset>')


STATISTICS = (
    "<Histograms><HistItem><HistMin>0</HistMin></HistItem></Histograms><Metadata>"
    '<MDI key="STATISTICS_MINIMUM">1</MDI><MDI key="STATISTICS_MEAN">1</MDI></Metadata>'
)

Change = tuple[Path | str, Callable[[], object]]


def _tile(f: Path) -> Change:
    tile = raster(f / "tile.tif")
    return virtual(f / "all.vrt", "tile.tif"), lambda: raster(tile, 2)


def _absolute_tile(f: Path) -> Change:
    tile = raster(f / "tile.tif")
    return virtual(f / "all.vrt", str(tile), relative=0), lambda: raster(tile, 2)


def _nested(f: Path) -> Change:
    (f / "tiles").mkdir()
    tile = raster(f / "tiles/tile.tif")
    virtual(f / "tiles/inner.vrt", "tile.tif")
    return virtual(f / "all.vrt", "tiles/inner.vrt"), lambda: raster(tile, 2)


def _no_data_of_a_tile(f: Path) -> Change:
    tile = raster(f / "tile.tif")
    aux = Path(f"{tile}.aux.xml")
    return virtual(f / "all.vrt", "tile.tif"), lambda: metadata(aux, "<NoDataValue>1</NoDataValue>")


def _zipped_tile(f: Path) -> Change:
    def zipped(value: int) -> None:
        raster(f / "tile.tif", value)
        with zipfile.ZipFile(f / "tiles.zip", "w") as archive:
            archive.write(f / "tile.tif", "deep/tile.tif")

    zipped(1)
    return virtual(f / "all.vrt", f"/vsizip/{f}/tiles.zip/deep/tile.tif", 0), lambda: zipped(2)


def _layer(f: Path) -> Change:
    polygons(f / "r.gpkg", layer="r")
    return layers(f / "all.vrt", "r.gpkg"), lambda: polygons(f / "r.gpkg", 2, layer="r")


def _attributes_of_a_layer(f: Path) -> Change:
    (f / "deep").mkdir()
    polygons(f / "deep/r.shp")
    return layers(f / "all.vrt", "deep/r.shp"), lambda: polygons(f / "deep/r.shp", 2)


def _folder_of_layers(f: Path) -> Change:
    (f / "deep").mkdir()
    polygons(f / "deep/r.shp")
    return layers(f / "all.vrt", "deep"), lambda: polygons(f / "deep/r.shp", 2)


def _map_info(f: Path) -> Change:
    path = polygons(f / "r.tab", driver="MapInfo File")

    def again() -> None:
        for part in f.glob("r.*"):
            part.unlink()
        polygons(path, 2, driver="MapInfo File")

    return path, again


def _exchange_format(f: Path) -> Change:
    path = polygons(f / "r.mif", driver="MapInfo File")
    part = f / "r.mid"
    return path, lambda: part.write_text(part.read_text().replace("1", "2"))


def _attributes(f: Path) -> Change:
    path = polygons(f / "r.shp")
    before = path.read_bytes()

    def again() -> None:
        polygons(path, 2)
        assert path.read_bytes() == before  # the attributes lie in another file

    return path, again


def _capital_endings(f: Path) -> Change:
    polygons(f / "r.shp")
    for part in list(f.glob("r.*")):
        part.rename(f / part.name.upper())

    def again() -> None:
        polygons(f / "new.shp", 2)
        (f / "new.dbf").replace(f / "R.DBF")

    return f / "R.SHP", again


def _mask(f: Path) -> Change:
    path = raster(f / "r.tif")

    def masked() -> None:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
            file.write_mask(np.eye(8, dtype=bool))
        assert (f / "r.tif.msk").exists()

    return path, masked


def _overviews(f: Path) -> Change:
    path = raster(f / "r.tif")

    def built() -> None:
        with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as file:
            file.build_overviews([2])
        assert (f / "r.tif.ovr").exists()

    return path, built


def _world_file(f: Path) -> Change:
    path = raster(f / "r.tif", transform=None)
    world = f / "r.tfw"
    world.write_text("10\n0\n0\n-10\n500005\n5099995\n")
    return path, lambda: world.write_text("10\n0\n0\n-10\n600005\n5099995\n")


def _database_journal(f: Path) -> Change:
    path = polygons(f / "r.gpkg")
    open_elsewhere = sqlite3.connect(path)
    open_elsewhere.execute("PRAGMA journal_mode=WAL")

    def edited() -> None:
        open_elsewhere.execute("CREATE TABLE note (x)")
        open_elsewhere.execute("INSERT INTO note VALUES (1)")
        open_elsewhere.commit()
        assert (f / "r.gpkg-wal").stat().st_size

    return path, edited


def _inside_a_zip(f: Path) -> Change:
    def zipped(kind: int) -> None:
        polygons(f / "r.gpkg", kind)
        with zipfile.ZipFile(f / "r.zip", "w") as archive:
            archive.write(f / "r.gpkg", "deep/r.gpkg")

    zipped(1)
    return f"/vsizip/{f}/r.zip/deep/r.gpkg", lambda: zipped(2)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    "case",
    [
        _tile, _absolute_tile, _nested, _no_data_of_a_tile, _zipped_tile, _layer,
        _attributes_of_a_layer, _folder_of_layers, _map_info, _exchange_format, _attributes,
        _capital_endings, _mask, _overviews, _world_file, _database_journal, _inside_a_zip,
    ],
)  # fmt: skip
def test_a_change_of_any_file_of_a_reference_changes_what_stands_for_it(
    tmp_path: Path, case: Callable[[Path], Change]
) -> None:
    path, change = case(tmp_path)
    before = digest(path)
    assert digest(path) == before
    change()
    assert digest(path) != before


def test_a_plain_file_stands_for_itself_as_it_always_has(tmp_path: Path) -> None:
    for path in (
        raster(tmp_path / "r.tif"),
        polygons(tmp_path / "r.gpkg"),
        polygons(tmp_path / "r.geojson"),
        polygons(tmp_path / "r.fgb"),
    ):
        assert digest(path) == hashed(path)
    polygons(tmp_path / "s.shp")
    parts = [tmp_path / f"s.{ending}" for ending in ("shp", "shx", "dbf", "prj", "cpg")]
    assert digest(tmp_path / "s.shp") == hashed(*parts)


def test_what_a_viewer_leaves_beside_a_reference_changes_nothing(tmp_path: Path) -> None:
    path, shape = raster(tmp_path / "r.tif"), polygons(tmp_path / "s.shp")
    before = digest(path), digest(shape)
    metadata(tmp_path / "r.tif.aux.xml", STATISTICS)
    shutil.copy(path, tmp_path / "r2.tif")
    for name in ("r.qml", "r.tif.txt", "s.qix", "s.sbn", "s.shp.xml"):
        (tmp_path / name).write_text("<style/>")
    assert (digest(path), digest(shape)) == before
    metadata(tmp_path / "r.tif.aux.xml", STATISTICS + "<NoDataValue>1</NoDataValue>")
    with_no_data = digest(path)
    assert with_no_data != before[0]
    metadata(tmp_path / "r.tif.aux.xml", "<NoDataValue>1</NoDataValue>")
    assert digest(path) == with_no_data


def test_virtual_maps_that_point_at_each_other_come_to_an_end(tmp_path: Path) -> None:
    virtual(tmp_path / "a.vrt", "b.vrt")
    virtual(tmp_path / "b.vrt", "a.vrt")
    assert digest(tmp_path / "a.vrt") == hashed(tmp_path / "a.vrt", tmp_path / "b.vrt")


def test_a_tile_that_comes_later_changes_what_stands_for_the_map(tmp_path: Path) -> None:
    path = virtual(tmp_path / "all.vrt", "tile.tif")
    before = digest(path)
    raster(tmp_path / "tile.tif")
    assert digest(path) != before
