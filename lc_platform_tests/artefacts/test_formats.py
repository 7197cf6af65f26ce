"""Tables, models and metrics come back as they were written, and damage is told."""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.formats import EvaluationFormat, GridFormat, ModelFormat, SamplesFormat
from lc_platform.artefacts.layout import ASSETS, dimensions, key
from lc_platform.products.evaluation import Evaluation
from lc_platform.products.training_samples import Samples
from lc_platform.storage.errors import MissingArtefactError, StorageError
from lc_platform.storage.store import Store
from lc_platform_tests.storage.artefacts import artefact


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def samples(count: int) -> Samples:
    rng = np.random.default_rng(1)
    values = rng.random((count, 2)).astype("float32")
    values[::3, 1] = np.nan
    return Samples(
        "33N-r0-c1",
        2020,
        ("NDVI_0101", "B02 (mean)"),
        values,
        rng.integers(1, 5, count).astype("uint8"),
        rng.integers(0, 1000, count).astype("int32"),
        rng.integers(0, 1000, count).astype("int32"),
        rng.integers(0, 2**32, count).astype("uint32"),
    )


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_samples_come_back_to_the_bit(store: Store, count: int) -> None:
    written = samples(count)
    SamplesFormat().write(store, "s/2020/p.parquet", written)
    found = SamplesFormat().open(store, "s/2020/p.parquet")
    assert (found.patch, found.year, found.names) == (written.patch, written.year, written.names)
    for name in ("features", "classes", "rows", "columns", "polygons"):
        expected = getattr(written, name)
        assert getattr(found, name).dtype == expected.dtype
        np.testing.assert_array_equal(getattr(found, name), expected)


def test_a_table_of_samples_from_before_polygons_had_ids_is_read_without(store: Store) -> None:
    SamplesFormat().write(store, "s/2020/p.parquet", samples(50))
    table = pq.read_table(io.BytesIO(store.read_bytes("s/2020/p.parquet")))
    with store.file("s/2020/p.parquet") as path:
        pq.write_table(table.drop_columns(["polygon"]), path)
    found = SamplesFormat().open(store, "s/2020/p.parquet")
    np.testing.assert_array_equal(found.classes, samples(50).classes)
    assert found.polygons.tolist() == [0] * 50


def test_a_table_of_samples_has_the_names_of_the_classes_too(store: Store) -> None:
    written = samples(50)
    names = {1: "农田 $5", 2: "forest", 3: "water", 4: "other"}
    SamplesFormat().write(
        store,
        "s/2020/p.parquet",
        replace(written, legend={i: (n, "#808080") for i, n in names.items()}),
    )
    table = pq.read_table(io.BytesIO(store.read_bytes("s/2020/p.parquet")))
    assert table["class_name"].to_pylist() == [names[i] for i in written.classes.tolist()]
    assert SamplesFormat().open(store, "s/2020/p.parquet").names == written.names


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text"])
def test_a_damaged_table_is_named(store: Store, content: bytes) -> None:
    store.put("s/p.parquet", content)
    with pytest.raises(StorageError, match=r"p\.parquet: is no table of samples.*Materialize trai"):
        SamplesFormat().open(store, "s/p.parquet")
    with pytest.raises(StorageError, match=r"p\.parquet: is no patch grid.*Materialize patch_grid"):
        GridFormat().open(store, "s/p.parquet")


def test_a_truncated_table_is_named(store: Store) -> None:
    SamplesFormat().write(store, "p.parquet", samples(1000))
    store.put("p.parquet", store.read_bytes("p.parquet")[:-200])
    with pytest.raises(StorageError, match=r"p\.parquet: is no table of samples"):
        SamplesFormat().open(store, "p.parquet")


def test_a_table_of_something_else_is_named(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "p.parquet")
    store = Store(str(tmp_path))
    with pytest.raises(StorageError, match="is no table of samples"):
        SamplesFormat().open(store, "p.parquet")
    with pytest.raises(StorageError, match="is no patch grid"):
        GridFormat().open(store, "p.parquet")


def grid() -> PatchGrid:
    def box(column: int, crs: str) -> GeoBox:
        return GeoBox((40, 50), Affine(10, 0, 4e5 + 500 * column, 0, -10, 5.1e6), crs)

    patches = [
        Patch("33N-r0-c0", box(0, "EPSG:32633"), "33N", 0, 0),
        Patch("33N-r0-c1", box(1, "EPSG:32633"), "33N", 0, 1),
        Patch("34N-r0-c0", box(0, "EPSG:32634"), "34N", 0, 0),
    ]
    return PatchGrid(patches, {p.key: p.column == 1 for p in patches})


def test_the_patch_grid_comes_back(store: Store) -> None:
    GridFormat().write(store, key("patch_grid"), grid())
    found = GridFormat().open(store, key("patch_grid"))
    assert sorted(found.patches, key=str) == sorted(grid().patches, key=str)
    assert dict(found.has_reference) == dict(grid().has_reference)


def test_geopandas_opens_the_patch_grid(tmp_path: Path) -> None:
    GridFormat().write(Store(str(tmp_path)), "patch_grid.parquet", grid())
    table = gpd.read_parquet(tmp_path / "patch_grid.parquet")
    assert set(table["key"]) == {p.key for p in grid().patches}
    assert table.crs is not None
    assert table.geometry.is_valid.all()


def test_a_model_comes_back_with_its_version(store: Store) -> None:
    written = artefact("model", 7)
    ModelFormat().write(store, "model/2020", written)
    found = ModelFormat().open(store, "model/2020")
    assert found == written
    assert found.version == written.version


def _stored_model(tmp_path: Path) -> Path:
    ModelFormat().write(Store(str(tmp_path)), "model/2020", artefact("model", 7))
    return tmp_path / "model" / "2020"


def test_a_model_that_is_not_the_one_on_its_card_is_refused(tmp_path: Path) -> None:
    folder = _stored_model(tmp_path)
    (folder / "model.txt").write_text("tree 8\n")
    with pytest.raises(
        StorageError, match=r"model\.txt is not the model that model_card\.json describes.*Material"
    ):
        ModelFormat().open(Store(str(tmp_path)), "model/2020")


@pytest.mark.parametrize("card", ["", "{", "[]", "{}", '{"classes": [{}], "features": []}'])
def test_a_damaged_model_card_is_named(tmp_path: Path, card: str) -> None:
    (_stored_model(tmp_path) / "model_card.json").write_text(card)
    with pytest.raises(
        StorageError, match=r"model/2020/model_card\.json: is no card.*Materialize model again"
    ):
        ModelFormat().open(Store(str(tmp_path)), "model/2020")


@pytest.mark.parametrize("name", ["model.txt", "model_card.json"])
def test_half_a_model_is_none(tmp_path: Path, name: str) -> None:
    (_stored_model(tmp_path) / name).unlink()
    with pytest.raises(MissingArtefactError, match=r"model/2020: model\.txt and model_card\.json"):
        ModelFormat().open(Store(str(tmp_path)), "model/2020")


def test_an_evaluation_comes_back_with_its_pictures_beside_it(store: Store) -> None:
    metrics = {"overall_accuracy": 0.912, "confusion": [[1, 2], [3, 4]], "é": None}
    written = Evaluation(metrics, {"confusion.png": b"\x89PNG"})
    EvaluationFormat().write(store, "evaluation/2020", written)
    assert EvaluationFormat().open(store, "evaluation/2020").metrics == metrics
    assert store.fs.cat_file(f"{store.physical('evaluation/2020')}/confusion.png") == b"\x89PNG"


def test_damaged_metrics_are_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    EvaluationFormat().write(store, "evaluation/2020", Evaluation({"a": 1}))
    path = tmp_path / "evaluation" / "2020" / "metrics.json"
    assert json.loads(path.read_text()) == {"a": 1}
    path.write_text("{")
    with pytest.raises(StorageError, match=r"metrics\.json: is damaged.*Materialize evaluation ag"):
        EvaluationFormat().open(store, "evaluation/2020")


def test_every_partition_of_every_asset_has_a_place_of_its_own() -> None:
    keys = {
        key(asset, patch if "patch" in dimensions(asset) else None, year)
        for asset in ASSETS
        for patch in ("a", "b")
        for year in (2019, 2020)
    }
    counts = [2 ** len(dimensions(asset)) for asset in ASSETS]
    assert len(keys) == sum(counts)
