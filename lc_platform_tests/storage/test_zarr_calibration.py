"""Digital numbers that other programs read as what they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area import patches
from lc_platform.area.options import SplitOptions
from lc_platform.cube import MAIN, Block, Calibration, Layer, LazyCube, Summary, whole
from lc_platform.products.options import AcquisitionOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources import open_auxiliary, open_source
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ZarrCube, write
from lc_platform_tests.graphs import configured
from lc_platform_tests.products import cubes

KEY = "raw_bands/2021/p.zarr"
NUMBERS = np.random.default_rng(1).integers(1, 9000, (3, 2, 6, 7)).astype(np.uint16)
NUMBERS[1, 0, 2, 3] = 0
GRID = cubes.grid(6, 7)


def written(folder: Path, scale: Any, offset: Any, missing: int | None = 0) -> xr.Dataset:
    def blocks(_: Summary) -> Iterator[Block]:
        yield Block("bands", (slice(0, 3), slice(0, 2)), whole(GRID), NUMBERS)

    along = [np.broadcast_to(np.asarray(v, np.float64), (3, 2)) for v in (scale, offset)]
    days = np.array(["2021-05-01", "2021-06-01", "2022-02-01"], "datetime64[s]")
    cube = LazyCube(
        {MAIN: GRID},
        {"bands": Layer(("time", "band"), "uint16", fill=0)},
        blocks,
        {"time": days, "band": np.array(["B04", "B08"])},
        calibrations=lambda: {"bands": Calibration(along[0], along[1], "reflectance", missing)},
    )
    store = Store(str(folder))
    write(store, KEY, cube)
    np.testing.assert_array_equal(ZarrCube(store, KEY).read("bands"), NUMBERS)
    data = xr.open_zarr(store.path(KEY), chunks=None)
    assert set(data.data_vars) - {"spatial_ref"} == {"bands"}
    return data


def expected(scale: Any, offset: Any) -> NDArray[np.float64]:
    shape = (3, 2, 1, 1)
    scale, offset = (np.broadcast_to(v, (3, 2)).reshape(shape) for v in (scale, offset))
    return np.where(NUMBERS == 0, np.nan, NUMBERS * scale + offset)


def test_one_scale_and_offset_for_all_is_applied_by_whoever_decodes_cf(tmp_path: Path) -> None:
    data = written(tmp_path, 1e-4, -0.1)
    np.testing.assert_allclose(data["bands"], expected(1e-4, -0.1), rtol=1e-6, atol=1e-7)
    assert data["bands"].attrs["long_name"] == "reflectance"
    assert "scale_factor" not in data.coords


VARYING = [
    # Processing baseline 04.00 came between the second and the third.
    ("time", 1e-4, [[0.0], [0.0], [-0.1]], ("time",)),
    # A classification beside reflectance.
    ("band", [[1e-4, 1.0]], 0.0, ("band",)),
    ("both", [[1e-4, 1.0]], [[0.0, 0.0], [0.0, 0.0], [-0.1, 0.0]], ("time", "band")),
    ("scale along time", [[2e-5], [3e-5], [2e-5]], -0.2, ("time",)),
]


@pytest.mark.parametrize(("what", "scale", "offset", "dims"), VARYING, ids=[v[0] for v in VARYING])
def test_others_are_coordinates_along_what_they_change_with(
    tmp_path: Path, what: str, scale: Any, offset: Any, dims: tuple[str, ...]
) -> None:
    data = written(tmp_path, scale, offset)
    assert data["scale_factor"].dims == data["add_offset"].dims == dims, what
    assert {"scale_factor", "add_offset"} <= set(data["bands"].coords)
    found = data["bands"] * data["scale_factor"] + data["add_offset"]
    np.testing.assert_allclose(
        found.transpose("time", "band", "y", "x"), expected(scale, offset), rtol=1e-6, atol=1e-6
    )
    comment = data["bands"].attrs["comment"]
    assert comment == "reflectance = bands * scale_factor + add_offset"


def test_where_0_is_a_value_it_is_read_as_one(tmp_path: Path) -> None:
    data = written(tmp_path, 1e-4, 0.0, missing=None)
    np.testing.assert_allclose(data["bands"], NUMBERS * 1e-4, rtol=1e-6)
    assert float(data["bands"][1, 0, 2, 3]) == 0


def reflectances(data: xr.Dataset) -> Any:
    """What a person makes of a store who has read its metadata."""
    bands = data["bands"]
    if "scale_factor" in bands.coords:
        bands = bands * bands["scale_factor"] + bands["add_offset"]
    return bands.transpose("time", "band", "y", "x")


@pytest.mark.slow
@pytest.mark.parametrize("year", [2021, 2022])
def test_an_acquired_year_is_read_by_xarray_as_by_the_platform(tmp_path: Path, year: int) -> None:
    imagery = {"max_cloud_cover": 40, "also": ["landsat-ot-l1", "sentinel-1-grd"]}
    config = configured(tmp_path, imagery=imagery)
    source, auxiliary = open_source(config), open_auxiliary(config)
    (patch, *_), _ = patches.patches(SplitOptions.of(config))
    offered = search_acquisitions(source, patch, year, AcquisitionOptions.of(config), auxiliary)
    store = Store(str(tmp_path / "store"))
    key = f"raw_bands/{year}/{patch.key}.zarr"
    write(store, key, acquire(source, offered, auxiliary=auxiliary))
    stack = AcquisitionStack(ZarrCube(store, key))
    for group, one in ((None, stack), *stack.auxiliary.items(), ("detector", stack.detector)):
        data = xr.open_zarr(store.path(key), group=group, chunks=None)
        numbers = one.digital_numbers()
        want = np.where(numbers == 0, np.nan, one.reflectance())
        assert numbers.any(), group
        np.testing.assert_allclose(reflectances(data), want, rtol=1e-5, atol=1e-6, err_msg=group)
