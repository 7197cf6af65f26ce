"""No step holds a patch's whole year of all bands as floats."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIDE, TIMES = 1024, 40
BANDS = 7
YEAR_IN_FLOATS = SIDE * SIDE * TIMES * BANDS * 4
"""1.17 GB."""

CODE = """
import sys, resource
from datetime import UTC, datetime, timedelta
import numpy as np
from lc_platform.area.options import SplitOptions
from lc_platform import config
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area import patches as area
from lc_platform.products import cloud_masks as detection, features
from lc_platform.products import observation_stats as observations
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_options import FeatureOptions
from lc_platform.products.options import (
    AcquisitionOptions, DetectionOptions, StatisticsOptions)
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources.protocol import Acquisition, Pixels
from lc_platform.storage import zarr_cube as zarr_format
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ZarrCube

folder, side, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

class Meadow:
    remote = False

    def search(self, area, start, end, around=None):
        days = [start + timedelta(days=9 * i) for i in range(times)]
        return [Acquisition(f"A{i:03d}", day, (f"A{i:03d}",)) for i, day in enumerate(days)]

    def read(self, acquisition, geobox, bands):
        shape = (len(bands), *geobox.shape)
        values = np.full(shape, 1000 + acquisition.datetime.day, np.uint16)
        ones = np.ones(len(bands))
        return Pixels(values, np.ones(shape[1:], bool), ones * 1e-4, ones * 0.0)

bands = ["B02", "B03", "B04", "B08", "B8A", "B11", "B12"]
asked = config.parse({
    "name": "memory", "storage": folder, "years": [2023],
    "aoi": {"bbox": [15.60, 46.90, 15.601, 46.901], "crs": "EPSG:32633", "patch_size": 10 * side},
    "imagery": {"source": "simulated", "bands": bands},
})
patch = area.patches(SplitOptions.of(asked))[0][0]
store = Store(folder)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def measured(name, computed):
    zarr_format.write(store, name, computed)
    print(name, peak())
    return ZarrCube(store, name)

def drained(name, computed):
    for block in computed:
        pass
    print(name, peak())

print("start", peak())
offered = search_acquisitions(Meadow(), patch, 2023, AcquisitionOptions.of(asked))
raw = AcquisitionStack(measured("raw_bands", acquire(Meadow(), offered)))
clouds = detection.detect(raw, DetectionOptions(**dict(asked.clouds), threads=1))
masks = CloudMasks(measured("cloud_masks", clouds))
drained("observation_stats", observations.observe(raw, masks, StatisticsOptions(window=256)))
drained("features", features.build(raw, masks, FeatureOptions(
    bands=bands, indices=asked.indices, interval=16, min_valid_fraction=0.0, window=256)))
"""


@pytest.mark.slow
@pytest.mark.proof
def test_a_patchs_year_is_never_in_memory_as_floats(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the peak of memory is measured as Linux reports it")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, str(tmp_path), str(SIDE), str(TIMES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    peaks = {name: int(value) for name, value in map(str.split, done.stdout.splitlines())}
    assert list(peaks)[1:] == ["raw_bands", "cloud_masks", "observation_stats", "features"]
    for step, peak in peaks.items():
        assert peak - peaks["start"] < YEAR_IN_FLOATS * 0.6, f"{step}: {done.stdout}"
