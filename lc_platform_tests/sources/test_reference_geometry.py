"""Where a reference's labels lie: long edges, odd polygons, and longitudes around 180."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lc_platform_tests.sources.references import (
    GRID,
    LEFT,
    TOP,
    box,
    opened,
    polygons,
    raster,
    refusal,
)

# ---------------------------------------------------------------------------- long edges


def written(path: Path, shapes: list[Any], crs: Any, **columns: list[Any]) -> Path:
    geopandas.GeoDataFrame(columns, geometry=shapes, crs=crs).to_file(path)
    return path


def centres(grid: GeoBox, crs: Any) -> NDArray[np.float64]:
    """(y, x, 2), the pixels' centres in a CRS, one by one: the reference implementation."""
    column, row = np.meshgrid(np.arange(grid.shape[1]) + 0.5, np.arange(grid.shape[0]) + 0.5)
    x, y = grid.affine * (column, row)
    return np.stack(Transformer.from_crs(str(grid.crs), crs, always_xy=True).transform(x, y), -1)


def around(longitude: float, latitude: float, epsg: int, side: int = 100) -> GeoBox:
    place = Transformer.from_crs(4326, epsg, always_xy=True)
    x, y = (round(v, -1) for v in place.transform(longitude, latitude))
    affine = Affine(10, 0, x - 5 * side, 0, -10, y + 5 * side)
    return GeoBox((side, side), affine, f"EPSG:{epsg}")


@pytest.mark.parametrize(
    ("crs", "grid", "corners"),
    [
        # A parallel of 115 km, which is 27 pixels off its chord.
        (4326, around(14.75, 46.0, 32633), [(14, 46), (15.5, 46), (15.5, 46.5), (14, 46.5)]),
        # One of 1,500 km, and an edge that crosses parallels and meridians.
        (4326, around(15.0, 46.0, 32633), [(5, 46), (25, 46), (25, 50)]),
        (4326, around(14.5, 45.75, 32633), [(10, 44), (18, 47.111), (18, 40)]),
        # Beside the pole, where a parallel is a circle.
        (4326, around(20.0, 78.0, 32633), [(-30, 78), (60, 78), (60, 82), (-30, 82)]),
        # Metres: a national grid of Europe, and the neighbouring zone.
        (3035, around(14.75, 46.0, 32633), [(4e6, 2.5e6), (5.2e6, 2.6e6), (5e6, 4e6)]),
        (32632, around(14.75, 46.0, 32633), [(5e5, 4.9e6), (1.4e6, 5.3e6), (6e5, 5.6e6)]),
    ],
    ids=["parallel", "long parallel", "slant", "near the pole", "Europe", "next zone"],
)
def test_labels_end_where_the_file_draws_a_long_edge(
    tmp_path: Path, crs: int, grid: GeoBox, corners: list[tuple[float, float]]
) -> None:
    drawn = shapely.Polygon(corners)
    path = written(tmp_path / "r.gpkg", [drawn], crs, kind=[30])
    found = opened(path).burnt(grid).classes == 3
    place = centres(grid, crs)
    expected = shapely.contains_xy(drawn, place[..., 0], place[..., 1])
    assert (found != expected).sum() == 0


def test_a_window_across_a_long_edge_is_the_crop_of_the_whole(tmp_path: Path) -> None:
    grid = around(14.75, 46.0, 32633, side=400)
    sheets = [shapely.box(5, 46, 25, 50), shapely.box(5, 42, 25, 46)]
    path = written(tmp_path / "r.gpkg", sheets, 4326, kind=[30, 80])
    reference = opened(path)
    whole = reference.burnt(grid)
    assert set(np.unique(whole.classes)) == {3, 8}
    assert not whole.ambiguous.any()
    for start in range(0, 400, 50):
        part = reference.burnt(grid[150:250, start : start + 50])
        np.testing.assert_array_equal(part.classes, whole.classes[150:250, start : start + 50])


# ---------------------------------------------------------------------------- odd polygons


def inside(shape: Any) -> NDArray[np.bool_]:
    place = centres(GRID, 32633)
    found: NDArray[np.bool_] = shapely.contains_xy(shape, place[..., 0], place[..., 1])
    return found


def corners(*pixels: tuple[float, float]) -> list[tuple[float, float]]:
    return [(LEFT + 10 * column, TOP - 10 * row) for column, row in pixels]


ODD = {
    "spike": (
        shapely.Polygon(corners((2, 2), (9, 2), (9, 5), (19, 6.2), (9, 5), (9, 9), (2, 9))),
        box(2, 2, 7, 7),
    ),
    "overlapping parts": (
        shapely.MultiPolygon([box(2, 2, 10, 10), box(6, 6, 10, 10)]),
        box(2, 2, 10, 10) | box(6, 6, 10, 10),
    ),
    "part in a part": (
        shapely.MultiPolygon([box(2, 2, 12, 12), box(5, 5, 3, 3)]),
        box(2, 2, 12, 12),
    ),
    "ring over itself": (
        shapely.Polygon(
            corners((1, 1), (15, 1), (15, 9), (7, 9), (7, 6), (12, 6), (12, 14), (1, 14))
        ),
        box(1, 1, 14, 8) | box(1, 1, 6, 13) | box(1, 6, 11, 8),
    ),
    "doubled edge": (
        shapely.Polygon(corners((2, 2), (9, 2), (9, 9), (5, 9), (5, 18), (5, 9), (2, 9))),
        box(2, 2, 7, 7),
    ),
    "polygon and line": (
        shapely.GeometryCollection(
            [box(2, 2, 7, 7), shapely.LineString(corners((0, 15), (19, 15)))]
        ),
        box(2, 2, 7, 7),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("drawn", "right"), ODD.values(), ids=[*ODD])
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
def test_of_an_odd_polygon_its_ground_is_labelled_and_nothing_else(
    tmp_path: Path, drawn: Any, right: Any, crs: str
) -> None:
    # Moved off the pixels' centres, so that no rounding decides.
    drawn, right = (shapely.affinity.translate(g, 1.3, -2.1) for g in (drawn, right))
    path = polygons(tmp_path / "r.gpkg", [box(0, 0, 20, 20), drawn], crs, kind=[80, 30])
    found = opened(path).burnt(GRID)
    np.testing.assert_array_equal(found.classes == 3, inside(right))
    np.testing.assert_array_equal(found.ambiguous, inside(right))


def test_repairs_and_what_encloses_nothing_are_named_once_with_their_areas(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flat = shapely.Polygon(corners((0, 0), (5, 0), (5, 0), (0, 0)))
    point = shapely.Point(corners((12, 12))[0])
    twice = shapely.MultiPolygon([box(2, 2, 10, 10), box(6, 6, 10, 10)])
    path = tmp_path / "r.geojson"  # which keeps points beside polygons
    polygons(path, [box(0, 0, 2, 2), flat, point, twice], kind=[30, 30, 30, 80])
    reference = opened(path)
    found = reference.burnt(GRID).classes
    assert (found == 3).sum() == 4
    reference.burnt(GRID)
    left_out, repaired = [record.getMessage() for record in caplog.records]
    assert left_out == (
        f"reference.path: {path}: feature no. 2, counted from 1, has no polygonal part and is left "
        "out"
    )
    # 10,000 m2 twice, 3,600 m2 of it in both; on the ground 1 / 0.9996^2 of that.
    assert repaired == (
        f"reference.path: {path}: feature no. 4 (area 2.0016 -> 1.64131 ha), counted from 1, is "
        "not valid and is repaired"
    )


def test_several_repaired_features_are_told_by_their_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    twice = shapely.MultiPolygon([box(2, 2, 10, 10), box(6, 6, 10, 10)])
    path = polygons(tmp_path / "r.gpkg", [twice, box(0, 0, 2, 2), twice], kind=[80, 30, 80])
    opened(path).burnt(GRID)
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"reference.path: {path}: features no. 1 (area ")
    assert ", 3 (area " in told
    assert told.endswith(" are not valid and are repaired")


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Point(LEFT, TOP),
        shapely.MultiPoint([(LEFT, TOP)]),
        shapely.LineString([(LEFT, TOP), (LEFT + 100, TOP - 100)]),
    ],
    ids=["point", "points", "line"],
)
def test_a_reference_of_points_or_lines_is_refused_by_name(tmp_path: Path, shape: Any) -> None:
    path = polygons(tmp_path / "r.gpkg", [shape], kind=[30])
    message = refusal(path)
    assert message.startswith(
        f"reference.path: {path} has no polygon, but 1 points or lines, which enclose no area. "
        "Give a file of polygons"
    )


# ---------------------------------------------------------------------------- longitudes

Shape = shapely.Polygon | shapely.MultiPolygon
WHOLE = shapely.box(179.5, -18, 180.5, -17)


def counted(whole: Shape, count: Callable[[NDArray[Any]], NDArray[Any]]) -> Shape:
    return shapely.transform(whole, lambda p: np.column_stack([count(p[:, 0]), p[:, 1]]))


FORMS: dict[str, Shape] = {
    "cut at 180": shapely.MultiPolygon(
        [shapely.box(179.5, -18, 180, -17), shapely.box(-180, -18, -179.5, -17)]
    ),
    "above 180": WHOLE,
    "below -180": counted(WHOLE, lambda x: x - 360),
    "jumping": counted(WHOLE, lambda x: (x + 180) % 360 - 180),
    "a turn above": counted(WHOLE, lambda x: x + 360),
}
PLACES = {"west of it": 179.8, "across": 180.0, "east of it": -179.8}


@pytest.mark.parametrize("longitude", PLACES.values(), ids=[*PLACES])
@pytest.mark.parametrize("drawn", FORMS.values(), ids=[*FORMS])
def test_polygons_around_180_are_where_they_are_in_every_count(
    tmp_path: Path, drawn: Shape, longitude: float
) -> None:
    far = shapely.box(14, 45, 15, 46)  # so that the file reaches around the Earth
    path = written(tmp_path / "r.gpkg", [far, drawn], 4326, kind=[80, 30])
    reference = opened(path)
    grid = around(longitude, -17.5, 32701, side=40)
    assert (reference.burnt(grid).classes == 3).all()
    assert reference.covers(grid)
    edge = around(179.5 if longitude > 0 else -179.5, -17.5, 32701, side=40)
    half = reference.burnt(edge).classes == 3
    place = centres(edge, 4326)
    np.testing.assert_array_equal(half, np.abs(place[..., 0]) > 179.5)
    for elsewhere in (around(15, -17.5, 32733, side=40), around(178, -17.5, 32760, side=40)):
        assert not reference.burnt(elsewhere).classes.any()
        assert not reference.covers(elsewhere)


def test_a_reference_from_0_to_360_is_where_it_is_on_both_sides_of_greenwich(
    tmp_path: Path,
) -> None:
    # Fields of one degree around the Earth, as climate data have them.
    fields = [shapely.box(x, 51, x + 1, 52) for x in range(360)]
    kinds = [(30, 80)[x % 2] for x in range(360)]
    path = written(tmp_path / "r.gpkg", fields, 4326, kind=kinds)
    for longitude, epsg in ((0.0, 32631), (-2.0, 32630), (180.0, 32660), (-75.0, 32618)):
        grid = around(longitude, 51.5, epsg, side=40)
        place = centres(grid, 4326)[..., 0] % 360
        expected = np.where(place.astype(int) % 2 == 0, 3, 8)
        np.testing.assert_array_equal(opened(path).burnt(grid).classes, expected)


@pytest.mark.parametrize("west", [-180.0, 0.0, -360.0, 175.0, -185.0])
@pytest.mark.parametrize(("longitude", "epsg"), [(180.0, 32701), (179.8, 32760), (-179.8, 32701)])
def test_a_raster_around_180_is_read_in_every_count(
    tmp_path: Path, west: float, longitude: float, epsg: int
) -> None:
    width = 10 if west in (175.0, -185.0) else 360
    columns = np.floor(west + np.arange(width) + 0.5)
    values = np.where(columns % 360 < 180, 30, 80).astype(np.uint8)[None].repeat(4, axis=0)
    path = raster(tmp_path / "r.tif", values, Affine(1, 0, west, 0, -1, -15), "EPSG:4326")
    grid = around(longitude, -17.5, epsg, side=40)
    expected = np.where(centres(grid, 4326)[..., 0] % 360 < 180, 3, 8)
    reference = opened(path)
    np.testing.assert_array_equal(reference.burnt(grid).classes, expected)
    assert reference.covers(grid)


def test_a_raster_from_0_to_360_is_read_across_greenwich(tmp_path: Path) -> None:
    values = np.where(np.arange(360) < 180, 30, 80).astype(np.uint8)[None].repeat(4, axis=0)
    path = raster(tmp_path / "r.tif", values, Affine(1, 0, 0, 0, -1, 53), "EPSG:4326")
    grid = around(0.0, 51.5, 32631, side=40)
    expected = np.where(centres(grid, 4326)[..., 0] >= 0, 3, 8)
    np.testing.assert_array_equal(opened(path).burnt(grid).classes, expected)


def test_of_a_raster_across_its_own_edge_only_what_is_needed_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = raster(
        tmp_path / "r.tif", np.full((40, 3600), 30, np.uint8), Affine(0.1, 0, 0, 0, -0.1, 53),
        "EPSG:4326",
    )  # fmt: skip
    widths: list[int] = []
    read = rasterio.DatasetReader.read

    def counting(self: Any, *given: Any, **options: Any) -> Any:
        widths.append(options["window"].width)
        return read(self, *given, **options)

    monkeypatch.setattr(rasterio.DatasetReader, "read", counting, raising=False)
    assert (opened(path).burnt(around(0.0, 51.5, 32631, side=40)).classes == 3).all()
    assert widths
    assert max(widths) < 10


# ---------------------------------------------------------------------------- the poles


def test_a_reference_in_degrees_is_read_around_a_pole(tmp_path: Path) -> None:
    affine = Affine(5000, 0, -100_000, 0, -5000, 100_000)
    grid = GeoBox((40, 40), affine, "EPSG:3413")
    sectors = [shapely.box(x, 80, x + 60, 90) for x in range(-170, 190, 60)]
    kinds = [(30, 80)[i % 2] for i in range(6)]
    path = written(tmp_path / "r.gpkg", sectors, 4326, kind=kinds)
    found = opened(path).burnt(grid).classes
    sector = np.floor((centres(grid, 4326)[..., 0] + 170) % 360 / 60)
    np.testing.assert_array_equal(found, np.where(sector % 2 == 0, 3, 8))
