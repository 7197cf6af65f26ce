"""An area of interest is read from what the user has, or refused with what to do."""

from __future__ import annotations

import re
import sqlite3
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import geopandas
import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from lc_platform.area.boundary import (
    BoundaryError,
    default_cache,
    from_bbox,
    from_country,
    from_file,
    read_boundary,
)

SQUARE = shapely.box(500_000, 5_000_000, 501_000, 5_001_000)
BOW_TIE = shapely.Polygon([(500_000, 0), (501_000, 1000), (501_000, 0), (500_000, 1000)])


def _written(path: Path, *geometries: BaseGeometry | None, crs: str | None = "EPSG:32633") -> Path:
    geopandas.GeoDataFrame(
        {"id": range(len(geometries))}, geometry=list(geometries), crs=crs
    ).to_file(path)
    return path


# ---------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["border.gpkg", "border.geojson", "border.fgb", "border.shp.zip"])
def test_the_area_is_the_union_of_all_polygons_of_a_file(tmp_path: Path, name: str) -> None:
    other = shapely.box(501_000, 5_000_000, 502_000, 5_001_000)
    path = _written(tmp_path / name, SQUARE, other)

    area = from_file(path)

    assert area.crs.to_epsg() == 32633
    assert area.note is None
    assert area.geometry.equals(shapely.union(SQUARE, other))


TWO = shapely.MultiPolygon(
    [shapely.box(500_000, 5_000_000, 501_000, 5_001_000),
     shapely.box(500_500, 5_000_500, 501_500, 5_001_500)]
)  # fmt: skip
SPIKE = shapely.Polygon([*SQUARE.exterior.coords[:2], (600_000, 5_000_000),
                         *SQUARE.exterior.coords[1:4]])  # fmt: skip


@pytest.mark.parametrize(
    ("drawn", "right"),
    [
        (TWO, shapely.union_all([*TWO.geoms])),
        (shapely.MultiPolygon([SQUARE, SQUARE]), SQUARE),
        (
            shapely.MultiPolygon([SQUARE, shapely.box(500_200, 5_000_200, 500_300, 5_000_300)]),
            SQUARE,
        ),
        (SPIKE, SQUARE),
        (shapely.GeometryCollection([SQUARE, shapely.LineString([(0, 0), (1, 1)])]), SQUARE),
    ],
    ids=["overlap", "doubled", "part in a part", "spike", "collection"],
)
def test_a_repair_loses_no_ground_and_wins_none(
    tmp_path: Path, drawn: BaseGeometry, right: BaseGeometry
) -> None:
    area = from_file(_written(tmp_path / "border.geojson", drawn))

    assert area.geometry.equals(right)
    if not drawn.is_valid:
        assert area.note is not None
        # on the ground 1 / 0.9996^2 of the plane, 0.9996 being UTM's scale at the central meridian
        km2 = right.area / 1e6 / 0.9996**2
        told = float(area.note.rpartition("-> ")[2].removesuffix(" km2)"))
        assert told == pytest.approx(km2, rel=1e-3)


def test_a_polygon_with_no_area_beside_others_is_left_out_and_said_aloud(tmp_path: Path) -> None:
    thin = shapely.Polygon([(0, 0), (1, 1), (2, 2)])

    area = from_file(_written(tmp_path / "border.gpkg", thin, SQUARE))

    assert area.geometry.equals(SQUARE)
    assert area.note is not None
    assert area.note.endswith("no area is left after repair: 1 of 2 features are left out")


ACROSS = shapely.MultiPolygon(
    [shapely.box(179.5, -18, 180, -17), shapely.box(-180, -18, -179.5, -17)]
)
JUMPING = shapely.Polygon([(179.5, -18), (-179.5, -18), (-179.5, -17), (179.5, -17)])


@pytest.mark.parametrize(
    "drawn",
    [
        ACROSS,
        shapely.box(179.5, -18, 180.5, -17),
        shapely.box(-180.5, -18, -179.5, -17),
        JUMPING,
        shapely.segmentize(shapely.box(179.5, -18, 180.5, -17), 0.1),
    ],
    ids=["cut", "above", "below", "jumping", "many vertices"],
)
def test_an_area_across_180_degrees_is_the_same_in_every_count(
    tmp_path: Path, drawn: BaseGeometry
) -> None:
    area = from_file(_written(tmp_path / "border.geojson", drawn, crs="EPSG:4326"))

    assert area.geometry.symmetric_difference(ACROSS).area < 1e-9
    if drawn is not JUMPING:
        assert area.note is None
        return
    told = re.fullmatch(
        r"aoi\.boundary: border\.geojson jumps across 180 degrees; taken the short way "
        r"\(area ([\d,.]+) km2\)",
        area.note or "",
    )
    assert told
    # a degree of longitude at 17.5 S is 106.2 km, one of latitude 110.7 km
    assert float(told[1].replace(",", "")) == pytest.approx(106.2 * 110.7, rel=0.01)


def test_a_file_from_0_to_360_is_where_it_is(tmp_path: Path) -> None:
    path = _written(tmp_path / "border.gpkg", shapely.box(344, 35, 354, 45), crs="EPSG:4326")

    assert from_file(path).geometry.equals(shapely.box(-16, 35, -6, 45))


@pytest.mark.real_data
def test_the_border_of_slovenia_is_read_as_it_is(shared_data: Path) -> None:
    area = from_file(shared_data / "slovenia" / "border.geojson")

    assert area.crs.to_epsg() == 32633
    assert area.note is None
    # 20,271 km2: Statistical Office of the Republic of Slovenia
    assert area.geometry.area / 1e6 == pytest.approx(20_271, rel=0.01)


def test_a_file_over_http_is_read(tmp_path: Path, server: Server) -> None:
    _written(tmp_path / "border.geojson", SQUARE)

    assert from_file(f"{server.url}/border.geojson").geometry.equals(SQUARE)


def test_heights_are_dropped(tmp_path: Path) -> None:
    path = _written(tmp_path / "border.gpkg", shapely.force_3d(SQUARE, 300.0))

    assert not from_file(path).geometry.has_z


def test_a_polygon_that_crosses_itself_is_repaired_and_said_aloud(tmp_path: Path) -> None:
    path = _written(tmp_path / "border.gpkg", SQUARE, BOW_TIE)

    area = from_file(path)

    assert area.geometry.is_valid
    # a bow tie of 1 km: two triangles of 1 km by 0.5 km, 0.25 km2 each
    assert area.geometry.area == pytest.approx(SQUARE.area + 500_000)
    assert area.note is not None
    assert area.note.startswith(
        "aoi.boundary: border.gpkg crosses itself at (500500, 500); repaired"
    )
    # on the ground 1 / 0.9996^2 of that, 0.9996 being UTM's scale at the central meridian
    assert area.note.endswith("-> 0.5004 km2)")


def test_points_beside_polygons_are_left_out_and_said_aloud(tmp_path: Path) -> None:
    path = _written(tmp_path / "border.geojson", SQUARE, shapely.Point(0, 0))

    area = from_file(path)

    assert area.geometry.equals(SQUARE)
    assert area.note == "aoi.boundary: border.geojson: Point geometries are left out"


def _package(path: Path, **layers: shapely.Geometry) -> Path:
    for layer, area in layers.items():
        geopandas.GeoDataFrame(geometry=[area], crs="EPSG:32633").to_file(path, layer=layer)
    return path


def test_where_several_layers_have_polygons_it_must_be_said_which_is_the_area(
    tmp_path: Path,
) -> None:
    path = _package(tmp_path / "border.gpkg", regions=BOW_TIE, country=SQUARE)

    with pytest.raises(BoundaryError) as caught:
        from_file(path)
    assert str(caught.value) == (
        f"aoi.boundary: {path} has the layers regions, country, and it is not said which of them "
        "is the area. Name it: aoi.layer: regions"
    )

    area = from_file(path, "country")

    assert area.geometry.equals(SQUARE)
    assert area.note is None


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = _package(tmp_path / "border.gpkg", regions=BOW_TIE, country=SQUARE)
    with pytest.raises(BoundaryError, match=r"aoi\.layer: .* has no layer land\. .*: regions, c"):
        from_file(path, "land")


def test_layers_without_polygons_leave_no_choice(tmp_path: Path) -> None:
    path = _package(
        tmp_path / "border.gpkg",
        rivers=SQUARE.boundary.segmentize(1.0),
        towns=SQUARE.centroid,
        country=SQUARE,
    )

    area = from_file(path)

    assert area.geometry.equals(SQUARE)
    assert area.note == (
        "aoi.boundary: border.gpkg has the layers rivers, towns, country; country has polygons, "
        "and is used"
    )


@pytest.mark.parametrize("code", [0, -1])
def test_an_undefined_crs_of_a_geopackage_is_refused(tmp_path: Path, code: int) -> None:
    path = _package(tmp_path / "border.gpkg", border=shapely.box(14.0, 46.0, 15.0, 47.0))
    database = sqlite3.connect(path)
    database.execute(f"UPDATE gpkg_contents SET srs_id = {code}")
    database.execute(f"UPDATE gpkg_geometry_columns SET srs_id = {code}")
    database.commit()
    database.close()
    with pytest.raises(BoundaryError, match=r"^aoi\.boundary: .*gpkg has "):
        from_file(path)


def test_degrees_that_are_called_metres_are_refused(tmp_path: Path) -> None:
    path = _package(tmp_path / "border.gpkg", border=shapely.box(14.0, 46.0, 15.0, 47.0))
    with pytest.raises(BoundaryError, match=r"has a projected CRS .*, which looks like degrees\."):
        from_file(path)


def test_a_shapefile_in_a_folder_of_a_zip_is_read(tmp_path: Path) -> None:
    _package(tmp_path / "border.shp", border=SQUARE)
    with zipfile.ZipFile(tmp_path / "border.zip", "w") as archive:
        for part in ("shp", "shx", "dbf", "prj"):
            archive.write(tmp_path / f"border.{part}", f"download/2023/border.{part}")

    assert from_file(tmp_path / "border.zip").geometry.equals(SQUARE)


def test_a_boundary_in_geoparquet_is_read(tmp_path: Path) -> None:
    geopandas.GeoDataFrame(geometry=[SQUARE], crs="EPSG:32633").to_parquet(tmp_path / "b.parquet")

    assert from_file(tmp_path / "b.parquet").geometry.equals(SQUARE)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(BoundaryError, match=r"aoi\.boundary: /nowhere/border\.gpkg is not there\."):
        from_file("/nowhere/border.gpkg")


def test_a_url_that_is_not_there_is_named(server: Server) -> None:
    with pytest.raises(
        BoundaryError, match=r"aoi\.boundary: http://.*/none\.geojson can't be read"
    ):
        from_file(f"{server.url}/none.geojson")


@pytest.mark.parametrize("name", ["border.gpkg", "border.geojson", "border.zip"])
def test_a_file_that_gdal_cannot_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("no map at all")

    with pytest.raises(BoundaryError, match=rf"aoi\.boundary: .*{name} can't be read by GDAL"):
        from_file(tmp_path / name)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    whole = _written(tmp_path / "whole.geojson", SQUARE, BOW_TIE).read_bytes()
    (tmp_path / "border.geojson").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(BoundaryError, match=r"border\.geojson can't be read by GDAL"):
        from_file(tmp_path / "border.geojson")


def test_a_table_without_geometry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "border.csv").write_text("name,area\nSlovenia,20271\n")

    with pytest.raises(BoundaryError, match=r"border\.csv holds no layer with a geometry"):
        from_file(tmp_path / "border.csv")


@pytest.mark.parametrize("geometries", [(), (shapely.Polygon(),), (None,)])
def test_an_empty_boundary_is_refused(
    tmp_path: Path, geometries: tuple[BaseGeometry | None, ...]
) -> None:
    path = _written(tmp_path / "border.gpkg", *geometries)

    with pytest.raises(BoundaryError, match=r"aoi\.boundary: .*border\.gpkg is empty"):
        from_file(path)


@pytest.mark.parametrize("name", ["border.gpkg", "border.shp", "border.fgb"])
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_boundary_without_crs_is_refused(tmp_path: Path, name: str) -> None:
    path = _written(tmp_path / name, SQUARE, crs=None)

    with pytest.raises(BoundaryError, match=rf"{name} has no coordinate reference system"):
        from_file(path)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_metres_that_pass_for_degrees_are_refused(tmp_path: Path) -> None:
    path = _written(tmp_path / "border.geojson", SQUARE, crs=None)

    with pytest.raises(BoundaryError, match=r"degrees .* has the point \(501000, 5e\+06\)"):
        from_file(path)


def test_points_and_lines_alone_are_refused(tmp_path: Path) -> None:
    path = _written(
        tmp_path / "border.geojson", shapely.Point(0, 0), shapely.LineString([(0, 0), (1, 1)])
    )

    with pytest.raises(BoundaryError, match="only LineString and Point geometries"):
        from_file(path)


def test_a_polygon_with_no_area_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path / "border.gpkg", shapely.Polygon([(0, 0), (1, 1), (2, 2)]))

    with pytest.raises(BoundaryError, match="no area is left after repair"):
        from_file(path)


# ---------------------------------------------------------------------------- boxes


def test_a_bbox_is_an_area_in_degrees() -> None:
    area = from_bbox([13.4, 45.4, 16.6, 46.9])

    assert area.crs.to_epsg() == 4326
    assert area.geometry.bounds == (13.4, 45.4, 16.6, 46.9)


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ([16, 45, 13, 46], "west 16 is not less than east 13"),
        ([13, 46, 16, 46], "south 46 is not less than north 46"),
        ([13, 45, 200, 46], "east 200 is outside -180 to 180"),
        ([170, 45, -5, 46], "west 170 is not less than east -5"),
        ([-400, 45, -390, 46], "west -400 is outside -360 to 360"),
        ([13, -91, 16, 46], "south -91 is outside -90 to 90"),
        ([13, 45, 16], r"\[13, 45, 16\] is not \[west, south, east, north\]"),
        ([13, 45, float("nan"), 46], r"is not \[west, south, east, north\]"),
    ],
)
def test_what_is_no_bbox_is_refused(bbox: list[float], message: str) -> None:
    with pytest.raises(BoundaryError, match=rf"aoi\.bbox: .*{message}"):
        from_bbox(bbox)


@pytest.mark.parametrize(
    "bbox", [(179.5, -18, -179.5, -17), (179.5, -18, 180.5, -17), (-180.5, -18, -179.5, -17)]
)
def test_a_bbox_across_180_degrees_is_cut_there(bbox: tuple[float, ...]) -> None:
    assert from_bbox(bbox).geometry.equals(ACROSS)


def test_a_bbox_around_half_the_earth_and_more_is_no_jump() -> None:
    assert from_bbox((-170, -10, 170, 10)).geometry.area == pytest.approx(340 * 20)


# ---------------------------------------------------------------------------- countries


class Server:
    """A folder on the loopback interface, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                super().do_GET()

            def log_message(self, *_: object) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=partial(self.http.serve_forever, 0.01), daemon=True).start()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def countries(tmp_path: Path) -> Path:
    """Four countries with Natural Earth's attributes, as boxes."""
    rows = [
        ("Slovenia", "Slovenia", "Slovenia", "Slovenia", "SI", "SVN"),
        ("Slovakia", "Slovakia", "Slovakia", "Slovakia", "SK", "SVK"),
        ("France", "France", "France", "France", "-99", "-99"),
        ("Côte d'Ivoire", "Ivory Coast", "Côte d'Ivoire", "Ivory Coast", "CI", "CIV"),
    ]
    names = ["NAME", "ADMIN", "NAME_LONG", "NAME_EN", "ISO_A2", "ISO_A3"]
    table = geopandas.GeoDataFrame(
        dict(zip(names, zip(*rows, strict=True), strict=True)),
        geometry=[shapely.box(10 * i, 45, 10 * i + 1, 46) for i in range(4)],
        crs="EPSG:4326",
    )
    path = tmp_path / "ne.shp.zip"
    table.to_file(path, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "west"),
    [
        ("Slovenia", 0),
        (" slovenia ", 0),
        ("SVK", 10),
        ("sk", 10),
        ("cote d'ivoire", 30),
        ("IVORY COAST", 30),
    ],
)
def test_a_country_is_found_by_name_or_code_in_any_case(
    countries: Path, name: str, west: int
) -> None:
    area = from_country(name, source=countries)

    assert area.geometry.bounds == (west, 45, west + 1, 46)
    assert area.crs.to_epsg() == 4326


def test_an_unknown_country_is_refused_with_the_nearest_names(countries: Path) -> None:
    with pytest.raises(
        BoundaryError, match=r"aoi\.country: 'Slovena' .* Nearest: Slovenia, Slovakia\."
    ):
        from_country("Slovena", source=countries)


@pytest.mark.parametrize("name", ["-99", "", "  "])
def test_natural_earths_missing_code_is_no_country(countries: Path, name: str) -> None:
    with pytest.raises(BoundaryError, match="is no country of Natural Earth"):
        from_country(name, source=countries)


def test_countries_are_downloaded_once_and_then_read_from_the_cache(
    tmp_path: Path, countries: Path, server: Server
) -> None:
    url = f"{server.url}/{countries.name}"
    cache = tmp_path / "cache"

    first = from_country("Slovenia", source=url, cache=cache)
    second = from_country("Slovakia", source=url, cache=cache)

    assert server.asked == [f"/{countries.name}"]
    assert first.geometry.bounds[0] == 0
    assert second.geometry.bounds[0] == 10
    (kept,) = (cache / "natural_earth").iterdir()
    assert kept.read_bytes() == countries.read_bytes()


@pytest.mark.parametrize("content", [b"<html>log in first</html>", None])
def test_a_download_that_is_not_the_countries_is_not_kept(
    tmp_path: Path, countries: Path, server: Server, content: bytes | None
) -> None:
    (tmp_path / "bad.zip").write_bytes(content or countries.read_bytes()[:-200])
    cache = tmp_path / "cache"

    with pytest.raises(BoundaryError, match=r"aoi\.country: http.*bad\.zip could not be downl"):
        from_country("Slovenia", source=f"{server.url}/bad.zip", cache=cache)

    assert list((cache / "natural_earth").iterdir()) == []


def test_without_network_the_error_says_where_to_put_a_copy(tmp_path: Path) -> None:
    # port 9 of the loopback interface refuses
    with pytest.raises(BoundaryError, match=r"Put a copy of it at .*natural_earth/.*ne\.zip, or"):
        from_country("Slovenia", source="http://127.0.0.1:9/ne.zip", cache=tmp_path)


def test_a_copy_that_lies_in_the_default_cache_is_used(
    tmp_path: Path, countries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = default_cache() / "natural_earth"
    folder.mkdir(parents=True)
    (folder / "ne_10m_admin_0_countries.zip").write_bytes(countries.read_bytes())

    assert from_country("Slovakia").geometry.bounds[0] == 10


def test_a_country_across_180_degrees_is_whole_whatever_its_form(tmp_path: Path) -> None:
    for name, drawn in (("Fiji", JUMPING), ("Tuvalu", shapely.box(179.5, -18, 180.5, -17))):
        path = tmp_path / f"{name}.gpkg"
        geopandas.GeoDataFrame({"NAME": [name]}, geometry=[drawn], crs="EPSG:4326").to_file(path)
        assert from_country(name, source=path).geometry.equals(ACROSS)


def test_a_file_that_is_not_natural_earth_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path / "border.gpkg", SQUARE)

    with pytest.raises(BoundaryError, match=r"border\.gpkg is not Natural Earth's countries"):
        from_country("Slovenia", source=path)


# ---------------------------------------------------------------------------- the three together


def test_each_form_is_read_by_its_key(tmp_path: Path, countries: Path) -> None:
    path = _written(tmp_path / "border.gpkg", SQUARE)

    assert read_boundary(boundary=path).geometry.equals(SQUARE)
    assert read_boundary(bbox=(1, 2, 3, 4)).geometry.bounds == (1, 2, 3, 4)
    assert read_boundary(country="SVN", natural_earth=countries).geometry.bounds[0] == 0


def test_exactly_one_form_is_wanted() -> None:
    with pytest.raises(BoundaryError, match="here is none"):
        read_boundary()
    with pytest.raises(BoundaryError, match="here are bbox and country"):
        read_boundary(bbox=(1, 2, 3, 4), country="Slovenia")
