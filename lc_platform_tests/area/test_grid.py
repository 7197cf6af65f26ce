"""The area is covered by patches that share their edges and lie on the pixel grid."""

from __future__ import annotations

import re
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from lc_platform.area.grid import Patch, grid_table, patches_from_table, split

pytestmark = pytest.mark.filterwarnings(
    # sentinelhub's, of its own use of shapely
    r"ignore:The 'shapely\.ops\.transform\(\)' function:DeprecationWarning"
)

RESOLUTIONS = st.sampled_from([0.3, 1.0, 2.5, 10.0, 30.0])


@st.composite
def areas(draw: st.DrawFn) -> BaseGeometry:
    """One or two triangles or boxes of 0.2 to 20 km, anywhere in a UTM zone, in metres."""
    corner = st.tuples(st.floats(200_000, 800_000), st.floats(100_000, 9_000_000))
    x, y = draw(corner)
    step = st.floats(-10_000, 10_000)
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        dx, dy = draw(step), draw(step)
        width, height = draw(st.floats(200, 10_000)), draw(st.floats(200, 10_000))
        box = shapely.box(x + dx, y + dy, x + dx + width, y + dy + height)
        triangle = shapely.Polygon(list(box.exterior.coords)[:3])
        parts.append(draw(st.sampled_from([box, triangle])))
    return shapely.union_all(parts)


def _boxes(patches: list[Patch]) -> BaseGeometry:
    return np.array([shapely.box(*patch.box) for patch in patches])


def _assert_on_the_pixel_grid(patches: list[Patch], resolution: float) -> None:
    for patch in patches:
        xmin, ymin, xmax, ymax = patch.box
        rows, columns = patch.shape
        for edge in patch.box:
            # the nearest multiple, and no other number that is close to it
            assert edge == round(edge / resolution) * resolution
        assert columns == round((xmax - xmin) / resolution)
        assert rows == round((ymax - ymin) / resolution)
        assert min(rows, columns) >= 1
        assert (patch.geobox.affine.a, patch.geobox.affine.e) == (resolution, -resolution)


def _assert_neighbours_share_edges(patches: list[Patch]) -> None:
    at = {(patch.zone, patch.row, patch.column): patch.box for patch in patches}
    assert len(at) == len(patches)
    for (zone, row, column), (_, ymin, xmax, _) in at.items():
        east, south = at.get((zone, row, column + 1)), at.get((zone, row + 1, column))
        if east is not None:
            assert xmax == east[0]
        if south is not None:
            assert ymin == south[3]


def _assert_covered_without_overlap(
    area: BaseGeometry, patches: list[Patch], resolution: float
) -> None:
    boxes = _boxes(patches)
    union = shapely.union_all(boxes)
    assert shapely.area(boxes).sum() == pytest.approx(union.area, rel=1e-9)
    # no corner of the area lies further than a hundredth of a pixel outside
    assert union.buffer(resolution / 100, join_style="mitre").covers(area)
    assert all(shapely.intersects(area, boxes))


@settings(max_examples=60, deadline=None)
@given(
    area=areas(),
    resolution=RESOLUTIONS,
    columns=st.integers(1, 9),
    rows=st.integers(1, 9),
    buffer=st.sampled_from([0.0, 123.4]),
)
def test_columns_and_rows_cover_the_area_and_share_their_edges(
    area: BaseGeometry, resolution: float, columns: int, rows: int, buffer: float
) -> None:
    west, south, east, north = area.bounds
    assume(columns <= (east - west) // resolution and rows <= (north - south) // resolution)
    patches = split(
        area,
        32633,
        buffer=buffer,
        target_crs="EPSG:32633",
        resolution=resolution,
        columns_rows=(columns, rows),
    )

    _assert_on_the_pixel_grid(patches, resolution)
    _assert_neighbours_share_edges(patches)
    _assert_covered_without_overlap(area.buffer(buffer) if buffer else area, patches, resolution)
    assert {patch.row for patch in patches} <= set(range(rows))
    assert {patch.column for patch in patches} <= set(range(columns))
    sizes = np.array([patch.shape for patch in patches])
    # equal parts are at most one pixel apart once their edges take the nearest pixel
    assert np.ptp(sizes, axis=0).max() <= 1


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(area=areas(), resolution=RESOLUTIONS, pixels=st.integers(700, 3000))
def test_patches_of_a_size_cover_the_area_and_share_their_edges(
    area: BaseGeometry, resolution: float, pixels: int
) -> None:
    patches = split(
        area,
        32633,
        buffer=0,
        target_crs="EPSG:32633",
        resolution=resolution,
        patch_size=pixels * resolution,
    )

    _assert_on_the_pixel_grid(patches, resolution)
    _assert_neighbours_share_edges(patches)
    _assert_covered_without_overlap(area, patches, resolution)
    assert {patch.shape for patch in patches} == {(pixels, pixels)}


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    longitude=st.floats(-179.9, 178),
    latitude=st.floats(-78, 82),
    width=st.floats(0.01, 1.5),
    height=st.floats(0.01, 0.8),
    patch_size=st.sampled_from([4000.0, 10_000.0]),
    buffer=st.sampled_from([0.0, 3000.0]),
)
def test_every_place_is_in_a_patch_of_its_own_utm_zone(
    longitude: float,
    latitude: float,
    width: float,
    height: float,
    patch_size: float,
    buffer: float,
) -> None:
    area = shapely.box(longitude, latitude, longitude + width, latitude + height)

    patches = split(
        area, 4326, buffer=buffer, target_crs="utm", resolution=10, patch_size=patch_size
    )

    _assert_on_the_pixel_grid(patches, 10)
    _assert_neighbours_share_edges(patches)
    along = np.linspace(0.001, 0.999, 15)
    lon, lat = np.meshgrid(longitude + width * along, latitude + height * along)
    assert _in_a_patch_of_their_own_zone(patches, lon.ravel(), lat.ravel()).all()


def _in_a_patch_of_their_own_zone(
    patches: list[Patch], lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.bool_]:
    # 6 degree zones numbered from 180 W (J. P. Snyder, Map Projections, USGS PP 1395, p. 57);
    # a place on the border of two zones may be in either
    inside = np.zeros(lon.shape, dtype=bool)
    for crs in {patch.crs for patch in patches}:
        number, south = int(crs[-2:]), crs[-3] == "7"
        own = np.abs((lon - (6 * number - 183) + 180) % 360 - 180) <= 3 + 1e-9
        own &= (lat <= 0) if south else (lat >= 0)
        x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
        for patch in patches:
            if patch.crs == crs:
                xmin, ymin, xmax, ymax = patch.box
                inside |= own & (xmin <= x) & (x <= xmax) & (ymin <= y) & (y <= ymax)
    return inside


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(area=areas(), more=areas(), crs=st.sampled_from(["EPSG:32633", "utm"]))
def test_a_patch_that_stays_when_the_area_grows_keeps_its_key_and_box(
    area: BaseGeometry, more: BaseGeometry, crs: str
) -> None:
    near = shapely.affinity.translate(
        more, area.bounds[0] - more.bounds[0], area.bounds[1] - more.bounds[1]
    )
    grown = shapely.union_all([area, near])

    def patches_of(geometry: BaseGeometry) -> set[Patch]:
        return set(split(geometry, 32633, buffer=0, target_crs=crs, resolution=10, patch_size=2000))

    assert patches_of(area) <= patches_of(grown)


@pytest.mark.real_data
def test_slovenia_with_5_km_around_it_is_293_patches(shared_data: Path) -> None:
    border = geopandas.read_file(shared_data / "slovenia" / "border.geojson")

    patches = split(
        border.geometry.union_all(),
        border.crs,
        buffer=5000,
        target_crs="EPSG:32633",
        resolution=10,
        columns_rows=(25, 17),
    )

    # count and mean size: README of the data, from the published hand-run pipeline
    assert len(patches) == 293
    sizes = np.array([(p.box[2] - p.box[0], p.box[3] - p.box[1]) for p in patches])
    assert np.abs(sizes - (10_087, 10_034)).max() <= 10
    assert {patch.zone for patch in patches} == {"33N"}
    _assert_on_the_pixel_grid(patches, 10)
    _assert_neighbours_share_edges(patches)


@pytest.mark.real_data
def test_the_flanders_site_splits_into_16_patches_of_160_m(shared_data: Path) -> None:
    site = geopandas.read_file(shared_data / "flanders" / "aoi.gpkg")

    patches = split(
        site.geometry.union_all(),
        site.crs,
        buffer=0,
        target_crs="EPSG:32631",
        resolution=10,
        columns_rows=(4, 4),
    )

    assert len(patches) == 16
    assert {patch.shape for patch in patches} == {(16, 16)}
    assert patches[0].box == (501360, 5629520, 501520, 5629680)


def test_a_box_of_exact_pixels_is_not_enlarged() -> None:
    # 0.1 + 0.2 is a little more than 0.3: such rounding must not cost a row of pixels
    area = shapely.box(0, 0, 0.1 + 0.2, 0.1 + 0.2)

    (patch,) = split(
        area, 32633, buffer=0, target_crs="EPSG:32633", resolution=0.1, columns_rows=(1, 1)
    )

    assert patch.shape == (3, 3)


def test_a_box_between_pixels_grows_outward() -> None:
    area = shapely.box(500_003, 5_000_007, 500_021, 5_000_018)

    (patch,) = split(
        area, 32633, buffer=0, target_crs="EPSG:32633", resolution=10, columns_rows=(1, 1)
    )

    assert patch.box == (500_000, 5_000_000, 500_030, 5_000_020)
    assert patch.shape == (2, 3)


def test_patches_that_only_share_an_edge_with_the_area_are_left_out() -> None:
    # an L of three cells: the fourth touches two of them by an edge
    cells = [shapely.box(x, y, x + 160, y + 160) for x, y in ((0, 0), (160, 0), (0, 160))]
    area = shapely.affinity.translate(shapely.union_all(cells), 160 * 3000, 160 * 30_000)

    patches = split(area, 32633, buffer=0, target_crs="EPSG:32633", resolution=10, patch_size=160)

    assert sorted(patch.box[:2] for patch in patches) == [
        (480_000, 4_800_000),
        (480_000, 4_800_160),
        (480_160, 4_800_000),
    ]


def test_the_buffer_is_metres_whatever_the_crs_of_the_boundary() -> None:
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    point = shapely.box(500_000, 5_000_000, 500_010, 5_000_010)
    lon_lat = shapely.transform(
        point, lambda p: np.column_stack(to_degrees.transform(p[:, 0], p[:, 1]))
    )

    (patch,) = split(
        lon_lat, 4326, buffer=1000, target_crs="EPSG:32633", resolution=10, columns_rows=(1, 1)
    )

    assert patch.box == (499_000, 4_999_000, 501_010, 5_001_010)


def test_keys_count_rows_from_the_north_and_columns_from_the_west() -> None:
    patches = split(
        shapely.box(500_000, 5_000_000, 500_300, 5_000_200),
        32633,
        buffer=0,
        target_crs="EPSG:32633",
        resolution=10,
        columns_rows=(3, 2),
    )

    assert [patch.key for patch in patches] == [
        "33N-r000-c000",
        "33N-r000-c001",
        "33N-r000-c002",
        "33N-r001-c000",
        "33N-r001-c001",
        "33N-r001-c002",
    ]
    assert patches[0].box == (500_000, 5_000_100, 500_100, 5_000_200)
    assert patches[-1].box == (500_200, 5_000_000, 500_300, 5_000_100)


@pytest.mark.parametrize(
    ("area", "target", "size"),
    [
        (shapely.box(11.5, 46, 12.5, 46.5), "utm", 10_000),
        (shapely.box(36, -1, 37, 1), "utm", 20_000),
        (shapely.box(36, -1, 37, 1), "EPSG:32737", 20_000),
        (shapely.box(-10, 36, 0, 40), "EPSG:3035", 50_000),
        (shapely.box(-170, -40, 170, 60), "EPSG:3857", 1_000_000),
        (shapely.box(-120, -85, 100, -75), "EPSG:3031", 500_000),
        (shapely.box(9, 48, 9.2, 48.2), "EPSG:31467", 5000),
        (shapely.box(12.4, 46, 12.41, 46.01), "EPSG:32633", 20),
    ],
)
def test_keys_are_plain_unique_and_sort_like_places(
    area: BaseGeometry, target: str, size: float
) -> None:
    patches = split(area, 4326, buffer=0, target_crs=target, resolution=10, patch_size=size)

    keys = [patch.key for patch in patches]
    assert len(set(keys)) == len(keys) > 0
    assert all(re.fullmatch(r"[A-Za-z0-9]+-r\d{3,}-c\d{3,}", key) for key in keys)
    assert keys == sorted(keys)
    by_place = sorted(patches, key=lambda p: (p.key.split("-")[0], -p.box[3], p.box[0]))
    assert [patch.key for patch in by_place] == keys


def test_a_patch_of_a_crs_that_is_no_utm_zone_names_the_zone_of_its_centre() -> None:
    patches = split(
        shapely.box(11.9, 46, 12.1, 46.1),
        4326,
        buffer=0,
        target_crs="EPSG:3035",
        resolution=10,
        columns_rows=(2, 1),
    )

    assert [(patch.key, patch.zone) for patch in patches] == [
        ("3035-r000-c000", "32N"),
        ("3035-r000-c001", "33N"),
    ]
    assert patches[0].centre == pytest.approx((11.95, 46.05), abs=0.02)


def test_an_area_across_180_degrees_is_split_on_both_sides() -> None:
    # the same place, once as two pieces in degrees and once whole in New Zealand's continental CRS
    pieces = shapely.MultiPolygon(
        [shapely.box(179.8, -20, 180, -19.8), shapely.box(-180, -20, -179.8, -19.8)]
    )
    pacific = Transformer.from_crs(4326, 3832, always_xy=True)
    whole = shapely.transform(
        shapely.box(179.8, -20, 180.2, -19.8),
        lambda p: np.column_stack(pacific.transform(p[:, 0], p[:, 1])),
    )

    grids = [
        {
            patch.key
            for patch in split(
                area, crs, buffer=2000, target_crs="utm", resolution=10, patch_size=10_000
            )
        }
        for area, crs in ((pieces, 4326), (whole, 3832))
    ]

    assert grids[0] == grids[1]
    assert {key[:3] for key in grids[0]} == {"01S", "60S"}
    # 0.2 degrees are 21 km at 20 S: with 2 km around it, three to four patches of 10 km each way
    assert 2 * 9 <= len(grids[0]) <= 2 * 16


def test_the_table_gives_back_the_same_patches(tmp_path: Path) -> None:
    patches = split(
        shapely.box(179.9, 46, 180, 46.2),
        4326,
        buffer=500,
        target_crs="utm",
        resolution=0.7,
        patch_size=7000,
    )
    table = grid_table(patches)
    table["has_reference"] = True
    table.to_parquet(tmp_path / "patch_grid.parquet")

    again = geopandas.read_parquet(tmp_path / "patch_grid.parquet")

    assert patches_from_table(again) == patches
    assert again.crs == CRS.from_epsg(4326)
    assert set(again["crs"]) == {"EPSG:32660", "EPSG:32601"}
    assert again.geometry.is_valid.all()
    # the outline in degrees is the patch's own 49 km2, also where it crosses 180 degrees
    assert again.geometry.to_crs("EPSG:6933").area.to_numpy() == pytest.approx(49e6, rel=0.01)
    one = again.iloc[0]
    assert (one["rows"], one["columns"]) == (10_000, 10_000)
    assert (one["xmin"], one["ymin"], one["xmax"], one["ymax"]) == patches[0].box


def test_a_table_without_a_column_is_refused_by_its_name() -> None:
    patches = split(
        shapely.box(0, 0, 10, 10),
        32633,
        buffer=0,
        target_crs="EPSG:32633",
        resolution=10,
        columns_rows=(1, 1),
    )

    with pytest.raises(ValueError, match="column resolution is missing"):
        patches_from_table(grid_table(patches).drop(columns="resolution"))


BOX = shapely.box(500_000, 5_000_000, 501_000, 5_001_000)
GOOD: dict[str, object] = {"buffer": 0, "target_crs": "EPSG:32633", "resolution": 10}


@pytest.mark.parametrize(
    ("area", "change", "message"),
    [
        (BOX, {"columns_rows": (101, 1)}, r"aoi\.split: 101 x 1 .* 100 x 100 pixels"),
        (shapely.Polygon(), {"columns_rows": (1, 1)}, r"aoi\.boundary: the area is empty"),
        (shapely.Point(5e5, 5e6), {"columns_rows": (1, 1)}, r"aoi\.boundary: a Point encloses no"),
        (shapely.box(0, 0, 9e5, 9e6), {"patch_size": 1000}, r"aoi\.patch_size: .*100,000 part"),
    ],
)
def test_what_makes_no_grid_is_refused_by_its_key(
    area: BaseGeometry, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        split(area, 32633, **{**GOOD, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("area", [shapely.box(0, 83, 1, 84.5), shapely.box(0, -80.01, 1, -79)])
def test_utm_is_refused_near_the_poles(area: BaseGeometry) -> None:
    with pytest.raises(ValueError, match=r"aoi\.crs: utm ends at 80S and 84N"):
        split(area, 4326, buffer=0, target_crs="utm", resolution=10, patch_size=10_000)


def test_an_area_its_crs_cannot_express_is_refused() -> None:
    with pytest.raises(ValueError, match=r"aoi\.crs: the area .* outside"):
        split(
            shapely.box(104, -1, 106, 1),
            4326,
            buffer=0,
            target_crs="EPSG:32633",
            resolution=10,
            patch_size=10_000,
        )


def test_patches_follow_a_long_edge_in_degrees() -> None:
    # A parallel from 5 E to 25 E lies up to 48 km north of the straight line between its ends; the
    # reference are the boxes' own points, brought to degrees one by one.
    area = shapely.box(5, 46, 25, 46.5)

    patches = split(area, 4326, buffer=0, target_crs="EPSG:32633", resolution=10, patch_size=20_000)

    back = Transformer.from_crs(32633, 4326, always_xy=True)
    share = np.linspace(0, 1, 41)
    found = {patch.key for patch in patches}
    near = split(
        shapely.box(4.8, 45.8, 25.2, 46.7), 4326, buffer=0, target_crs="EPSG:32633",
        resolution=10, patch_size=20_000,
    )  # fmt: skip
    for patch in near:
        west, south, east, north = patch.box
        x, y = np.meshgrid(west + (east - west) * share, south + (north - south) * share)
        lon, lat = back.transform(x, y)
        inside = ((lon > 5) & (lon < 25) & (lat > 46) & (lat < 46.5)).sum()
        if inside > 20:
            assert patch.key in found
        elif not inside:
            # an edge may still touch the box between two of its points, 500 m apart
            margin = min(np.abs(lat - 46).min(), np.abs(lat - 46.5).min(), np.abs(lon - 5).min(),
                         np.abs(lon - 25).min())  # fmt: skip
            assert patch.key not in found or margin < 0.01


@pytest.mark.parametrize(
    "drawn",
    [
        shapely.box(179.8, -20, 180.2, -19.8),
        shapely.box(-180.2, -20, -179.8, -19.8),
        shapely.Polygon([(179.8, -20), (-179.8, -20), (-179.8, -19.8), (179.8, -19.8)]),
    ],
    ids=["above 180", "below -180", "jumping"],
)
@pytest.mark.parametrize("target", ["utm", "EPSG:32701", "EPSG:3832"])
def test_an_area_across_180_degrees_has_the_same_patches_in_every_count(
    drawn: BaseGeometry, target: str
) -> None:
    cut = shapely.MultiPolygon(
        [shapely.box(179.8, -20, 180, -19.8), shapely.box(-180, -20, -179.8, -19.8)]
    )

    def keys(area: BaseGeometry) -> list[str]:
        found = split(area, 4326, buffer=500, target_crs=target, resolution=10, patch_size=5_000)
        return [patch.key for patch in found]

    assert keys(drawn) == keys(cut)
    assert 30 <= len(keys(drawn)) < 100
