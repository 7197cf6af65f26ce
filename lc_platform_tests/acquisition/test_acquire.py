"""From an archive to a patch's year: what is read, on which grid, and what if there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import NoAcquisitionError, search_acquisitions
from lc_platform.area.grid import Patch
from lc_platform.config import Config
from lc_platform.cube import Block, InMemoryCube
from lc_platform.eo.clouds import DETECTOR_BANDS
from lc_platform.products.cloud_masks import CloudMasks, detect
from lc_platform.products.options import AcquisitionOptions, DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources.protocol import Acquisition, Cost, Pixels, Source
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform_tests.acquisition.memory import Memory, seen
from lc_platform_tests.acquisition.patches import L2A, LEFT, SCL, TOP, configured, patch

THREE = [
    seen("a", "2023-03-01T10:00:00"),
    seen("b", "2023-05-01T10:00:05", 79.9),
    seen("c", "2023-07-01T10:00:00", None),
]


def held(source: Source, where: Patch, config: Config, year: int = 2023) -> InMemoryCube:
    return acquire(
        source, search_acquisitions(source, where, year, AcquisitionOptions.of(config))
    ).load()


# What is read, on which grid


def test_scl_is_read_with_the_features_bands_on_the_patchs_own_grid() -> None:
    archive = Memory(THREE[:1])
    config = configured(L2A, clouds=SCL, features={"indices": [{"X": ["B11", "B03"]}]})
    held(archive, patch(), config)
    assert archive.asked == [("a", patch().geobox, ("B04", "B08", "B11", "B03", "SCL"))]


def test_the_detectors_bands_are_read_on_a_coarse_grid_of_their_own() -> None:
    archive = Memory(THREE[:1])
    held(archive, patch(), configured())
    (_, own, bands), (_, coarse, detector_bands) = archive.asked
    assert own == patch().geobox
    assert bands == ("B04", "B08")
    assert detector_bands == DETECTOR_BANDS
    # 24 x 16 pixels of 10 m are 3 x 2 of 80 m; on each side 4 (average) + 2 (dilation) + 1.
    assert coarse.shape == (2 + 14, 3 + 14)
    assert coarse.affine == Affine(80, 0, LEFT - 560, 0, -80, TOP + 560)


def test_the_coarse_grid_counts_from_the_origin_wherever_the_patch_begins() -> None:
    archive = Memory(THREE[:1])
    held(archive, patch(column=3), configured())
    coarse = archive.asked[1][1]
    assert (coarse.affine.c % 80, coarse.affine.f % 80) == (0, 0)
    assert coarse.affine.c == LEFT - 560
    assert coarse.shape == (2 + 14, 4 + 14)


def test_at_full_resolution_all_bands_are_read_once_with_a_margin() -> None:
    archive = Memory(THREE[:1])
    config = configured(clouds={"resolution": 10, "average_over": 3, "dilation": 1})
    cube = held(archive, patch(), config)
    ((_, grid, bands),) = archive.asked
    assert grid == patch().geobox.pad(4)
    assert bands[:2] == ("B04", "B08")
    assert set(bands) == {"B04", "B08", *DETECTOR_BANDS}
    assert len(bands) == len(set(bands))
    stack = AcquisitionStack(cube)
    assert stack.geobox == patch().geobox
    assert stack.digital_numbers().shape == (1, len(bands), 16, 24)


# Which acquisitions


def test_the_year_is_asked_for_from_its_first_to_its_last_moment() -> None:
    archive = Memory(
        [
            seen("before", "2022-12-31T23:59:59"),
            seen("first", "2023-01-01T00:00:00"),
            seen("last", "2023-12-31T23:59:59"),
            seen("after", "2024-01-01T00:00:00"),
        ]
    )
    cube = held(archive, patch(), configured())
    assert archive.searched == [
        (datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
    ]
    assert [a["key"] for a in cube.attributes["acquisitions"]] == ["first", "last"]


def test_acquisitions_above_the_cloud_limit_are_left_out_unread_and_counted() -> None:
    archive = Memory([*THREE, seen("d", "2023-08-01T10:00:00", 80.1)])
    computed = acquire(
        archive, search_acquisitions(archive, patch(), 2023, AcquisitionOptions.of(configured()))
    )
    cube = computed.load()
    assert [a["key"] for a in cube.attributes["acquisitions"]] == ["a", "b", "c"]
    assert "d" not in {key for key, _, _ in archive.asked}
    assert computed.summary.facts["acquisitions"] == 3
    assert computed.summary.facts["acquisitions_too_cloudy"] == 1


def test_the_values_are_the_archives_in_its_order_with_their_own_scale_and_offset() -> None:
    stack = AcquisitionStack(held(Memory(THREE), patch(), configured()))
    numbers = stack.digital_numbers(bands=["B08", "B04"])
    assert numbers.shape == (3, 2, 16, 24)
    assert numbers[:, :, 5, 5].tolist() == [[1001, 1000], [2001, 2000], [3001, 3000]]
    assert stack.datetimes.astype(str).tolist() == [
        "2023-03-01T10:00:00",
        "2023-05-01T10:00:05",
        "2023-07-01T10:00:00",
    ]
    assert stack.days.tolist() == [59, 120, 181]
    scale, offset = stack.calibration(["B08"])
    assert scale[:, 0].tolist() == [2e-4] * 3
    assert offset[:, 0] == pytest.approx([0.0, -0.1, -0.2])
    detector_scale, _ = stack.detector.calibration([DETECTOR_BANDS[0], DETECTOR_BANDS[-1]])
    assert detector_scale[1].tolist() == [1e-4, 2e-4]


def test_what_the_archive_says_of_an_acquisition_is_kept() -> None:
    cube = held(Memory(THREE), patch(), configured())
    facts = cube.attributes["acquisitions"][1]
    assert facts["items"] == ["b-tile"]
    assert facts["platform"] == "sentinel-2a"
    assert facts["cloud_cover"] == 79.9
    assert facts["properties"] == {"s2:processing_baseline": "05.09"}
    assert cube.attributes["patch"] == "33N-r000-c000"
    assert cube.attributes["year"] == 2023
    assert cube.attributes["collection"] == "sentinel-2-l1c"


def test_an_acquisition_without_data_on_the_patch_is_kept_and_masked() -> None:
    archive = Memory(THREE, without_data=("b",))
    computed = acquire(
        archive, search_acquisitions(archive, patch(), 2023, AcquisitionOptions.of(configured()))
    )
    stack = AcquisitionStack(computed.load())
    assert [a["data_fraction"] for a in stack.acquisitions] == [1, 0, 1]
    assert stack.data_mask().any(axis=(1, 2)).tolist() == [True, False, True]
    assert not stack.digital_numbers(times=[1]).any()
    assert computed.summary.facts["valid_fraction"] == pytest.approx(2 / 3)


def test_what_has_come_is_stored_while_an_earlier_acquisition_is_still_read() -> None:
    others_stored = Event()

    class FirstComesLast(Memory):
        remote = True

        def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
            if acquisition.key == "a":
                assert others_stored.wait(30)
            return super().read(acquisition, geobox, bands)

        def stop(self) -> None:
            others_stored.set()

    archive, config = FirstComesLast(THREE), configured(L2A, clouds=SCL)
    computed = acquire(
        archive, search_acquisitions(archive, patch(), 2023, AcquisitionOptions.of(config))
    )
    stored = []
    for part in computed.parts():
        if isinstance(part, Block) and part.layer == "bands":
            stored.append(part.index[0].start)
            assert part.values[0, 0, 0, 0] == 1000 * (stored[-1] + 1)
        if len(stored) == 2:
            others_stored.set()
    assert (set(stored[:2]), stored[2]) == ({1, 2}, 0)
    assert [one["key"] for one in computed.attributes["acquisitions"]] == ["a", "b", "c"]


def test_two_acquisitions_of_one_moment_are_two() -> None:
    both = [seen("a", "2023-03-01T10:00:00"), seen("b", "2023-03-01T10:00:00")]
    stack = AcquisitionStack(held(Memory(both), patch(), configured()))
    assert [a["key"] for a in stack.acquisitions] == ["a", "b"]
    assert stack.digital_numbers(bands=["B04"])[:, 0, 0, 0].tolist() == [1000, 2000]


# Where there is nothing


def test_a_patch_without_any_acquisition_is_told_with_its_place() -> None:
    with pytest.raises(NoAcquisitionError) as caught:
        search_acquisitions(Memory([]), patch(), 2023, AcquisitionOptions.of(configured()))
    assert str(caught.value) == (
        "patch 33N-r000-c000, 2023: no acquisition between 2023-01-01 and 2023-12-31 in "
        "sentinel-2-l1c. Check years, imagery.collection and the area (aoi): the patch lies at "
        "46.94N 16.32E"
    )


def test_a_patch_with_cloudy_acquisitions_only_is_told_the_clearest() -> None:
    cloudy = [seen("a", "2023-03-01T10:00:00", 99), seen("b", "2023-05-01T10:00:00", 91.5)]
    with pytest.raises(NoAcquisitionError) as caught:
        search_acquisitions(
            Memory(cloudy),
            patch(),
            2023,
            AcquisitionOptions.of(configured({"max_cloud_cover": 30})),
        )
    assert str(caught.value) == (
        "patch 33N-r000-c000, 2023: none of 2 acquisitions between 2023-01-01 and 2023-12-31 in "
        "sentinel-2-l1c has at most 30 % cloud (the clearest, b, has 91.5 %). Raise "
        "imagery.max_cloud_cover, or check the area (aoi): the patch lies at 46.94N 16.32E"
    )


def test_a_place_in_the_south_west_is_written_so() -> None:
    geobox = GeoBox((16, 16), Affine(10, 0, 500_000, 0, -10, 6_300_000), "EPSG:32719")
    with pytest.raises(NoAcquisitionError, match=r"lies at 33\.4\dS 69\.00W$"):
        search_acquisitions(
            Memory([]), Patch("19S", geobox, "19S", 0, 0), 2023, AcquisitionOptions.of(configured())
        )


# Neighbours


@dataclass
class Chosen:
    """Some acquisitions of an archive."""

    archive: SimulatedArchive
    keys: tuple[str, ...]
    remote = False

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:
        return self.archive.cost(geobox, bands)

    def search(
        self, area: Geometry, start: datetime, end: datetime, around: Geometry | None = None
    ) -> list[Acquisition]:
        return [a for a in self.archive.search(area, start, end, around) if a.key in self.keys]

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        return self.archive.read(acquisition, geobox, bands)


@pytest.fixture(scope="module")
def cloudy_edge() -> Chosen:
    """The simulated archive's three acquisitions with most cloud edges across the shared edge."""
    archive = SimulatedArchive()
    around = patch(96, 48).geobox
    found = archive.search(
        around.extent, datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 9, 1, tzinfo=UTC)
    )

    def mixed(one: Acquisition) -> float:
        share = float(archive.cloud_truth(one, around)[0].mean())
        return -share * (1 - share)

    return Chosen(archive, tuple(a.key for a in sorted(found, key=mixed)[:3]))


@pytest.mark.parametrize("resolution", [80, 20, 10])
@pytest.mark.parametrize("cut", [40, 43], ids=["edge on the coarse grid", "edge within a pixel"])
def test_the_cloud_masks_of_neighbours_are_those_of_one_patch_cut_in_two(
    cloudy_edge: Chosen, resolution: int, cut: int
) -> None:
    config = configured({"max_cloud_cover": 100}, clouds={"resolution": resolution})

    def masks(where: Patch) -> CloudMasks:
        raw = AcquisitionStack(held(cloudy_edge, where, config))
        assert len(raw) == 3
        return CloudMasks(detect(raw, DetectionOptions(**dict(config.clouds))).load())

    whole = masks(patch(96, 48))
    left, right = masks(patch(cut, 48)), masks(patch(96 - cut, 48, column=cut))
    assert 0.02 < whole.cloud().mean() < 0.98
    for layer in ("cloud", "valid", "probability"):
        both = np.concatenate([getattr(left, layer)(), getattr(right, layer)()], axis=2)
        np.testing.assert_array_equal(both, getattr(whole, layer)())
