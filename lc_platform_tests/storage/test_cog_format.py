"""Rasters as other tools see them, and as the platform reads them."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.eo.cube import Layer
from lc_platform.storage.cog_format import RasterCube, rgba
from lc_platform.storage.formats import CogFormat
from lc_platform.storage.store import MissingArtefactError, StorageError, Store
from lc_platform_tests.storage.artefacts import CLASSES, cube, geobox, noise, stored, write

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
    CogFormat(lambda c: c, CLASSES).write(store, KEY, cube(1, bands, grid=grid))
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


def test_a_single_band_keeps_its_no_data(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    CogFormat(lambda c: c, CLASSES).write(
        store, KEY, cube(2, {"class": Layer((), "uint8", fill=0)})
    )
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
