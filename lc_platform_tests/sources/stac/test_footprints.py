"""Where items lie: odd footprints, and those around 180 degrees and the poles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import shapely.geometry
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, polygon
from pyproj import Transformer
from shapely.affinity import translate

from lc_platform.sources.passes import in_degrees
from lc_platform.sources.stac.archive import StacArchive
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    GRID,
    WHOLE,
    YEAR,
    band,
    item,
    write_catalog,
    write_tiff,
)
from lc_platform_tests.stac_server import stac_server


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": "none"},
        {"type": "Nothing", "coordinates": []},
        {"type": "LineString", "coordinates": [[15, 45], [16, 46]]},
        {"type": "Polygon", "coordinates": [[[15, 45], [16, 46], [15, 45], [15, 45]]]},
        {"type": "Polygon", "coordinates": []},
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [15, 45]}]},
    ],
    ids=["no coordinates", "no kind", "line", "no area", "empty", "collection without polygon"],
)
def test_an_item_without_a_polygonal_part_is_left_out_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, geometry: dict[str, Any]
) -> None:
    items = [item(name, "2021-07-01T10:00:00Z", {}, WHOLE) for name in ("good", "bad")]
    items[1]["geometry"] = geometry
    write_catalog(tmp_path, items)
    catalog = str(tmp_path / "catalog.json")
    found = StacArchive(catalog, COLLECTION).search(GRID.extent, *YEAR)
    assert [one.items for one in found] == [("good",)]
    assert [one.getMessage() for one in caplog.records] == [
        f"{catalog}: 1 items of {COLLECTION} have a geometry without a polygonal part and are "
        "left out: bad"
    ]


def _ring(*corners: tuple[float, float]) -> list[list[float]]:
    return [[x, y] for x, y in (*corners, corners[0])]


_W, _S, _E, _N = shapely.geometry.shape(WHOLE).bounds
_M = (_W + _E) / 2
_WHOLE_RING = _ring((_W, _S), (_E, _S), (_E, _N), (_W, _N))


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": [
            _ring((_W, _S), (_E, _S), (_E, _N), (_M, _N), (_M, _N + 1), (_M, _N), (_W, _N))]},
        {"type": "GeometryCollection", "geometries": [
            {"type": "Polygon", "coordinates": [_WHOLE_RING]},
            {"type": "LineString", "coordinates": [[_W, _S], [_W - 1, _S]]}]},
        {"type": "MultiPolygon", "coordinates": [[_WHOLE_RING], [[[_W, _S]] * 4]]},
        {"type": "MultiPolygon", "coordinates": [[_WHOLE_RING], [_WHOLE_RING]]},
        {"type": "Polygon", "coordinates": [[[x, y, 300.0] for x, y in _WHOLE_RING]]},
        {"type": "Polygon", "coordinates": [[[x + 360, y] for x, y in _WHOLE_RING]]},
    ],
    ids=["spike", "collection", "collapsed part", "doubled", "heights", "a turn further"],
)  # fmt: skip
def test_of_an_odd_footprint_the_polygonal_part_counts(
    tmp_path: Path, geometry: dict[str, Any]
) -> None:
    # Two processings of one granule beside it: footprints are overlaid with each other too.
    write_tiff(tmp_path / "B04.tif", np.full((8, 8), 1234, np.uint16))
    assets = {"B04": band("./B04.tif", "B04")}
    odd = [item(f"S2A_33TVM_{n}", "2021-07-01T10:00:00Z", assets, WHOLE,
                **{"s2:processing_baseline": f"05.0{n}"}) for n in range(2)]  # fmt: skip
    for one in odd:
        one["geometry"] = geometry
    write_catalog(tmp_path, [*odd, item("good", "2021-07-09T10:00:00Z", {}, WHOLE)])
    source = StacArchive(str(tmp_path / "catalog.json"), COLLECTION)
    found = source.search(GRID.extent, *YEAR)
    assert [one.items for one in found] == [("S2A_33TVM_1",), ("good",)]
    assert found[0].coverage == pytest.approx(found[1].coverage, abs=1e-6)
    assert (source.read(found[0], GRID, ["B04"]).values == 1234).all()


# ---------------------------------------------------------------------------- 180 degrees

# A tile of 100 km in zone 1 south, as Sentinel-2's are, that reaches across 180 degrees.
TILE = GeoBox((1000, 1000), Affine(100, 0, 131_700, 0, -100, 8_111_000), "EPSG:32701")
OFF = GeoBox((40, 40), Affine(10, 0, 500_000, 0, -10, 8_060_000), "EPSG:32733")
"""At the tile's latitude, and 15 E."""


def _forms() -> dict[str, tuple[dict[str, Any] | None, list[float]]]:
    """Geometry and bounding box of the tile, as archives write them."""
    ring = shapely.segmentize(TILE.extent.geom, 25_000).exterior
    place = Transformer.from_crs(32701, 4326, always_xy=True)
    longitude, latitude = place.transform(*np.array(ring.coords).T)

    def drawn(longitudes: NDArray[np.float64]) -> shapely.Polygon:
        return shapely.Polygon(np.column_stack([longitudes, latitude]))

    above = drawn(longitude % 360)
    west, south, east, north = above.bounds
    assert west < 180 < east
    cut = shapely.MultiPolygon(
        [
            above & shapely.box(0, -90, 180, 90),
            translate(above & shapely.box(180, -90, 360, 90), xoff=-360),
        ]
    )
    box = [west, south, east - 360, north]
    geometry = shapely.geometry.mapping
    return {
        "cut at 180": (geometry(cut), box),
        "above 180": (geometry(above), [west, south, east, north]),
        "below -180": (
            geometry(translate(above, xoff=-360)),
            [west - 360, south, east - 360, north],
        ),
        "jumping": (geometry(drawn(longitude)), box),
        "jumping, with a repeated corner": (
            geometry(shapely.Polygon(np.column_stack([longitude, latitude]).repeat(2, axis=0))),
            box,
        ),
        "a box with west above east": (None, box),
        "a box above 180": (None, [west, south, east, north]),
        "a box with heights": (None, [west, south, 0.0, east - 360, north, 900.0]),
    }


def _archive(folder: Path, geometry: Any, box: list[float]) -> StacArchive:
    assets = {"B04": band("./B04.tif", "B04")}
    one = item("tile", "2021-06-01T22:20:00Z", assets)
    write_catalog(folder, [{**one, "geometry": geometry, "bbox": box}])
    return StacArchive(str(folder / "catalog.json"), COLLECTION)


@pytest.fixture(scope="module")
def tile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tile")
    values = np.full(TILE.shape, 1234, np.uint16)
    origin = TILE.affine.c, TILE.affine.f
    write_tiff(folder / "B04.tif", values, 100, 32701, origin=origin, compress="deflate")
    return folder


@pytest.mark.parametrize("form", _forms())
def test_an_item_across_180_degrees_covers_what_its_tile_does(tile: Path, form: str) -> None:
    archive = _archive(tile, *_forms()[form])
    for longitude in (179.8, 180.0, -179.8):
        x, y = Transformer.from_crs(4326, 32701, always_xy=True).transform(longitude, -17.5)
        corner = Affine(10, 0, round(x, -1) - 200, 0, -10, round(y, -1) + 200)
        patch = GeoBox((40, 40), corner, "EPSG:32701")
        (found,) = archive.search(patch.extent, *YEAR)
        assert found.coverage == pytest.approx(1.0, abs=1e-6)
        pixels = archive.read(found, patch, ["B04"])
        assert pixels.data_mask.all()
        assert (pixels.values == 1234).all()
    assert archive.search(OFF.extent, *YEAR) == []


def test_an_api_that_takes_a_jump_for_all_between_is_not_believed(tile: Path) -> None:
    _archive(tile, *_forms()["jumping"])
    with stac_server(tile) as server:
        assert StacArchive(server.api, COLLECTION).search(OFF.extent, *YEAR) == []
        assert server.asked("/api/search")


@pytest.mark.parametrize("west", [175.0, -185.0, 0.0, -180.0])
def test_an_image_in_degrees_is_read_in_every_count_of_longitudes(
    tmp_path: Path, west: float
) -> None:
    # Stripes of half a degree, numbered from 0 E; images of ten degrees, and of the whole Earth.
    width = 10 if west in (175.0, -185.0) else 360
    stripe = np.floor((west + (np.arange(2 * width) + 0.5) / 2) % 360 * 2).astype(np.uint16) + 1
    place = Affine(0.5, 0, west, 0, -0.5, -14)
    with rasterio.open(
        tmp_path / "B04.tif", "w", driver="GTiff", width=2 * width, height=16, count=1,
        dtype="uint16", crs="EPSG:4326", transform=place, tiled=True, blockxsize=16, blockysize=16,
    ) as file:  # fmt: skip
        file.write(stripe[None].repeat(16, axis=0), 1)
    # With vertices less than half a turn apart, so that it is no jump.
    drawn = shapely.segmentize(shapely.box(west, -22, west + width, -14), 90)
    geometry = shapely.geometry.mapping(drawn)
    local = _archive(tmp_path, geometry, [west, -22, west + width, -14])
    for longitude, epsg in ((179.8, 32760), (180.0, 32701), (-179.8, 32701)):
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(longitude, -17.5)
        corner = Affine(3000, 0, round(x, -1) - 60_000, 0, -3000, round(y, -1) + 60_000)
        grid = GeoBox((40, 40), corner, f"EPSG:{epsg}")
        column, row = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
        back = Transformer.from_crs(epsg, 4326, always_xy=True)
        expected = np.floor(back.transform(*(grid.affine * (column, row)))[0] % 360 * 2) + 1
        with stac_server(tmp_path) as server:
            for archive in (local, StacArchive(f"{server.files}/catalog.json", COLLECTION)):
                (found,) = archive.search(grid.extent, *YEAR)
                assert found.coverage == pytest.approx(1.0)
                pixels = archive.read(found, grid, ["B04"])
                assert pixels.data_mask.all()
                np.testing.assert_array_equal(pixels.values[0], expected)


# ---------------------------------------------------------------------------- the area searched


def test_an_area_around_a_pole_is_all_longitudes() -> None:
    # 10 degrees of latitude are 1,117 km from the pole (on the sphere 1,112 km).
    ring = shapely.Point(0, 0).buffer(1_100_000, quad_segs=64)
    found = in_degrees(Geometry(ring, "EPSG:3413"))
    assert found.bounds[0] == pytest.approx(-180)
    assert found.bounds[2] == pytest.approx(180)
    assert found.bounds[3] == 90
    assert found.area == pytest.approx(360 * (90 - found.bounds[1]), rel=0.01)
    assert found.contains(shapely.Point(33, 89.9))


def test_a_long_edge_of_the_area_searched_is_where_it_is() -> None:
    # 300 km along a line of the grid, which bends by several hundred metres in degrees.
    strip = shapely.box(200_000, 5_000_000, 500_000, 5_000_100)
    found = in_degrees(Geometry(strip, "EPSG:32633"))
    middle = Transformer.from_crs(32633, 4326, always_xy=True).transform(350_000, 5_000_050)
    assert found.contains(shapely.Point(middle))


@pytest.mark.parametrize("first", [179.0, -181.0, 539.0])
def test_an_area_in_degrees_beyond_180_is_cut_there(first: float) -> None:
    corners = [(first, -17), (first + 2, -17), (first + 2, -16), (first, -16)]
    found = in_degrees(polygon([*corners, corners[0]], "EPSG:4326"))
    assert found.area == pytest.approx(2)
    assert found.bounds == (-180, -17, 180, -16)
