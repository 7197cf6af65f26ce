"""The configuration's cloud detector is coarse, and finds the clouds all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pytest
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area import patches as area
from lc_platform.area.grid import Patch
from lc_platform.area.options import SplitOptions
from lc_platform.config import Config, parse
from lc_platform.products import cloud_masks
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.options import AcquisitionOptions, DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources.protocol import Acquisition, Cost, Pixels
from lc_platform.sources.simulated import SimulatedArchive

pytestmark = pytest.mark.slow

YEAR = 2018


class PartlyCloudy:
    """The simulated archive's acquisitions of a patch with 10 to 90 % thick cloud."""

    remote = False

    def __init__(self, patch: Patch, count: int) -> None:
        self.archive = SimulatedArchive()
        start, end = datetime(YEAR, 1, 1), datetime(YEAR + 1, 1, 1)
        found = self.archive.search(patch.geobox.extent, start, end)
        shares = [self.archive.cloud_truth(a, patch.geobox)[0].mean() for a in found]
        chosen = [a for a, share in zip(found, shares, strict=True) if 0.1 <= share <= 0.9]
        self.acquisitions = chosen[:count]

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:  # noqa: ARG002
        return Cost()

    def search(
        self,
        area: Geometry,  # noqa: ARG002
        start: datetime,  # noqa: ARG002
        end: datetime,  # noqa: ARG002
        around: Geometry | None = None,  # noqa: ARG002
    ) -> list[Acquisition]:
        return self.acquisitions

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        return self.archive.read(acquisition, geobox, bands)


@dataclass
class Sky:
    masks: dict[str, CloudMasks]
    """As configured by default (``default``), at 10 m with the same pixels averaged and dilated
    (``10 m``) and with the same metres (``10 m, as far``)."""
    thick: NDArray[np.bool_]
    """(time, y, x)"""


@pytest.fixture(scope="module")
def sky() -> Sky:
    config = parse(
        {
            "name": "sky",
            "storage": "unused",
            "years": [YEAR],
            "aoi": {
                "bbox": [16.31, 46.94, 16.3101, 46.9401],
                "crs": "EPSG:32633",
                "patch_size": 2560,
            },
            "imagery": {"source": "simulated", "max_cloud_cover": 100},
        }
    )
    patch = area.patches(SplitOptions.of(config))[0][0]
    source = PartlyCloudy(patch, 10)
    default = config.clouds
    times = round(default.resolution / 10)
    wide = {"average_over": default.average_over * times, "dilation": default.dilation * times}
    changes: dict[str, dict[str, float]] = {
        "default": {},
        "10 m": {"resolution": 10.0},
        "10 m, as far": {"resolution": 10.0, **wide},
    }
    masks = {name: detected(source, patch, config, change) for name, change in changes.items()}
    truth = [source.archive.cloud_truth(a, patch.geobox)[0] for a in source.acquisitions]
    return Sky(masks, np.array(truth))


def detected(
    source: PartlyCloudy, patch: Patch, config: Config, change: dict[str, float]
) -> CloudMasks:
    clouds = config.clouds.model_copy(update=change)
    config = config.model_copy(update={"clouds": clouds})
    raw = AcquisitionStack(
        acquire(
            source, search_acquisitions(source, patch, YEAR, AcquisitionOptions.of(config))
        ).load()
    )
    return CloudMasks(cloud_masks.detect(raw, DetectionOptions(**dict(clouds))).load())


def missed(cloud: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """Share of the cloud that is not found."""
    return float((cloud & ~found).sum() / cloud.sum())


# The figures measured on three places of 512 x 512 pixels stand behind each limit.


def test_the_default_detector_misses_little_of_the_cloud_that_10_m_finds(
    sky: Sky, record_property: Callable[[str, object], None]
) -> None:
    share = missed(sky.masks["10 m"].cloud(), sky.masks["default"].cloud())
    record_property("figure", f"cloud of 10 m that the default detector misses: {share:.2%}")
    assert len(sky.thick) == 10
    assert share < 0.03  # 1.0 %


def test_the_default_detector_misses_no_more_thick_cloud_than_10_m(sky: Sky) -> None:
    by_default, at_10_m = (
        missed(sky.thick, sky.masks[name].cloud()) for name in ("default", "10 m")
    )
    assert by_default <= at_10_m + 0.003  # 0.9 % and 1.7 %
    assert by_default < 0.03


def test_the_default_detector_leaves_most_of_what_10_m_leaves(sky: Sky) -> None:
    fine, coarse = (sky.masks[name].cloud() for name in ("10 m", "default"))
    assert missed(~fine, ~coarse) < 0.45  # 15 %


def test_resolution_alone_hardly_changes_the_mask(sky: Sky) -> None:
    fine, coarse = (sky.masks[name].cloud() for name in ("10 m, as far", "default"))
    assert (fine & coarse).sum() / (fine | coarse).sum() > 0.94  # 0.979


def test_resolution_changes_the_probability_little(sky: Sky) -> None:
    fine, coarse = (sky.masks[name].probability() for name in ("10 m", "default"))
    assert np.abs(fine - coarse).mean() < 0.08  # 0.040
