"""Whether imagery lies where it should: on the simulated archive, whose places are exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import Partition, key
from lc_platform.commands.demo import write_reference
from lc_platform.commands.run import Report
from lc_platform.commands.run import run as running
from lc_platform.commands.status import status
from lc_platform.config import Config
from lc_platform.errors import DataError
from lc_platform.monitoring.misaligned import misaligned
from lc_platform.platform import Platform
from lc_platform.products.alignment import Alignment, Comparison, compare
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.options import AlignmentOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform.storage.errors import DamagedArtefactError
from lc_platform.storage.store import Store
from lc_platform_tests.graphs import settings, silent
from lc_platform_tests.products import cubes

BANDS = ("B02", "B03", "B04", "B08", "B11")
OPTIONS = AlignmentOptions(bands=BANDS)
SIDE = 96
GRID = GeoBox((SIDE, SIDE), Affine(10, 0, 550_400, 0, -10, 5_200_960), "EPSG:32633")
MOVES = [(1, 0), (0.8, -0.6), (2.4, 1.7), (-3, 3)]
"""Pixels down and to the right, of up to 3."""


@cache
def archive() -> SimulatedArchive:
    return SimulatedArchive(seed=7, cloudiness=0.3)


@cache
def images(down: float = 0.0, right: float = 0.0) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """The clearest acquisitions of a year: (time, band, y, x) and where they show the ground,
    (time, y, x), with the content moved by some pixels."""
    year = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
    found = archive().search(GRID.extent, *year)
    clear = sorted(found, key=lambda one: one.cloud_cover)[:5]
    elsewhere = GeoBox(GRID.shape, GRID.affine * Affine.translation(-right, -down), GRID.crs)
    pixels = [archive().read(one, elsewhere, BANDS) for one in clear]
    valid = [~np.any(archive().cloud_truth(one, elsewhere), axis=0) for one in clear]
    return np.array([one.values for one in pixels]), np.array(valid)


def stack(
    numbers: NDArray[np.uint16], valid: NDArray[np.bool_]
) -> tuple[AcquisitionStack, CloudMasks]:
    raw = cubes.stack(numbers, range(0, 10 * len(numbers), 10), BANDS, geobox=GRID, year=2023)
    return raw, cubes.masks(raw, valid)


def labels() -> ReferenceMap:
    return cubes.reference(archive().truth(GRID), geobox=GRID)


def by_kind(found: Alignment) -> Mapping[str, list[Comparison]]:
    kinds = ("band", "acquisition", "reference")
    return {kind: [o for o in found.comparisons if o.comparison == kind] for kind in kinds}


def test_imagery_that_was_not_moved_lies_where_it_should() -> None:
    found = compare(*stack(*images()), labels(), OPTIONS)
    of = by_kind(found)
    assert [len(of[kind]) for kind in of] == [2 * len(BANDS), 5, 1]
    assert max(one.distance for one in found.comparisons) < 0.2
    assert not found.problems
    assert found.summary.facts["reference_shift_pixels"] < 0.2


@pytest.mark.parametrize(("down", "right"), MOVES)
def test_imagery_moved_off_the_reference_is_found_within_03_pixel(
    down: float, right: float
) -> None:
    found = compare(*stack(*images(down, right)), labels(), OPTIONS)
    (one,) = by_kind(found)["reference"]
    assert one.dy_pixels == pytest.approx(down, abs=0.3)
    assert one.dx_pixels == pytest.approx(right, abs=0.3)
    assert (one.dy_metres, one.dx_metres) == (10 * one.dy_pixels, 10 * one.dx_pixels)
    assert one.beyond_half_a_pixel
    assert list(found.problems) == ["alignment_reference"]


def test_words_say_how_far_where_to_and_what_to_do() -> None:
    found = compare(*stack(*images(2.4, 1.7)), labels(), OPTIONS)
    words = found.problems["alignment_reference"]
    assert "pixels" in words
    assert "m south" in words
    assert "m east" in words
    assert "check the CRS and the corner" in words


@pytest.mark.parametrize(("down", "right"), MOVES)
def test_a_band_that_was_moved_is_named(down: float, right: float) -> None:
    numbers, valid = images()
    numbers = numbers.copy()
    numbers[:, -1] = images(down, right)[0][:, -1]
    found = compare(*stack(numbers, valid), labels(), OPTIONS)
    moved = [one for one in by_kind(found)["band"] if one.what == "B11"]
    for one in moved:
        assert one.dy_pixels == pytest.approx(down, abs=0.3)
        assert one.dx_pixels == pytest.approx(right, abs=0.3)
    assert {one.what for one in found.comparisons if one.beyond_half_a_pixel} == {"B11"}
    assert "band B11: beyond half a pixel" in found.problems["alignment_band"]


@pytest.mark.parametrize(("down", "right"), MOVES)
def test_an_acquisition_that_was_moved_is_named(down: float, right: float) -> None:
    numbers, valid = (part.copy() for part in images())
    for part, moved in zip((numbers, valid), images(down, right), strict=True):
        part[2] = moved[2]
    raw, masks = stack(numbers, valid)
    found = compare(raw, masks, labels(), OPTIONS)
    (one,) = (o for o in by_kind(found)["acquisition"] if o.what == raw.keys[2])
    assert one.dy_pixels == pytest.approx(down, abs=0.3)
    assert one.dx_pixels == pytest.approx(right, abs=0.3)
    assert f"imagery.exclude: [{raw.keys[2]}]" in found.problems["alignment_acquisition"]


def test_a_patch_without_reference_is_compared_with_itself_alone() -> None:
    nothing = cubes.reference(np.zeros((SIDE, SIDE)), geobox=GRID)
    of = by_kind(compare(*stack(*images()), nothing, OPTIONS))
    assert [len(of[kind]) for kind in of] == [2 * len(BANDS), 5, 0]


def test_imagery_is_not_compared_with_a_reference_of_other_ground() -> None:
    raw, masks = stack(*images(2.4, 1.7))
    options = replace(OPTIONS, against_reference=False)
    found = compare(raw, masks, labels(), options)
    assert [len(of) for of in by_kind(found).values()] == [2 * len(BANDS), 5, 0]
    assert not found.problems


@pytest.mark.parametrize(
    ("imagery", "path", "compared"),
    [
        ({"source": "simulated"}, "parcels.gpkg", False),
        ({"source": "simulated"}, "reference.gpkg", True),
        ({"source": "simulated"}, None, True),
        (
            {"source": "stac", "catalog": "earth-search", "collection": "sentinel-2-l2a"},
            "parcels.gpkg",
            True,
        ),
    ],
)
def test_only_an_invented_landscape_is_not_compared_with_the_users_reference(
    tmp_path: Path, imagery: dict[str, str], path: str | None, compared: bool
) -> None:
    data = settings(1, 1)
    data["imagery"] = imagery
    if path is not None:
        classes = [{"id": one, "name": f"class {one}", "values": [one]} for one in (1, 2)]
        data["reference"] = {"path": path, "attribute": "kind", "classes": classes}
    if imagery["source"] != "simulated":
        data["clouds"] = {"method": "scl"}
    made = config.parse(data, tmp_path)
    assert Platform(made).alignment_options().against_reference is compared


def test_a_patch_without_a_clear_acquisition_says_nothing() -> None:
    numbers, valid = images()
    found = compare(*stack(numbers, np.zeros_like(valid)), labels(), OPTIONS)
    assert not found.comparisons
    assert not found.problems


def test_a_patch_without_an_edge_says_nothing() -> None:
    numbers, valid = images()
    found = compare(*stack(np.full_like(numbers, 1000), valid), labels(), OPTIONS)
    assert not any(one.known for one in found.comparisons)
    assert not found.problems
    assert found.summary.facts["reference"] == "nothing can be said"


def test_masks_of_other_acquisitions_are_refused() -> None:
    raw, _ = stack(*images())
    _, masks = stack(*(part[:3] for part in images()))
    with pytest.raises(DataError, match="cloud_masks were made of other raw_bands"):
        compare(raw, masks, labels(), OPTIONS)


def test_what_is_stored_is_what_was_compared(tmp_path: Path) -> None:
    found = compare(*stack(*images(1, 0)), labels(), OPTIONS)
    store, at = Store(str(tmp_path)), key("alignment", "p", 2023)
    formats()["alignment"].write(store, at, found)
    again = formats()["alignment"].open(store, at)
    assert again.rows == found.rows
    assert (again.patch, again.year) == (found.patch, found.year)
    (tmp_path / at).write_bytes(b"PAR1 is no table")
    with pytest.raises(DamagedArtefactError, match="Materialize alignment of this patch again"):
        formats()["alignment"].check(store, at)


@pytest.fixture(scope="module")
def misplaced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Report]:
    """A run up to the check, with a reference that was moved north by 20 m."""
    folder = tmp_path_factory.mktemp("misplaced")
    data = settings(1, 1, aoi={"patch_size": 640})
    data["reference"] = {"path": "reference.gpkg"}
    made = config.parse(data, folder)
    path = write_reference(made)
    assert path is not None
    table = geopandas.read_file(path)
    table.set_geometry(table.geometry.translate(0, 20)).to_file(path)
    select = ["patch_grid", "reference_rasters", "raw_bands", "cloud_masks", "alignment"]
    return made, running(made, silent, select=select)


@pytest.mark.slow
def test_a_run_and_the_status_say_that_the_reference_lies_elsewhere(
    misplaced: tuple[Config, Report],
) -> None:
    made, report = misplaced
    assert report.succeeded
    (said,) = (one for one in report.warnings if "borders of the reference" in one)
    assert "20" in said
    assert "m south" in said
    (row,) = (row for row in status(made) if row.asset == "alignment")
    assert list(row.warnings) == [said]
    assert row.done == 1


@pytest.mark.slow
def test_many_patches_get_one_line_that_counts_them(misplaced: tuple[Config, Report]) -> None:
    made, _ = misplaced
    platform = Platform(made)
    snapshot = platform.versions.look()
    ((where, version),) = snapshot.recorded("alignment", 2023).items()
    content = snapshot.records.read("alignment", {where: version})[where]
    store = platform.store
    for number in range(7):
        other = Partition(f"other-{number}", 2023)
        snapshot.records.write("alignment", other, version, content)
        store.put(key("alignment", other.patch, 2023), b"")
    (line,) = misaligned(platform.versions.look(), 2023)
    assert "and 7 more of 8 patches: other-0, other-1" in line
