"""Rasters as other tools see them, and as the platform reads them."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.artefacts.formats import CogFormat
from lc_platform.cube import Layer, windows
from lc_platform.storage.errors import MissingArtefactError, StorageError
from lc_platform.storage.raster_cube import RasterCube, rgba, tiled
from lc_platform.storage.store import Store
from lc_platform_tests.storage.artefacts import (
    cube,
    elsewhere,
    geobox,
    noise,
    stored,
    write,
)

KEY = "predictions/2020/p.tif"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    write(store, "cog", 5)
    return store


def test_a_prediction_is_a_cloud_optimized_geotiff(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    bands = {"class": Layer((), "uint8", fill=0), "confidence": Layer((), "uint8")}
    grid = geobox(1100, 700)
    CogFormat(lambda c: c).write(store, KEY, cube(1, bands, grid=grid))
    with rasterio.open(store.path(KEY)) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.block_shapes == [(512, 512)] * 2
        assert raster.compression.value == "DEFLATE"
        assert raster.overviews(1) == [2, 4]
        assert raster.descriptions == ("class", "confidence")
        assert raster.crs.to_epsg() == 32633
        assert raster.transform == grid.affine
        assert raster.shape == (1100, 700)
        np.testing.assert_array_equal(raster.read(2), noise(1, (1100, 700), "uint8"))


def test_classes_come_with_their_colours_and_names(store: Store) -> None:
    with rasterio.open(store.path(KEY)) as raster:
        colors = raster.colormap(1)
        assert raster.colorinterp[0].name == "palette"
    assert {i: colors[i] for i in (0, 1, 2, 4)} == {
        0: (0, 0, 0, 0),
        1: (0, 100, 0, 255),
        2: (0, 100, 200, 255),
        4: (250, 0, 0, 255),
    }
    from xml.etree import ElementTree

    side = ElementTree.fromstring(store.read_bytes(f"{KEY}.aux.xml"))
    names = [e.text for e in side.iterfind("PAMRasterBand[@band='1']/CategoryNames/Category")]
    assert names == ["no data", "forest", "water & ice", None, "town"]


def test_attributes_layers_and_no_data_come_back(tmp_path: Path) -> None:
    for root in (str(tmp_path), f"memory://{uuid.uuid4().hex}"):
        store = Store(root)
        spec = {"share": Layer((), "float32", fill=float("nan")), "n": Layer((), "float32")}
        CogFormat(lambda c: c).write(store, KEY, cube(2, spec))
        found = RasterCube(store, KEY)
        assert found.attributes == {"version": 2, "model_version": "m"}
        assert list(found.layers) == ["share", "n"]
        assert np.isnan(found.layers["share"].fill or 0)
        assert found.layers["n"].dtype == "float32"
        assert found.grids[""] == geobox()
        window = (slice(100, 400), slice(7, 9))
        expected = noise(2, (600, 300), "float32")[window]
        np.testing.assert_array_equal(found.read("n", window), expected)


def test_a_layer_of_another_type_lies_in_a_file_of_its_own(tmp_path: Path) -> None:
    spec = {
        "class": Layer((), "uint8", fill=0),
        "confidence": Layer((), "uint8"),
        "ids": Layer((), "uint32", fill=0),
    }
    for root in (str(tmp_path), f"memory://{uuid.uuid4().hex}"):
        store, form = Store(root), CogFormat(lambda c: c)
        form.write(store, KEY, cube(2, spec))
        found = RasterCube(store, KEY)
        assert {name: layer.dtype for name, layer in found.layers.items()} == {
            "class": "uint8", "confidence": "uint8", "ids": "uint32",
        }  # fmt: skip
        window = (slice(100, 400), slice(7, 9))
        for name, layer in spec.items():
            expected = noise(2, (600, 300), layer.dtype)
            np.testing.assert_array_equal(found.read(name), expected)
            np.testing.assert_array_equal(found.read(name, window), expected[window])
        form.check(store, KEY)
        assert "p.ids.tif" in store.names("predictions/2020")
        # Written anew without it, it is gone.
        form.write(store, KEY, cube(3, {"class": spec["class"]}))
        assert list(RasterCube(store, KEY).layers) == ["class"]
        assert "p.ids.tif" not in store.names("predictions/2020")
    store = Store(str(tmp_path))
    form.write(store, KEY, cube(2, spec))
    with rasterio.open(store.path("predictions/2020/p.ids.tif")) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (raster.descriptions, raster.nodata) == (("ids",), 0)


def test_a_damaged_file_of_a_layer_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    spec = {"class": Layer((), "uint8", fill=0), "ids": Layer((), "uint32", fill=0)}
    CogFormat(lambda c: c).write(store, KEY, cube(2, spec))
    path = Path(store.physical("predictions/2020/p.ids.tif"))
    path.write_bytes(path.read_bytes()[:9000])
    found = RasterCube(store, KEY)
    found.read("class")
    why = r"predictions/2020/p\.tif: its file of ids is no GeoTIFF, or is damaged .*again"
    with pytest.raises(StorageError, match=why):
        found.read("ids")
    with pytest.raises(StorageError, match=why):
        CogFormat(lambda c: c).check(store, KEY)


def test_a_single_band_keeps_its_no_data(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    CogFormat(lambda c: c).write(store, KEY, cube(2, {"class": Layer((), "uint8", fill=0)}))
    assert RasterCube(store, KEY).layers["class"].fill == 0


def test_zero_is_no_data_of_the_class_only_not_of_the_confidence(store: Store) -> None:
    assert RasterCube(store, KEY).layers["confidence"].fill is None


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.97])
def test_a_truncated_raster_is_named(store: Store, share: float) -> None:
    path = Path(store.physical(KEY))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(
        StorageError, match=r"predictions/2020/p\.tif: is no .*is damaged.*aterialize it again"
    ):
        stored(store, "cog")


def test_a_raster_of_somebody_else_is_refused(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "height": 3, "width": 3, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "p.tif", "w", **profile, transform=geobox().affine) as raster:
        raster.write(np.ones((1, 3, 3), "uint8"))
    with pytest.raises(StorageError, match=r"p\.tif: is no raster of this platform"):
        RasterCube(Store(str(tmp_path)), "p.tif")


def test_a_raster_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match=r"p\.tif: is not there. Materialize it first"):
        RasterCube(Store(str(tmp_path)), KEY)


@settings(max_examples=30)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_colour_is_read_as_css_reads_it(color: tuple[int, int, int]) -> None:
    assert rgba("#{:02x}{:02x}{:02x}".format(*color)) == (*color, 255)


def _written_within(folder: str, dtype: str, side: int, rooms: list[int]) -> list[str]:
    """Whether a raster of noise, 1000 x 1000, came to be whole, with holes, or not at all, in each
    of some rooms (bytes)."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    found = []
    for room in rooms:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        found.append(_written(Path(folder) / f"{room}.tif", dtype, side))
    return found


def _written(path: Path, dtype: str, side: int) -> str:
    rng = np.random.default_rng(3)
    values = rng.integers(1, 2**15, (1000, 1000)).astype(dtype)
    try:
        with tiled(path, geobox(1000, 1000), ["a"], dtype) as draft:
            for window in windows((1000, 1000), side):
                draft.write(values[window], window)
    except OSError:
        return "refused"
    with rasterio.open(path) as raster:
        return "whole" if np.array_equal(raster.read(1), values) else "with holes"


@pytest.mark.parametrize("dtype", ["uint16", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "side",
    [100, *(pytest.param(side, marks=pytest.mark.slow) for side in (250, 500))],
)
def test_a_raster_that_found_no_room_is_refused_and_never_has_holes(
    tmp_path: Path, dtype: str, side: int
) -> None:
    size = 1000 * 1000 * np.dtype(dtype).itemsize
    rooms = [int(size * share) for share in (0.3, 0.7, 0.95, 3)]
    found = elsewhere(_written_within, str(tmp_path), dtype, side, rooms)
    assert found == ["refused", "refused", "refused", "whole"]
