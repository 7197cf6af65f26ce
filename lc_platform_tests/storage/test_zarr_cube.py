"""Cubes in Zarr stores: what goes in comes out, and damage is told."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  # gives xarray its .odc
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.cube import MAIN, Block, Layer, LazyCube, Summary, windows
from lc_platform.storage.errors import MissingArtefactError, StorageError
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ZarrCube, write
from lc_platform_tests.storage.artefacts import elsewhere, geobox

KEY = "cloud_masks/2020/p.zarr"
TIMES = np.array(["2020-01-05T10:00:31", "2020-02-04T10:00:29", "2020-03-01"], "datetime64[s]")
SCENES = np.array(["S2A_1", "S2B_é", "S2A_3"])

rng = np.random.default_rng(3)
ARRAYS = {
    "mask": rng.integers(0, 4, (3, 300, 520)).astype("uint8"),
    "reflectance": rng.integers(0, 9000, (3, 2, 300, 520)).astype("uint16"),
    "share": np.where(rng.random((300, 520)) < 0.2, np.nan, rng.random((300, 520))).astype("f4"),
    "detector/probability": rng.integers(0, 101, (3, 20, 35)).astype("uint8"),
}
LAYERS = {
    "mask": Layer(("time",), "uint8", fill=255, chunks=(2,), tile=256),
    "reflectance": Layer(
        ("time", "band"), "uint16", fill=0, chunks=(3, 1), tile=512, attributes={"scale": 1e-4}
    ),
    "share": Layer((), "float32", fill=float("nan")),
    "detector/probability": Layer(("time",), "uint8", grid="detector", fill=255),
}


def two_grids() -> LazyCube:
    main = geobox(300, 520)
    coarse = GeoBox((20, 35), Affine(150, 0, 5e5, 0, -150, 5e6), main.crs)

    def blocks(_: Summary) -> Iterator[Block]:
        for name, spec in LAYERS.items():
            grid = coarse if spec.grid else main
            index = tuple(slice(0, n) for n in ARRAYS[name].shape[:-2])
            for window in windows(grid.shape, 256):
                yield Block(name, index, window, ARRAYS[name][(..., *window)])

    return LazyCube(
        {MAIN: main, "detector": coarse},
        LAYERS,
        blocks,
        {"time": TIMES, "band": np.array(["B02", "B8A"])},
        {"patch": "p", "year": 2020, "items": list(SCENES)},
    )


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    write(store, KEY, two_grids())
    return store


def test_a_cube_of_two_grids_comes_back_as_it_was_written(store: Store) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        size = write(store, KEY, two_grids())
        cube = ZarrCube(store, KEY)
        values = {name: cube.read(name) for name in LAYERS}
    expected = two_grids()
    assert dict(cube.grids) == dict(expected.grids)
    assert {n: v for n, v in cube.attributes.items() if n != "content_id"} == expected.attributes
    for name, array in ARRAYS.items():
        assert values[name].dtype == array.dtype
        np.testing.assert_array_equal(values[name], array)
        assert cube.layers[name].grid == LAYERS[name].grid
        assert cube.layers[name].dtype == LAYERS[name].dtype
    assert [len(cube.layers[name].dims) for name in LAYERS] == [1, 2, 0, 1]
    assert cube.layers["mask"].fill == 255
    assert list(cube.coordinates["band"]) == ["B02", "B8A"]
    np.testing.assert_array_equal(cube.coordinates["time"].astype("datetime64[s]"), TIMES)
    assert size == store.fs.du(store.physical(KEY))
    assert 0 < size < sum(array.nbytes for array in ARRAYS.values()) * 1.1


def with_a_year_of_its_own(count: int) -> LazyCube:
    """A cube with a further group, whose ``count`` times are none of the cube's."""
    cube = two_grids()
    times = np.array(["2020-01-09T17:00:01", "2020-04-01T17:00:02"], "datetime64[s]")[:count]
    layer = Layer(("S1/time", "S1/band"), "uint16", "S1", 0, (1, 2))

    def blocks(_: Summary) -> Iterator[Block]:
        yield from two_grids()
        for time in range(count):
            values = ARRAYS["reflectance"][time : time + 1]
            index = (slice(time, time + 1), slice(None))
            yield Block("S1/bands", index, (slice(0, 300), slice(0, 520)), values)

    own = {"S1/time": times, "S1/band": np.array(["VV", "VH"])}
    return LazyCube(
        {**cube.grids, "S1": cube.grids[MAIN]},
        {**LAYERS, "S1/bands": layer},
        blocks,
        {**cube.coordinates, **own},
        cube.attributes,
    )


@pytest.mark.parametrize("count", [2, 0])
def test_a_group_may_have_times_of_its_own(store: Store, count: int) -> None:
    write(store, KEY, with_a_year_of_its_own(count))
    cube = ZarrCube(store, KEY)
    assert cube.layers["S1/bands"].dims == ("S1/time", "S1/band")
    assert cube.layers["detector/probability"].dims == ("time",)
    assert cube.coordinates["S1/time"].astype(str).tolist() == [
        "2020-01-09T17:00:01", "2020-04-01T17:00:02",
    ][:count]  # fmt: skip
    assert len(cube.coordinates["time"]) == 3
    np.testing.assert_array_equal(cube.read("S1/bands"), ARRAYS["reflectance"][:count])
    if count:
        one = cube.read("S1/bands", time=[1], band=0)
        np.testing.assert_array_equal(one, ARRAYS["reflectance"][[1], 0])
    if store.local:
        data = xr.open_zarr(store.path(KEY), group="S1", decode_coords="all", chunks=None)
        assert dict(data.sizes) == {"time": count, "band": 2, "y": 300, "x": 520}
        np.testing.assert_array_equal(data["time"].values, cube.coordinates["S1/time"])


@pytest.mark.parametrize(
    ("select", "index"),
    [
        ({"time": 1}, (1,)),
        ({"time": slice(1, 3)}, (slice(1, 3),)),
        ({"time": [0, 2]}, ([0, 2],)),
        ({"time": np.array([2, 0])}, ([2, 0],)),
        ({"time": slice(None, None, 2)}, (slice(None, None, 2),)),
        ({"time": -1}, (-1,)),
        ({"time": [-1, 0]}, ([-1, 0],)),
        ({"band": 1}, (slice(None), 1)),
        ({"time": [0, 2], "band": 0}, ([0, 2], 0)),
    ],
)
def test_a_window_and_a_selection_read_what_numpy_would(
    folder: Store, select: dict[str, object], index: tuple[object, ...]
) -> None:
    window = (slice(250, 270), slice(100, 515))
    found = ZarrCube(folder, KEY).read("reflectance", window, **select)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, ARRAYS["reflectance"][..., *window][index])


def test_xarray_opens_the_cube_with_its_crs_and_times(folder: Store) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(folder.path(KEY), decode_coords="all", chunks=None)
        values = data["mask"].isel(time=0).values
    assert data.odc.geobox == geobox(300, 520)
    np.testing.assert_array_equal(data["time"].values.astype("datetime64[s]"), TIMES)
    np.testing.assert_array_equal(values, ARRAYS["mask"][0])
    assert data["x"].values[0] == 500_005.0, "the centre of the first pixel"
    assert data["reflectance"].attrs["scale"] == 1e-4
    assert data["mask"].attrs["nodata"] == 255


def damaged_files(store: Store, layer: str) -> list[Path]:
    return sorted(p for p in Path(store.physical(KEY), layer, "c").rglob("*") if p.is_file())


@pytest.mark.parametrize("layer", list(LAYERS))
def test_a_part_that_is_missing_is_an_error_and_not_fill_values(folder: Store, layer: str) -> None:
    cube = ZarrCube(folder, KEY)
    part = damaged_files(folder, layer)[-1]
    part.unlink()
    with pytest.raises(
        StorageError, match=rf"p\.zarr: {layer} is damaged.*missing.*Materialize it again"
    ):
        cube.read(layer)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("layer", list(LAYERS))
def test_a_part_that_is_truncated_is_an_error(folder: Store, layer: str, share: float) -> None:
    part = damaged_files(folder, layer)[0]
    content = part.read_bytes()
    part.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(StorageError, match=rf"p\.zarr: {layer} is damaged"):
        ZarrCube(folder, KEY).read(layer)


@pytest.mark.parametrize("name", ["zarr.json", "time/c/0", "band/c/0"])
@pytest.mark.parametrize("content", [None, b"", b'{"zarr_format": 3'])
def test_a_cube_without_its_description_is_no_cube(
    folder: Store, name: str, content: bytes | None
) -> None:
    path = Path(folder.physical(KEY), name)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=r"p\.zarr: is not a cube of this platform, or is dam"):
        ZarrCube(folder, KEY)


def test_a_file_or_an_empty_folder_is_no_cube(tmp_path: Path) -> None:
    (tmp_path / "file.zarr").write_text("text")
    (tmp_path / "folder.zarr").mkdir()
    xr.Dataset({"a": ("x", np.arange(3))}).to_zarr(tmp_path / "foreign.zarr", consolidated=False)
    for name in ("file", "folder", "foreign"):
        with pytest.raises(StorageError, match=rf"{name}\.zarr: is not a cube.*Materialize it"):
            ZarrCube(Store(str(tmp_path)), f"{name}.zarr")


def test_a_cube_that_is_not_there_says_what_to_do(store: Store) -> None:
    with pytest.raises(MissingArtefactError, match=r"p\.zarr: is not there. Materialize it first"):
        ZarrCube(store, KEY)


def _write_large(url: str) -> tuple[int, int]:
    import resource

    grid = geobox(1024, 1024)
    times = np.arange("2020-01-01", "2020-02-20", dtype="datetime64[D]").astype("datetime64[s]")
    layer = Layer(("time",), "uint16", fill=0, tile=512)

    def blocks(_: Summary) -> Iterator[Block]:
        for time in range(len(times)):
            for window in windows(grid.shape, 512):
                values = np.full((1, 512, 512), time, "uint16")
                yield Block("v", (slice(time, time + 1),), window, values)

    cube = LazyCube({MAIN: grid}, {"v": layer}, blocks, {"time": times})
    store = Store(url)
    write(store, "warm.zarr", two_grids())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write(store, "p.zarr", cube)
    ZarrCube(store, "p.zarr").read("v", time=7)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return grown * 1024, int(np.prod(cube.shape("v"))) * 2


@pytest.mark.slow
def test_a_cube_larger_than_it_may_hold_streams_through(tmp_path: Path) -> None:
    grown, size = elsewhere(_write_large, str(tmp_path))
    assert size > 100e6
    assert grown < 0.4 * size


def test_every_writing_of_a_cube_has_an_id_of_its_own(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    ids = []
    for _ in range(2):
        write(store, KEY, two_grids())
        ids.append(ZarrCube(store, KEY).attributes["content_id"])
    assert ids[0] != ids[1]
    assert ZarrCube(store, KEY).attributes["content_id"] == ids[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_cube_is_read_in_a_process_that_was_forked_after_it_was_read(folder: Store) -> None:
    script = f"""
import os, signal, sys
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ZarrCube
cube = ZarrCube(Store({folder.path("")!r}), {KEY!r})
before = cube.read("mask")
child = os.fork()
if not child:
    signal.alarm(30)
    same = (cube.read("mask") == before).all()
    again = (ZarrCube(Store({folder.path("")!r}), {KEY!r}).read("mask") == before).all()
    os._exit(0 if same and again else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=False, timeout=120)
    assert done.returncode == 0
