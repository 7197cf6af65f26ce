"""The simulated archive is a planet: the same wherever, whenever and however it is read."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import UTC, datetime

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import point
from pyproj import Transformer
from rasterio.features import rasterize
from s2cloudless.cloud_detector import S2PixelCloudDetector

from lc_platform.catalogue import SENTINEL2_BANDS, SIMULATED_CLASSES
from lc_platform.sources.protocol import Acquisition, Source, SourceError
from lc_platform.sources.simulated import (
    NO_MISTAKES,
    ReferenceMistakes,
    SimulatedArchive,
)
from lc_platform_tests.sources.simulated_patch import PATCH, YEAR, acquisitions, archive, grid

pytestmark = pytest.mark.slow

DETECTOR_BANDS = ["B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12"]


def test_the_archive_is_a_source() -> None:
    assert isinstance(archive(), Source)


@settings(max_examples=15, deadline=None)
@given(
    row=st.integers(0, 200),
    column=st.integers(0, 200),
    height=st.integers(1, 56),
    width=st.integers(1, 56),
    number=st.integers(0, 60),
)
def test_any_box_has_the_pixels_of_the_whole(
    row: int, column: int, height: int, width: int, number: int
) -> None:
    acquisition = acquisitions()[number]
    part = PATCH[row : row + height, column : column + width]
    window = np.s_[row : row + height, column : column + width]
    box = SimulatedArchive().read(acquisition, part, ["B08", "B02"])
    whole = archive().read(acquisition, PATCH, ["B02", "B03", "B08"])
    np.testing.assert_array_equal(box.values, whole.values[[2, 0]][(slice(None), *window)])
    np.testing.assert_array_equal(box.data_mask, whole.data_mask[window])
    np.testing.assert_array_equal(archive().truth(part), archive().truth(PATCH)[window])


@pytest.mark.parametrize("resolution", [10.0, 80.0])
@pytest.mark.parametrize("north", [5200000, 300, 10.0])
def test_neighbouring_boxes_continue_each_other(north: float, resolution: float) -> None:
    whole = grid(600000, north, 64, resolution)
    at = archive().search(whole.extent, *YEAR)[3]
    halves = [archive().read(at, whole[:, columns], ["B04"]) for columns in np.s_[:24, 24:]]
    expected = archive().read(at, whole, ["B04"]).values
    np.testing.assert_array_equal(np.concatenate([h.values for h in halves], axis=2), expected)


def test_a_box_larger_than_a_block_has_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = archive().read(acquisitions()[4], PATCH, ["B03"])
    monkeypatch.setattr("lc_platform.sources.simulated.archive.BLOCK", 5000)
    blocks = SimulatedArchive().read(acquisitions()[4], PATCH, ["B03"])
    np.testing.assert_array_equal(blocks.values, expected.values)


def test_a_fresh_process_gives_the_same_pixels() -> None:
    program = (
        "import hashlib\n"
        "from lc_platform.catalogue import SENTINEL2_BANDS\n"
        "from lc_platform_tests.sources.simulated_patch import acquisitions, archive, grid\n"
        "p = archive().read(acquisitions()[7], grid(600640, 5199360), list(SENTINEL2_BANDS))\n"
        "print(hashlib.sha256(p.values.tobytes()).hexdigest())\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    here = archive().read(acquisitions()[7], grid(600640, 5199360), list(SENTINEL2_BANDS)).values
    assert run.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest(), run.stderr


def test_another_seed_is_another_planet() -> None:
    other = SimulatedArchive(seed=7).truth(PATCH)
    assert (other == archive().truth(PATCH)).mean() < 0.4


def test_two_utm_zones_agree_on_a_place_at_their_border() -> None:
    # 12 E is the border of zones 32 and 33; the same pixel centres given in both.
    west = grid(730000, 5100000, 128, crs="EPSG:32632")
    x, y = west.extent.centroid.to_crs("EPSG:32633").coords[0]
    found = archive().truth(grid(x - 200, y + 200, 12, crs="EPSG:32633"))
    centres = [
        point(x - 195 + 10 * c, y + 195 - 10 * r, "EPSG:32633").to_crs("EPSG:32632").coords[0]
        for r in range(12)
        for c in range(12)
    ]
    expected = [archive().truth(grid(e - 0.5, n + 0.5, 1, 1.0, "EPSG:32632")) for e, n in centres]
    assert (np.ravel(expected) == found.ravel()).mean() > 0.999


def year_at(longitude: float, latitude: float, year: int = 2018) -> list[Acquisition]:
    period = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    return archive().search(point(longitude, latitude, "EPSG:4326"), *period)


def test_one_orbit_is_seen_every_five_days_and_the_overlap_of_two_twice_as_often() -> None:
    # Two satellites, each every ten days: 73 times a year, 146 in the overlap.
    counts = {len(year_at(longitude, 46.0)) for longitude in np.arange(10.0, 16.0, 0.1)}
    assert counts <= {72, 73, 74, 145, 146, 147, 148}
    assert min(counts) < 75
    assert max(counts) > 144


def test_overlap_grows_with_latitude() -> None:
    def orbits(latitude: float) -> float:
        return float(np.mean([len(year_at(east, latitude)) for east in np.arange(0, 5, 0.25)])) / 73

    # 290 km of swath over the 40,075 km / 143 * cos(latitude) between neighbouring tracks,
    # the swath cut obliquely: 1 / cos(8.6 degrees) at the equator, 1 / cos(17.4) at 60.
    assert orbits(1.0) == pytest.approx(1.05, abs=0.06)
    assert orbits(60.0) == pytest.approx(2.17, abs=0.15)


def test_nothing_is_acquired_before_the_satellites_are_in_service() -> None:
    assert year_at(14.0, 46.0, 2014) == []
    before = [a for a in year_at(14.0, 46.0, 2017) if a.datetime < datetime(2017, 3, 1, tzinfo=UTC)]
    assert {a.platform for a in before} == {"sentinel-2a"}


def test_acquisitions_come_in_order_with_unique_keys_that_carry_date_and_orbit() -> None:
    found = acquisitions()
    assert [(a.datetime, a.key) for a in found] == sorted((a.datetime, a.key) for a in found)
    assert len({a.key for a in found}) == len(found)
    first = found[0]
    satellite, day, orbit = first.key.split("_")
    assert day == f"{first.datetime:%Y%m%d}"
    assert first.properties["sat:relative_orbit"] == str(int(orbit[1:]))
    assert first.platform == {"S2A": "sentinel-2a", "S2B": "sentinel-2b"}[satellite]
    assert all(a.datetime < YEAR[1] for a in found)


def test_the_real_mission_passes_orbit_22_over_slovenia_on_the_same_days() -> None:
    # S2A_MSIL1C_20170105T013442_N0204_R031_T53NMJ fixes the cycle; orbit 22 is nine earlier.
    assert "S2A_20170703_R022" in {a.key for a in year_at(13.5, 46.0, 2017)}


def test_a_swath_edge_is_a_straight_line_inside_a_patch() -> None:
    # Along a row from 10 to 16 E a swath of 290 km must begin or end.
    wide = GeoBox((1, 500), Affine(1000, 0, 200000, 0, -1000, 5100000), "EPSG:32633")
    acquisition = archive().search(wide.extent, *YEAR)[0]
    seen = archive().read(acquisition, wide, ["B02"]).data_mask[0]
    edge = 200000 + 1000 * (int(np.flatnonzero(np.diff(seen))[0]) + 1)
    patch = grid(edge - 2560, 5101280, 512)
    pixels = archive().read(acquisition, patch, ["B02", "B11"])
    assert 0.1 < pixels.data_mask.mean() < 0.9
    assert (pixels.values[:, ~pixels.data_mask] == 0).all()
    assert (pixels.values[:, pixels.data_mask] > 0).all()
    changes = np.abs(np.diff(pixels.data_mask.astype(int), axis=1))
    assert (changes.sum(axis=1) == 1).all()
    columns, rows = changes.argmax(axis=1), np.arange(512)
    line = np.polyfit(rows, columns, 1)
    assert np.abs(columns - np.polyval(line, rows)).max() < 1.5
    assert 0.05 < abs(line[0]) < 0.4  # slanted by some ten degrees


def test_a_third_of_the_scenes_is_clear_and_a_third_overcast() -> None:
    covers = [
        a.cloud_cover or 0.0
        for longitude in (2.0, 14.0, 30.0, 70.0)
        for year in (2018, 2019, 2020)
        for a in year_at(longitude, 46.0, year)
    ]
    assert np.mean(np.array(covers) < 12) == pytest.approx(1 / 3, abs=0.08)
    assert np.mean(np.array(covers) > 80) == pytest.approx(1 / 3, abs=0.08)


def test_the_stated_cloud_cover_is_that_of_the_clouds_rendered() -> None:
    samples = [grid(560000 + 12e3 * c, 5240000 - 12e3 * r, 8, 40.0) for r, c in np.ndindex(6, 6)]
    stated, found = [], []
    for acquisition in acquisitions()[::3]:
        skies = [archive().cloud_truth(acquisition, sample) for sample in samples]
        stated.append((acquisition.cloud_cover or 0.0) / 100)
        found.append(float(np.mean([thick + 0.5 * thin for thick, thin, _ in skies])))
    assert np.corrcoef(stated, found)[0, 1] > 0.85
    assert np.mean(found) == pytest.approx(np.mean(stated), abs=0.1)


# Granules

# Two granules meet at 28 * 60 km east in Web Mercator, which lies between columns 25 and 28.
MEETING = GeoBox((20, 70), Affine(10, 0, 507_050, 0, -10, 4_905_200), "EPSG:32633")


def mixed() -> tuple[Acquisition, float]:
    """An acquisition with a limit that is between the cloud covers of its two granules."""
    west, east = MEETING[:, :20].extent, MEETING[:, 50:].extent
    for whole, *halves in zip(
        *(archive().search(a, *YEAR) for a in (MEETING.extent, west, east)), strict=True
    ):
        covers = [one.cloud_cover or 0.0 for one in halves]
        assert whole.cloud_cover == pytest.approx(np.mean(covers))
        if abs(covers[0] - covers[1]) > 5:
            return whole, float(np.mean(covers))
    raise AssertionError("no acquisition")


def test_a_granule_that_is_too_cloudy_is_left_out_wherever_it_is_searched_from() -> None:
    whole, limit = mixed()
    clear = whole.within(limit)
    assert clear is not None
    assert whole.items == (whole.key,)
    assert len(clear.items) == 1
    assert clear.cloud_cover is not None
    assert clear.cloud_cover < limit
    every, part = (archive().read(one, MEETING, ["B02", "B11"]) for one in (whole, clear))
    shown = part.data_mask.all(axis=0)
    assert every.data_mask.all()
    assert shown[28:].all() != shown[:25].all()
    np.testing.assert_array_equal(part.values, np.where(part.data_mask, every.values, 0))
    for columns in (np.s_[:20], np.s_[50:]):
        half = MEETING[:, columns]
        (own,) = (a for a in archive().search(half.extent, *YEAR) if a.key == whole.key)
        assert (own.within(limit) is own) == bool(shown[columns].all())
        assert (own.within(limit) is None) == (not shown[columns].any())


def test_without_clouds_nothing_is_thick() -> None:
    bare = SimulatedArchive(cloudiness=0.0)
    for acquisition in bare.search(PATCH.extent, *YEAR)[::10]:
        assert not np.any(bare.cloud_truth(acquisition, PATCH))


def masks(pixels: NDArray[np.floating], detector: S2PixelCloudDetector) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = detector.get_cloud_masks(pixels.transpose(1, 2, 0)[None])[0] > 0
    return found


def far_from(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    rows, columns = np.nonzero(mask)
    near = np.zeros_like(mask)
    for r, c in {(r // 8, c // 8) for r, c in zip(rows.tolist(), columns.tolist(), strict=True)}:
        near[
            max(0, r * 8 - pixels) : r * 8 + 8 + pixels, max(0, c * 8 - pixels) : c * 8 + 8 + pixels
        ] = True
    return ~near


@pytest.mark.parametrize(
    ("resolution", "average", "dilation"),
    [pytest.param(10, 4, 2, marks=pytest.mark.proof), (80, 1, 1)],
)
def test_s2cloudless_finds_the_thick_clouds_and_leaves_clear_land_alone(
    resolution: int, average: int, dilation: int
) -> None:
    detector = S2PixelCloudDetector(
        threshold=0.4, average_over=average, dilation_size=dilation, all_bands=False
    )
    found = thick_pixels = flagged = clear_pixels = 0
    for west, north in [(600000, 5200000), (300000, 4873000), (432000, 5310000)]:
        fine, coarse = grid(west, north, 96), grid(west, north, 960 // resolution, resolution)
        for acquisition in archive().search(fine.extent, *YEAR)[::5]:
            pixels = archive().read(acquisition, coarse, DETECTOR_BANDS)
            assert pixels.data_mask.all()
            cloudy = masks(pixels.values * 1e-4, detector)
            cloudy = np.kron(cloudy, np.ones((resolution // 10,) * 2, bool))
            thick, thin, _ = archive().cloud_truth(acquisition, fine)
            clear = far_from(thick | thin, 16) & ~archive().snow_truth(acquisition, fine)
            found += int(cloudy[thick].sum())
            thick_pixels += int(thick.sum())
            flagged += int(cloudy[clear].sum())
            clear_pixels += int(clear.sum())
    assert thick_pixels > 50_000
    assert clear_pixels > 50_000
    assert found / thick_pixels >= 0.95
    assert flagged / clear_pixels <= 0.02


def test_shadows_are_darker_than_the_same_land_in_the_sun() -> None:
    ratios = []
    bare = SimulatedArchive(cloudiness=0.0)
    for acquisition in acquisitions():
        _, thin, shadow = archive().cloud_truth(acquisition, PATCH)
        shadow &= ~thin
        if shadow.sum() > 2000:
            here = archive().read(acquisition, PATCH, ["B08"]).values[0][shadow]
            there = bare.read(acquisition, PATCH, ["B08"]).values[0][shadow]
            ratios.append(here.mean() / there.mean())
    assert len(ratios) > 3
    assert max(ratios) < 0.9
    assert np.mean(ratios) < 0.65


def test_clouds_exceed_ten_thousand_and_no_pixel_with_data_is_zero() -> None:
    brightest = 0
    for acquisition in acquisitions()[::4]:
        pixels = archive().read(acquisition, PATCH, list(SENTINEL2_BANDS))
        assert pixels.values.dtype == np.uint16
        assert (pixels.values[:, pixels.data_mask] >= 1).all()
        brightest = max(brightest, int(pixels.values.max()))
    assert 10_000 < brightest < 20_000


def test_mountains_have_snow_in_winter_and_lowland_has_none_in_summer() -> None:
    lowland = grid(505120, 5118000, 32, 40)
    bare = SimulatedArchive(cloudiness=0.0)

    def snow(where: GeoBox, month: int) -> float:
        start = datetime(2018, month, 1, tzinfo=UTC)
        found = bare.search(where.extent, start, datetime(2018, month, 28, tzinfo=UTC))
        return float(np.mean([bare.snow_truth(a, where) for a in found]))

    mountains = [
        where for n in range(30) if snow(where := grid(400000 + 9000 * n, 5100000, 32, 40), 1) > 0.5
    ]
    assert mountains, "no mountain within 270 km"
    assert snow(mountains[0], 7) < 0.2
    assert snow(lowland, 7) == 0.0
    day = bare.search(mountains[0].extent, *YEAR)[2]
    bands = bare.read(day, mountains[0], ["B03", "B11"]).values.astype(float)
    index = (bands[0] - bands[1]) / (bands[0] + bands[1])  # NDSI, above 0.4 on snow (Hall 1995)
    assert np.median(index[bare.snow_truth(day, mountains[0])]) > 0.4


@pytest.mark.parametrize(("day", "offset", "baseline"), [(24, 0.0, "02.05"), (30, -0.1, "04.00")])
def test_digital_numbers_carry_an_offset_from_baseline_0400_on(
    day: int, offset: float, baseline: str
) -> None:
    start = datetime(2022, 1, day - 6, tzinfo=UTC)
    acquisition = archive().search(PATCH.extent, start, datetime(2022, 1, day, 23, tzinfo=UTC))[
        -1 if offset else 0
    ]
    pixels = archive().read(acquisition, PATCH, ["B02", "B10"])
    assert pixels.scale.tolist() == [1e-4, 1e-4]
    assert pixels.offset.tolist() == [offset, offset]
    assert acquisition.properties["s2:processing_baseline"] == baseline
    lowest = pixels.values[0][pixels.data_mask].min() * 1e-4 + offset
    assert 0.05 < lowest < 0.9


def test_a_coarse_pixel_is_the_mean_of_the_fine_ones() -> None:
    acquisition = next(a for a in acquisitions() if (a.cloud_cover or 0) < 1)
    fine = archive().read(acquisition, PATCH, ["B08"]).values[0].astype(float)
    twice = archive().read(acquisition, grid(600000, 5200000, 128, 20.0), ["B08"]).values[0]
    np.testing.assert_array_equal(
        twice, np.floor(fine.reshape(128, 2, 128, 2).mean(axis=(1, 3)) + 0.5)
    )
    eighth = archive().read(acquisition, grid(600000, 5200000, 32, 80.0), ["B08"]).values[0]
    mean = fine.reshape(32, 8, 32, 8).mean(axis=(1, 3))
    assert np.corrcoef(eighth.ravel(), mean.ravel())[0, 1] > 0.97


def test_an_unknown_band_is_named() -> None:
    acquisition = acquisitions()[0]
    with pytest.raises(SourceError, match=rf"{acquisition.key}.*no band SCL.*B8A"):
        archive().read(acquisition, PATCH, ["B02", "SCL"])


def test_an_acquisition_of_another_archive_is_named() -> None:
    other = Acquisition("S2A_20180102_R999", datetime(2018, 1, 2, tzinfo=UTC), ("x",))
    with pytest.raises(SourceError, match=r"S2A_20180102_R999.*search"):
        archive().read(other, PATCH, ["B02"])


@pytest.mark.parametrize(("west", "north"), [(600000, 5200000), (310000, 4610000), (450000, 6e6)])
def test_all_classes_occur_within_three_by_three_patches(west: float, north: float) -> None:
    codes = archive().truth(grid(west, north, 384, 20.0))
    share = np.bincount(codes.ravel(), minlength=11) / codes.size
    assert share[0] == 0
    assert (share[1:] >= 0.01).all(), share


def burnt(polygons: geopandas.GeoDataFrame, where: GeoBox) -> NDArray[np.uint8]:
    shapes = zip(polygons.geometry, polygons.class_id, strict=True)
    out: NDArray[np.uint8] = rasterize(
        shapes, out_shape=where.shape, transform=where.affine, dtype="uint8"
    )
    return out


def test_a_reference_without_mistakes_is_the_truth() -> None:
    where = grid(500000, 5120000, 512)
    polygons = SimulatedArchive(mistakes=NO_MISTAKES).reference_polygons(where.extent)
    truth, found = archive().truth(where), burnt(polygons, where)
    padded = np.pad(truth, 1, mode="edge")
    around = [padded[r : r + 512, c : c + 512] for r in range(3) for c in range(3)]
    inner = np.all([shifted == truth for shifted in around], axis=0)
    assert (found == truth)[inner].mean() > 0.999
    assert (found == truth).mean() > 0.99
    assert polygons.geometry.is_valid.all()
    assert polygons.parcel.is_unique
    names = {c.id: c.name for c in SIMULATED_CLASSES}
    assert (polygons.class_name == polygons.class_id.map(names)).all()


def test_mistakes_are_about_as_frequent_as_configured() -> None:
    where = grid(500000, 5120000, 768).extent
    right = SimulatedArchive(mistakes=NO_MISTAKES).reference_polygons(where).set_index("parcel")
    mistakes = ReferenceMistakes(shifted=0.10, mislabelled=0.06, overlapping=0.04, missing=0.08)
    wrong = SimulatedArchive(mistakes=mistakes).reference_polygons(where).set_index("parcel")
    both = right.index.intersection(wrong.index)
    right_too, wrong_too = right.loc[both], wrong.loc[both]
    assert 1 - len(both) / len(right) == pytest.approx(0.08, abs=0.02)
    assert (right_too.class_id != wrong_too.class_id).mean() == pytest.approx(0.06, abs=0.015)
    moved = right_too.centroid.distance(wrong_too.centroid)
    grown = wrong_too.area - right_too.area > 0.5 * 10 * right_too.length
    assert ((moved > 14) & (moved < 16)).mean() == pytest.approx(0.10, abs=0.02)
    assert grown.mean() == pytest.approx(0.04, abs=0.012)


def test_a_polygon_is_the_same_for_any_area() -> None:
    large = archive().reference_polygons(grid(500000, 5120000, 256).extent).set_index("parcel")
    small = archive().reference_polygons(grid(500900, 5119400, 64).extent).set_index("parcel")
    assert 10 < len(small) < len(large)
    assert set(small.index) <= set(large.index)
    same = large.loc[small.index]
    assert (small.class_id == same.class_id).all()
    assert small.geometry.geom_equals_exact(same.geometry, 1e-6).all()


def test_a_reference_is_written_as_a_geopackage(tmp_path) -> None:  # type: ignore[no-untyped-def]
    area = grid(500000, 5120000, 64).extent
    path = archive().write_reference(tmp_path / "new" / "reference.gpkg", area)
    archive().write_reference(path, area)
    read = geopandas.read_file(path, layer="reference")
    assert sorted(read.parcel) == sorted(archive().reference_polygons(area).parcel)
    assert read.crs == "EPSG:32633"
    assert [p.name for p in path.parent.iterdir()] == ["reference.gpkg"]


@pytest.mark.parametrize("wrong", [{"missing": 1.5}, {"shift_metres": -1.0}])
def test_an_impossible_mistake_is_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"mistakes\.{next(iter(wrong))}: .*Give"):
        ReferenceMistakes(**wrong)


@pytest.mark.parametrize("zone", [32760, 32701])
def test_the_planet_ends_at_180_degrees_by_name(zone: int) -> None:
    def at(longitude: float) -> GeoBox:
        place = Transformer.from_crs(4326, zone, always_xy=True).transform(longitude, -17.5)
        x, y = (round(v, -1) for v in place)
        return GeoBox((40, 40), Affine(10, 0, x - 200, 0, -10, y + 200), f"EPSG:{zone}")

    archive, year = (
        SimulatedArchive(mistakes=NO_MISTAKES),
        (datetime(2019, 1, 1, tzinfo=UTC), datetime(2019, 3, 1, tzinfo=UTC)),
    )
    across = at(180.0)
    for ask in (
        lambda: archive.search(across.extent, *year),
        lambda: archive.reference_polygons(across.extent),
        lambda: archive.truth(across),
    ):
        with pytest.raises(
            SourceError, match="crosses 180 degrees, where the simulated planet ends"
        ):
            ask()
    # 300 m beside it there is a landscape, and its parcels lie where they are drawn.
    for longitude in (179.997, -179.997):
        beside = at(longitude)
        truth = archive.truth(beside)
        assert archive.search(beside.extent, *year)
        polygons = archive.reference_polygons(beside.extent)
        assert not polygons.empty
        column, row = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
        x, y = beside.affine * (column, row)
        inside = np.zeros((40, 40), np.uint8)
        for one in polygons.itertuples():
            inside[shapely.contains_xy(one.geometry, x, y)] = one.class_id
        assert (inside == truth)[inside > 0].mean() > 0.95
