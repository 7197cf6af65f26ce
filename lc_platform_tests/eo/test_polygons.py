"""Polygons are repaired without a loss, lie where they were drawn, and on which side of 180."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from lc_platform.eo import polygons

WGS84 = CRS.from_epsg(4326)
UTM33 = CRS.from_epsg(32633)
LAEA = CRS.from_epsg(3035)

# ---------------------------------------------------------------------------- repair


@st.composite
def rings(draw: st.DrawFn) -> list[tuple[int, int]]:
    """A closed walk, crossing and touching itself as it likes."""
    corner = st.tuples(st.integers(0, 12), st.integers(0, 12))
    found = draw(st.lists(corner, min_size=3, max_size=9))
    return [*found, found[0]]


# Not on a line between two of the corners above, or near one.
POINTS = np.stack(np.meshgrid(np.arange(13) + 0.3137, np.arange(13) + 0.5771), -1).reshape(-1, 2)


def winding_numbers(ring: list[tuple[int, int]]) -> NDArray[np.int64]:
    """How often a ring goes around each of POINTS, and 99 where one is too near to it to tell.

    D. Sunday, Practical Geometry Algorithms (2021), chapter 3: crossings of the ray to the right,
    upward ones counted up.
    """
    x, y = POINTS.T
    found = np.zeros(len(POINTS), np.int64)
    near = np.zeros(len(POINTS), np.bool_)
    for (ax, ay), (bx, by) in pairwise(ring):
        side = (bx - ax) * (y - ay) - (x - ax) * (by - ay)
        near |= np.abs(side) < 1e-6 * max(abs(bx - ax), abs(by - ay), 1)
        found += ((ay <= y) & (by > y) & (side > 0)).astype(int)
        found -= ((ay > y) & (by <= y) & (side < 0)).astype(int)
    return np.where(near, 99, found)


def contained(geometry: BaseGeometry) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = shapely.contains_xy(geometry, *POINTS.T)
    return found


@settings(deadline=None)
@given(rings())
@example([(0, 0), (1, 1), (1, 0), (0, 1), (0, 0)])
@example([(5, 9), (9, 9), (1, 9), (5, 9), (3, 3), (9, 9), (5, 9)])
@example([(0, 0), (10, 0), (10, 6), (4, 6), (4, 4), (8, 4), (8, 8), (0, 8), (0, 0)])
def test_what_a_ring_goes_around_is_inside(ring: list[tuple[int, int]]) -> None:
    around = winding_numbers(ring)
    repaired = polygons.polygonal(shapely.Polygon(ring))
    assert repaired.is_valid
    assert repaired.geom_type in ("Polygon", "MultiPolygon")
    sure = around != 99
    np.testing.assert_array_equal(contained(repaired)[sure], (around != 0)[sure])


@settings(deadline=None)
@given(st.lists(rings(), min_size=1, max_size=3))
def test_of_overlapping_parts_each_ones_ground_is_inside(parts: list[Any]) -> None:
    drawn = shapely.MultiPolygon([shapely.Polygon(ring) for ring in parts])
    repaired = polygons.polygonal(drawn)
    around = [winding_numbers(ring) for ring in parts]
    sure = np.all([one != 99 for one in around], axis=0)
    expected = np.any([one != 0 for one in around], axis=0)
    assert repaired.is_valid
    np.testing.assert_array_equal(contained(repaired)[sure], expected[sure])


@settings(deadline=None)
@given(st.lists(rings(), min_size=1, max_size=3))
def test_what_is_repaired_stays_as_it_is(parts: list[Any]) -> None:
    once = polygons.polygonal(shapely.MultiPolygon([shapely.Polygon(ring) for ring in parts]))
    assert polygons.polygonal(once) is once or polygons.polygonal(once).equals_exact(once)


SQUARE = shapely.box(0, 0, 10, 10)
LINE = shapely.LineString([(20, 20), (30, 30)])


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (shapely.Polygon([(0, 0), (10, 0), (10, 5), (30, 7), (10, 5), (10, 10), (0, 10)]), SQUARE),
        (shapely.Polygon([(0, 0), (10, 0), (10, 10), (0, 10), (5, 10), (5, 20), (5, 10), (0, 10)]),
         SQUARE),
        (shapely.GeometryCollection([SQUARE, LINE, shapely.Point(50, 50)]), SQUARE),
        (shapely.GeometryCollection([shapely.GeometryCollection([SQUARE]), LINE]), SQUARE),
        (shapely.GeometryCollection([SQUARE, shapely.box(5, 5, 15, 10)]),
         shapely.union(SQUARE, shapely.box(5, 5, 15, 10))),
        (shapely.MultiPolygon([SQUARE, shapely.Polygon([(3, 3), (3, 3), (3, 3), (3, 3)])]), SQUARE),
        (shapely.MultiPolygon([SQUARE, SQUARE]), SQUARE),
        (shapely.MultiPolygon([SQUARE, shapely.box(10, 0, 20, 10)]), shapely.box(0, 0, 20, 10)),
        (shapely.Polygon(SQUARE.exterior, [shapely.box(2, 2, 4, 4).exterior]),
         SQUARE - shapely.box(2, 2, 4, 4)),
        # A hole drawn as a part of the ring that goes in and out at one point.
        (shapely.Polygon([(0, 0), (10, 0), (10, 10), (0, 10), (0, 0), (2, 4), (4, 2), (0, 0)]),
         SQUARE - shapely.Polygon([(0, 0), (2, 4), (4, 2)])),
        (shapely.Polygon(SQUARE.exterior, [shapely.box(8, 2, 14, 4).exterior]),
         SQUARE - shapely.box(8, 2, 10, 4)),
        (shapely.Polygon(SQUARE.exterior, [shapely.box(2, 2, 4, 4).exterior,
                                           shapely.box(3, 3, 5, 5).exterior]),
         SQUARE - shapely.box(2, 2, 4, 4) - shapely.box(3, 3, 5, 5)),
        (shapely.Polygon(SQUARE.exterior, [shapely.box(20, 2, 22, 4).exterior]),
         SQUARE | shapely.box(20, 2, 22, 4)),
        (shapely.force_3d(SQUARE, 300.0), SQUARE),
        (LINE, shapely.Polygon()),
        (shapely.Polygon([(0, 0), (1, 1), (2, 2)]), shapely.Polygon()),
        (shapely.Polygon(), shapely.Polygon()),
        (None, shapely.Polygon()),
    ],
    ids=[
        "spike", "spike on a corner", "collection", "nested collection", "overlapping collection",
        "collapsed part", "doubled part", "adjacent parts", "hole", "hole by touching",
        "hole over the edge", "overlapping holes", "hole outside", "heights",
        "line", "no area", "empty", "none",
    ],
)  # fmt: skip
def test_only_the_polygonal_part_is_left(drawn: BaseGeometry | None, expected: Any) -> None:
    found = polygons.polygonal(drawn)
    assert found.is_valid
    assert not found.has_z
    assert found.equals(expected)
    (of_many,) = polygons.polygonal_parts([drawn])
    assert of_many.equals(expected)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_part_with_coordinates_that_are_no_numbers_is_left_out(number: float) -> None:
    broken = shapely.Polygon([(20, 0), (30, 0), (30, number), (20, 10)])
    assert polygons.polygonal(broken).is_empty
    assert polygons.polygonal(shapely.MultiPolygon([SQUARE, broken])).equals(SQUARE)
    assert polygons.normalized(shapely.MultiPolygon([SQUARE, broken])).equals(SQUARE)


# ---------------------------------------------------------------------------- longitudes


@st.composite
def on_earth(draw: st.DrawFn) -> shapely.Polygon:
    """A star of up to 20 degrees, with longitudes as they go on from 180 to beyond."""
    west, south = draw(st.floats(-200, 200)), draw(st.floats(-70, 60))
    angle = np.sort(draw(st.lists(st.floats(0, 6.28), min_size=3, max_size=8, unique=True)))
    radius = draw(st.lists(st.floats(1, 10), min_size=len(angle), max_size=len(angle)))
    ring = np.stack([west + radius * np.cos(angle), south + radius * np.sin(angle)], axis=1)
    found = shapely.Polygon(ring)
    assume(found.is_valid and found.area > 0.1)
    return found


def written(whole: BaseGeometry, count: Callable[[Any], Any]) -> BaseGeometry:
    return shapely.transform(whole, lambda p: np.column_stack([count(p[:, 0]), p[:, 1]]))


COUNTS: dict[str, Callable[[Any], Any]] = {
    "as it goes on": lambda x: x,
    "from -180 to 180": lambda x: (x + 180) % 360 - 180,
    "from 0 to 360": lambda x: x % 360,
    "a turn above": lambda x: x + 360,
    "a turn below": lambda x: x - 360,
}


def on_the_globe(whole: BaseGeometry) -> BaseGeometry:
    """The reference: what of a polygon, whose longitudes go on, lies in each turn."""
    turns = [translate(whole, xoff=turn) & shapely.box(-180, -90, 180, 90) for turn in
             (-720, -360, 0, 360, 720)]  # fmt: skip
    return shapely.union_all([one for one in turns if one.area > 0])


@pytest.mark.parametrize("count", COUNTS.values(), ids=[*COUNTS])
@settings(deadline=None)
@given(whole=on_earth())
@example(whole=shapely.box(179, -18, 181, -16))
@example(whole=shapely.box(-181, -18, -179, -16))
@example(whole=shapely.box(175, 60, 180, 65))
def test_a_place_is_the_same_in_every_count_of_longitudes(
    count: Callable[[Any], Any], whole: shapely.Polygon
) -> None:
    found = polygons.normalized(written(whole, count))
    assert found.is_valid
    west, _, east, _ = found.bounds
    assert west >= -180
    assert east <= 180
    assert found.symmetric_difference(on_the_globe(whole)).area < 1e-9
    assert found.area == pytest.approx(whole.area)


@settings(deadline=None)
@given(whole=on_earth(), longitude=st.floats(-180, 180))
def test_what_is_unwrapped_is_one_piece_near_the_longitude_asked_for(
    whole: shapely.Polygon, longitude: float
) -> None:
    found = polygons.unwrapped(written(whole, COUNTS["from -180 to 180"]), longitude)
    west, _, east, _ = found.bounds
    assert found.geom_type == "Polygon"
    assert found.area == pytest.approx(whole.area)
    assert abs((west + east) / 2 - longitude) <= 180 + 1e-9


def test_parts_on_both_sides_of_180_are_one_place() -> None:
    # As RFC 7946, section 3.1.9, has polygons cut.
    cut = shapely.MultiPolygon([shapely.box(179, -18, 180, -16), shapely.box(-180, -18, -179, -16)])
    assert polygons.normalized(cut).equals(cut)
    assert polygons.normalized(shapely.box(179, -18, 181, -16)).equals(cut)


def test_a_hole_across_180_stays_a_hole() -> None:
    whole = shapely.box(178, -18, 182, -14) - shapely.box(179, -17, 181, -15)
    for count in COUNTS.values():
        assert polygons.normalized(written(whole, count)).area == pytest.approx(16 - 4)


def test_180_may_be_called_minus_180() -> None:
    ring = [(179, 0), (180, 0), (-180, 1), (179, 1)]
    assert polygons.normalized(shapely.Polygon(ring)).equals(shapely.box(179, 0, 180, 1))


@pytest.mark.parametrize("pole", [90, -90])
@pytest.mark.parametrize("step", [30, -30])
def test_a_ring_around_a_pole_is_closed_over_it(pole: int, step: int) -> None:
    longitudes = np.arange(0, 360, abs(step))[:: int(np.sign(step))]
    ring = [((x + 180) % 360 - 180, pole * 8 / 9) for x in longitudes]
    # ten degrees of latitude all around
    assert polygons.normalized(shapely.Polygon(ring)).area == pytest.approx(3600)


@pytest.mark.parametrize("step", [1, 90, 360])
def test_the_whole_earth_is_the_whole_earth(step: float) -> None:
    earth = shapely.segmentize(shapely.box(-180, -90, 180, 90), step)
    assert polygons.normalized(earth).area == pytest.approx(360 * 180)
    assert polygons.normalized(translate(earth, xoff=180)).area == pytest.approx(360 * 180)


@pytest.mark.parametrize(
    ("box", "area"),
    [
        ((179, 0, -179, 1), 2),
        ((179, 0, 181, 1), 2),
        ((-181, 0, -179, 1), 2),
        ((-180, -90, 180, 90), 360 * 180),
        ((-170, 0, 170, 1), 340),
        ((0, 0, 360, 1), 360),
    ],
)
def test_a_box_goes_from_west_to_east(box: tuple[float, float, float, float], area: float) -> None:
    assert polygons.box_in_degrees(*box).area == pytest.approx(area)


# ---------------------------------------------------------------------------- reprojection


def measured(
    edge: tuple[Any, Any], source: CRS, target: CRS, outline: BaseGeometry
) -> NDArray[np.float64]:
    """How far points on an edge, projected one by one, lie from an outline."""
    share = np.linspace(0, 1, 997)[:, None]
    points = np.asarray(edge[0]) + (np.asarray(edge[1]) - np.asarray(edge[0])) * share
    transformer = Transformer.from_crs(source, target, always_xy=True)
    projected = shapely.points(*transformer.transform(*points.T))
    found: NDArray[np.float64] = shapely.distance(outline, projected)
    return found


@pytest.mark.parametrize(
    ("source", "target", "ring", "tolerance"),
    [
        (WGS84, UTM33, [(14, 46), (15.5, 46), (15.5, 46.5)], 0.01),
        (WGS84, UTM33, [(12, 41), (18, 45), (13, 49)], 1.0),
        (WGS84, LAEA, [(-9, 36), (30, 60), (5, 62)], 1.0),
        (LAEA, WGS84, [(3e6, 2e6), (5e6, 2.5e6), (4e6, 4e6)], 1e-6),
        (LAEA, UTM33, [(4.4e6, 2.3e6), (4.9e6, 2.3e6), (4.9e6, 2.9e6)], 0.5),
        (CRS.from_epsg(32632), UTM33, [(5e5, 5e6), (9e5, 5.3e6), (6e5, 5.4e6)], 0.1),
        (WGS84, CRS.from_epsg(3413), [(-170, 70), (-30, 75), (-90, 85)], 1.0),
        (CRS.from_epsg(3857), UTM33, [(1.5e6, 5.6e6), (1.9e6, 5.9e6), (1.5e6, 6e6)], 0.1),
    ],
)
def test_edges_lie_where_they_were_drawn(
    source: CRS, target: CRS, ring: list[tuple[float, float]], tolerance: float
) -> None:
    found = polygons.reprojected(shapely.Polygon(ring), source, target, tolerance)
    for edge in zip(ring, [*ring[1:], ring[0]], strict=True):
        off = measured(edge, source, target, found.exterior)
        assert off.max() <= tolerance


def test_edges_get_no_more_vertices_than_they_need() -> None:
    # A parallel of 115 km bends by 270 m: to 1 m it takes the square root of 270 pieces, or as many
    # as are a tenth of a degree long; a meridian through the middle of the zone takes but those.
    box = shapely.box(14, 46, 15.5, 46.5)
    assert shapely.get_num_coordinates(polygons.reprojected(box, WGS84, UTM33, 1.0)) < 60
    near = shapely.box(14.999, 46, 15.001, 46.001)
    assert shapely.get_num_coordinates(polygons.reprojected(near, WGS84, UTM33, 1.0)) == 5


@settings(deadline=None)
@given(
    st.tuples(st.floats(13.5, 16.5), st.floats(45.2, 46.8)),
    st.tuples(st.floats(13.5, 16.5), st.floats(45.2, 46.8)),
)
def test_neighbours_keep_their_common_edge_to_the_bit(a: Any, b: Any) -> None:
    assume(abs(a[0] - b[0]) + abs(a[1] - b[1]) > 0.01)
    middle = (np.array(a) + np.array(b)) / 2
    across = np.array([a[1] - b[1], b[0] - a[0]])
    left, right = (shapely.Polygon([a, b, middle + side * across]) for side in (1, -1))
    one, other = (
        shapely.get_coordinates(polygons.reprojected(part, WGS84, UTM33, 0.01))
        for part in (left, right)
    )
    common = {tuple(p) for p in one} & {tuple(p) for p in other}
    degrees = max(abs(a[0] - b[0]), abs(a[1] - b[1]))
    assert len(common) >= 1 + degrees / polygons.LONGEST_DEGREES
    edge = shapely.LineString(sorted(common))
    for outline in (one, other):
        on_edge = shapely.distance(edge, shapely.points(outline)) < 1e-3
        assert {tuple(p) for p in outline[on_edge]} == common


AREA = shapely.box(500_000, 5_090_000, 502_000, 5_092_000)
COUNTRY = shapely.Polygon([(14.0, 45.0), (16.5, 46.3), (14.2, 47.0), (15.01, 46.0)])


@pytest.mark.parametrize("source", [WGS84, LAEA])
def test_a_window_gets_the_same_edges_as_the_whole(source: CRS) -> None:
    drawn = polygons.reprojected(COUNTRY, WGS84, source, 1e-3)
    drawn = shapely.simplify(drawn, 1e-6)
    around = shapely.box(480_000, 5_070_000, 540_000, 5_120_000)
    (whole,) = polygons.reprojected_near([drawn], source, UTM33, 0.01, around)
    for west in range(490_000, 530_000, 3_000):
        window = shapely.box(west, 5_085_000, west + 3_000, 5_110_000)
        (part,) = polygons.reprojected_near([drawn], source, UTM33, 0.01, window)
        here = shapely.LineString(shapely.get_coordinates(window))
        cut = (part & window).symmetric_difference(whole & window)
        assert cut.area < 1e-6, here


@pytest.mark.parametrize("target", [UTM33, WGS84, LAEA])
def test_what_lies_around_an_area_is_what_lies_there_of_the_whole(target: CRS) -> None:
    area = polygons.reprojected(AREA, UTM33, target, 1e-6)
    whole = polygons.reprojected(COUNTRY, WGS84, target, 1e-6)
    far = translate(COUNTRY, xoff=60)
    part, nothing = polygons.reprojected_near([COUNTRY, far], WGS84, target, 1e-6, area)
    assert (part & area).symmetric_difference(whole & area).area / area.area < 1e-6
    assert not (nothing & area).area


def test_the_sea_around_an_area_may_reach_beyond_what_its_crs_can_express() -> None:
    sea = shapely.box(-180, -90, 180, 90) - shapely.box(14.99, 45.99, 15.01, 46.01)
    (found,) = polygons.reprojected_near([sea], WGS84, UTM33, 0.01, AREA)
    land = polygons.reprojected(shapely.box(14.99, 45.99, 15.01, 46.01), WGS84, UTM33, 0.01)
    assert (found & AREA).symmetric_difference(AREA - land).area < 1.0


@pytest.mark.parametrize("longitude", [179.995, 180.0, -179.995])
@pytest.mark.parametrize("count", COUNTS.values(), ids=[*COUNTS])
def test_a_polygon_across_180_lies_around_an_area_on_either_side(
    count: Callable[[Any], Any], longitude: float
) -> None:
    utm = CRS.from_epsg(32701)
    x, y = Transformer.from_crs(WGS84, utm, always_xy=True).transform(longitude, -17.5)
    area = shapely.box(x - 3000, y - 3000, x + 3000, y + 3000)
    drawn = written(shapely.box(179.5, -18, 180.5, -17), count)
    (found,) = polygons.reprojected_near([drawn], WGS84, utm, 0.01, area)
    assert found.covers(area)


def test_an_area_across_180_is_searched_in_every_count_that_the_file_has() -> None:
    utm = CRS.from_epsg(32701)
    x, y = Transformer.from_crs(WGS84, utm, always_xy=True).transform(180.0, -17.5)
    area = shapely.box(x - 3000, y - 3000, x + 3000, y + 3000)

    def searched(west: float, east: float) -> BaseGeometry:
        boxes = polygons.search_boxes(area, utm, WGS84, 0.01, (west, -90, east, 90))
        return shapely.GeometryCollection([shapely.box(*box) for box in boxes])

    assert searched(0, 360).intersects(shapely.Point(180, -17.5))
    assert not searched(0, 360).intersects(shapely.Point(-179.99, -17.5))
    for longitude in (179.99, -179.99):
        assert searched(-180, 180).intersects(shapely.Point(longitude, -17.5))
    # What jumps from one side to the other is drawn over the middle of the file.
    jumping = shapely.Polygon([(179, -18), (-179, -18), (-179, -17), (179, -17)])
    assert searched(-180, 180).intersects(jumping)
    assert searched(-179, 179).intersects(jumping)
    assert searched(14, 15).is_empty


def test_a_file_in_metres_is_searched_where_the_area_is() -> None:
    (box,) = polygons.search_boxes(AREA, UTM33, LAEA, 0.01)
    whole = polygons.reprojected(AREA, UTM33, LAEA, 0.01)
    assert shapely.box(*box).covers(whole)
    assert shapely.box(*box).area < 1.5 * whole.area


def test_an_area_that_a_crs_cannot_express_is_refused() -> None:
    with pytest.raises(polygons.NotExpressibleError, match="outside what WGS 84 / UTM zone 33N"):
        polygons.reprojected(shapely.box(104, -1, 106, 1), WGS84, UTM33, 1.0)
