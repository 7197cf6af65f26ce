"""A model a region, blended at the borders."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.artefacts.formats import ModelFormat
from lc_platform.config.input_files import InputFile
from lc_platform.config.model import NETWORK_DEFAULTS
from lc_platform.errors import DataError
from lc_platform.products.features import FeatureStack
from lc_platform.products.held_out_predictions import hold_out
from lc_platform.products.model import LandCoverModel, train
from lc_platform.products.options import HeldOutOptions, PredictionOptions, TrainingOptions
from lc_platform.products.predictions import predict
from lc_platform.products.region_options import RegionOptions
from lc_platform.products.regions import read_regions, regions_of
from lc_platform.products.training_samples import Samples
from lc_platform.storage.errors import DamagedArtefactError
from lc_platform.storage.store import Store
from lc_platform_tests.products import cubes
from lc_platform_tests.products.three_classes import NAMES, SETTINGS, SHOWN, YEAR

WEST, NORTH, SIDE = 500_000, 5_200_000, 320
"""Metres; the ground is 4 x 2 patches of 32 x 32 pixels."""
BORDER = WEST + 2 * SIDE + 45
"""Where the coast ends and the hills begin, within the third column of patches."""
BLEND = 100.0


def _grid(columns: slice, rows: slice) -> GeoBox:
    affine = Affine(10, 0, WEST + SIDE * columns.start, 0, -10, NORTH - SIDE * rows.start)
    shape = 32 * (rows.stop - rows.start), 32 * (columns.stop - columns.start)
    return GeoBox(shape, affine, "EPSG:32633")


GRIDS = {
    f"p{row}{column}": _grid(slice(column, column + 1), slice(row, row + 1))
    for row in range(2)
    for column in range(4)
}
WHOLE = _grid(slice(0, 4), slice(0, 2))


def _boxes(*named: tuple[str | None, float, float]) -> geopandas.GeoDataFrame:
    """Regions from one easting to another, far beyond the ground to the north and the south."""
    shapes = [shapely.box(left, NORTH - 9000, right, NORTH + 9000) for _, left, right in named]
    names = [name for name, *_ in named]
    return geopandas.GeoDataFrame({"zone": names}, geometry=shapes, crs="EPSG:32633")


TWO = _boxes(("coast", WEST - 5000, BORDER), ("hills", BORDER, WEST + 9000))


def _options(folder: Path, table: geopandas.GeoDataFrame = TWO, **more: Any) -> RegionOptions:
    path = folder / "regions.gpkg"
    table.to_file(path, driver="GPKG")
    file = InputFile("regions.gpkg", str(path))
    return replace(RegionOptions(file, "zone", BLEND), **more)


def _samples(patch: str, grid: GeoBox, classes: Sequence[int] = (3, 20, 200)) -> Samples:
    """Twelve pixels a class. By the same value a class is another one on the coast than in the
    hills; water is not told in the hills."""
    rng = np.random.default_rng(sum(map(ord, patch)))
    count = 12 * len(classes)
    rows, columns = np.unravel_index(rng.permutation(32 * 32)[:count], (32, 32))
    labels = np.repeat(np.array(classes, np.uint8), 12)
    easting = grid.affine.c + 10 * columns
    labels = np.where((easting > BORDER) & (labels == 200), 3, labels).astype(np.uint8)
    values = rng.normal(0, 0.5, (count, 2)).astype(np.float32)
    sign = np.where(easting > BORDER, -1, 1)
    values[:, 0] += sign * np.choose(np.searchsorted((3, 20, 200), labels), (0, 3, 6))
    polygons = (np.arange(count) // 4 + 1 + 1000 * sum(map(ord, patch))).astype(np.uint32)
    return Samples(
        patch, YEAR, NAMES, values, labels, rows.astype(np.int32), columns.astype(np.int32),
        polygons,
    )  # fmt: skip


SAMPLES = {patch: _samples(patch, grid) for patch, grid in GRIDS.items()}


def _trained(
    options: RegionOptions | None, samples: Mapping[str, Samples] = SAMPLES, **more: Any
) -> LandCoverModel:
    asked: TrainingOptions = replace(
        SETTINGS, regions=options, test_fraction=None, folds=2, calibration="temperature", **more
    )
    return train(samples, asked, year=YEAR, grids=GRIDS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LandCoverModel:
    return _trained(_options(tmp_path_factory.mktemp("regions")))


def _stack(grid: GeoBox, values: NDArray[np.float32]) -> FeatureStack:
    return cubes.feature_stack(values[:, np.newaxis], ("NDVI",), (0, 16), geobox=grid)


def _ground() -> NDArray[np.float32]:
    """Values of all the ground, (feature, y, x): the same everywhere from west to east."""
    column = np.random.default_rng(5).normal(0, 4, (2, WHOLE.shape[0], 1))
    return np.broadcast_to(column, (2, *WHOLE.shape)).astype(np.float32)


ASKED = PredictionOptions(classes=SHOWN, window=24, probabilities=True, coverage=0.9)


def test_each_region_learns_from_its_samples_and_from_those_beyond_its_border(
    model: LandCoverModel,
) -> None:
    coast, hills = model.card["regions"]
    assert (coast["name"], hills["name"]) == ("coast", "hills")
    assert (coast["patches"], hills["patches"]) == (6, 4)
    eastings = {
        patch: GRIDS[patch].affine.c + 10 * one.columns + 5 for patch, one in SAMPLES.items()
    }
    # Bilinear weights reach at most a node, 100 / 16 m, further than the distance itself.
    reached = sum(int((one < BORDER + BLEND).sum()) for one in eastings.values())
    further = sum(int((one < BORDER + BLEND + 6.25).sum()) for one in eastings.values())
    assert reached <= sum(coast["samples"].values()) <= further
    near = sum(int((abs(one - BORDER) < BLEND).sum()) for one in eastings.values())
    assert coast["samples_shared_with_others"] >= near > 0
    assert list(coast["samples"]) == ["meadow", "forest", "water"]
    assert [one["name"] for one in model.card["classes"]] == ["meadow", "forest", "water"]
    assert model.card["region_blend"] == BLEND


@pytest.mark.slow
def test_patches_one_by_one_are_the_ground_as_one_patch_and_no_edge_shows(
    model: LandCoverModel,
) -> None:
    ground = _ground()
    layers = ("class", "confidence", "entropy", "margin", "applicability", "probability_3", "set_1")
    whole = predict(_stack(WHOLE, ground), model, ASKED).load()
    for patch, grid in GRIDS.items():
        row, column = int(patch[1]), int(patch[2])
        here = slice(32 * row, 32 * row + 32), slice(32 * column, 32 * column + 32)
        own = predict(_stack(grid, ground[:, *here]), model, replace(ASKED, window=32)).load()
        for layer in layers:
            np.testing.assert_array_equal(own.read(layer), whole.read(layer)[here])
    # The values are the same from west to east, so that only the regions make a difference: from
    # one pixel to the next a weight changes by 10 of 200 m, and calibration steepens that.
    found = whole.read("probability_3").astype(int)
    assert np.abs(found[:, 0] - found[:, -1]).max() > 80
    assert np.abs(np.diff(found, axis=1)).max() <= 20


def test_far_from_the_border_a_region_decides_by_itself(
    model: LandCoverModel, tmp_path: Path
) -> None:
    hills = {p: one for p, one in SAMPLES.items() if p[2] == "3"}
    east = {p: GRIDS[p] for p in hills}
    alone = train(
        hills,
        replace(SETTINGS, regions=_options(tmp_path), test_fraction=None, folds=2),
        year=YEAR,
        grids=east,
    )
    assert [one["name"] for one in alone.card["regions"]] == ["hills"]
    assert list(alone.card["regions"][0]["samples"]) == ["meadow", "forest"]
    values = np.array([[[-3.0, 0.0]], [[0.0, 0.0]]], np.float32)
    weights = np.array([[[0.0, 0.0]], [[1.0, 1.0]]], np.float32)
    assert model.predict(values, weights=weights).classes.tolist() == [[20, 3]]
    weights = weights[::-1]
    assert model.predict(-values, weights=weights).classes.tolist() == [[20, 3]]


def test_a_model_that_is_stored_maps_as_the_one_that_was_trained(
    model: LandCoverModel, tmp_path: Path
) -> None:
    store = Store(str(tmp_path))
    ModelFormat().write(store, "model/2018", model)
    folder = tmp_path / "model" / "2018"
    names = {file.name for file in folder.iterdir()}
    expected = {"model_coast.txt", "model_hills.txt", "model.txt", "regions.parquet"}
    assert expected | {f"training_space_{one}.parquet" for one in ("coast", "hills")} <= names
    assert (folder / "model_hills.txt").read_text().startswith("tree\n")
    found = ModelFormat().open(store, "model/2018")
    assert found.version == model.version
    features = _stack(WHOLE, _ground())
    expected_map, read_map = (predict(features, one, ASKED).load() for one in (model, found))
    for layer in ("class", "applicability", "probability_20"):
        np.testing.assert_array_equal(read_map.read(layer), expected_map.read(layer))
    table = geopandas.read_parquet(folder / "regions.parquet")
    assert table.region.tolist() == ["coast", "hills"]
    (folder / "model_hills.txt").write_text("tree\n")
    with pytest.raises(DamagedArtefactError, match="Materialize model again"):
        ModelFormat().open(store, "model/2018")


_SMALL = {"epochs": 15, "learning_rate": 0.02, "batch_size": 64}
_LTAE = {**NETWORK_DEFAULTS["ltae"], **_SMALL, "channels": 32, "heads": 4, "units": 32}
_TEMPCNN = {**NETWORK_DEFAULTS["tempcnn"], **_SMALL, "filters": 16, "units": 32, "dropout": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("tempcnn", _TEMPCNN),
        ("ltae", _LTAE),
        ("combined", {"ltae": {"weight": 2, **_LTAE}, "discriminant": {"weight": 1}}),
    ],
)
def test_networks_of_regions_are_files_of_their_own_and_map_without_what_trained_them(
    method: Any, parameters: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="could not import torch")
    onnxruntime = pytest.importorskip("onnxruntime")
    key = "members" if method == "combined" else "parameters"
    model = _trained(_options(tmp_path), method=method, **{key: parameters})
    # Forest is 3 on the coast and -3 in the hills, and meadow is 0 in both.
    values = np.array([[[3.0, 0.0, -3.0, 0.0]], [[0.0] * 4]], np.float32)
    coast = np.array([[1.0, 1.0, 0.0, 0.0]], np.float32)
    found = model.predict(values, weights=np.stack([coast, 1 - coast]))
    assert found.classes.tolist() == [[20, 3, 20, 3]]
    store = Store(str(tmp_path))
    ModelFormat().write(store, "model/2018", model)
    folder = tmp_path / "model" / "2018"
    expected = {f"{name}{of}.onnx" for name in ("model", "fold_0", "fold_1") for of in ("", "_1")}
    assert {one.name for one in folder.glob("*.onnx")} == expected
    assert "file:model_1.onnx" in (folder / "model_hills.txt").read_text()
    hills = onnxruntime.InferenceSession(folder / "model_1.onnx")
    (told,) = hills.run(None, {hills.get_inputs()[0].name: values[:, 0].T})
    assert told.argmax(axis=1).tolist()[2:] == [1, 0]
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.setitem(sys.modules, name, None)
    read = ModelFormat().open(store, "model/2018")
    assert read.version == model.version
    ground = _ground()
    whole = predict(_stack(WHOLE, ground), model, ASKED).load()
    again = predict(_stack(WHOLE, ground), read, ASKED).load()
    own = predict(_stack(GRIDS["p02"], ground[:, :32, 64:96]), read, ASKED).load()
    for layer in ("class", "applicability", "probability_20"):
        np.testing.assert_array_equal(again.read(layer), whole.read(layer))
        np.testing.assert_array_equal(own.read(layer), whole.read(layer)[:32, 64:96])
    labels = np.full((32, 32), 3, np.uint8)
    held = hold_out(
        _stack(GRIDS["p02"], ground[:, :32, 64:96]), cubes.reference(labels, geobox=GRIDS["p02"]),
        read, HeldOutOptions(classes=SHOWN, window=16),
    ).load()  # fmt: skip
    assert set(np.unique(held.read("class"))) <= {3, 20, 200}


def test_held_out_ground_is_told_by_a_model_of_its_fold_and_region(model: LandCoverModel) -> None:
    grid = GRIDS["p02"]
    values = _ground()[:, :32, 64:96]
    labels = np.full((32, 32), 3, np.uint8)
    reference = cubes.reference(labels, geobox=grid)
    found = hold_out(
        _stack(grid, values), reference, model, HeldOutOptions(classes=SHOWN, window=16)
    ).load()
    fold = np.unique(found.read("fold"))
    assert len(fold) == 1
    assert model.regions is not None
    weights = model.regions.on(grid).read()
    expected = model.predict(values, fold=int(fold[0]), weights=weights)
    np.testing.assert_array_equal(found.read("class"), expected.classes)
    np.testing.assert_array_equal(found.read("confidence"), expected.confidence)


def test_a_region_that_a_fold_cannot_learn_is_told_and_tested_by_all_of_them(
    tmp_path: Path,
) -> None:
    # Of the islands there are samples on one patch alone, which is a block of ground.
    islands = _boxes(
        ("islands", WEST - 5000, WEST + 250), ("coast", WEST + 250, BORDER), ("hills", BORDER, 6e5)
    )
    samples = {p: one for p, one in SAMPLES.items() if p != "p10"}
    found = _trained(_options(tmp_path, islands, blend=5.0), samples)
    warnings = [one for one in found.card["split_warnings"] if one.startswith("region")]
    assert len(warnings) == 1
    assert warnings[0].startswith("region islands: outside of fold")
    folds = found.card["validation"]["folds"]
    assert sorted(one["regions_not_learnt"] for one in folds) == [[], ["islands"]]


def test_the_model_of_another_border_has_another_version(
    model: LandCoverModel, tmp_path: Path
) -> None:
    other = _trained(_options(tmp_path, blend=BLEND + 1e-9))
    assert other.card["regions"][0]["samples"] == model.card["regions"][0]["samples"]
    assert other.version != model.version


@pytest.mark.parametrize("crs", ["EPSG:4326", pytest.param("EPSG:3035", marks=pytest.mark.slow)])
def test_regions_in_another_crs_lie_where_they_are(tmp_path: Path, crs: str) -> None:
    dense = TWO.copy()
    dense.geometry = dense.geometry.segmentize(100.0)
    there = read_regions(_options(tmp_path, dense.to_crs(crs))).on(WHOLE).read()
    here = read_regions(_options(tmp_path)).on(WHOLE).read()
    np.testing.assert_allclose(there, here, atol=1e-3)


def test_ground_beyond_all_regions_is_of_the_nearest_however_far_it_is(tmp_path: Path) -> None:
    away = _boxes(("coast", WEST - 5000, WEST - 3000), ("hills", WEST + 20000, WEST + 30000))
    for table in (away, away.to_crs("EPSG:4326")):
        regions = read_regions(_options(tmp_path, table))
        kept, counts = regions.reaching(GRIDS.values())
        assert (kept.names, counts) == (("coast",), {"coast": 8})
        weights = regions.on(WHOLE).read()
        np.testing.assert_array_equal(weights[0], 1)
        assert regions.share_beyond(GRIDS.values()) == pytest.approx(1)


# Bad input


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            _boxes(("coast", WEST - 900, BORDER), ("hills", BORDER - 400, WEST + 9000)),
            r"regions coast and hills overlap on 7\.\d+ km2, 25% of the smaller",
        ),
        (
            _boxes(("coast", WEST - 900, BORDER), (None, BORDER, WEST + 9000)),
            "1 polygons of regions.gpkg have no zone",
        ),
        (TWO.rename(columns={"zone": "name"}), "no polygons with the attribute zone. It has name"),
        (TWO.iloc[:0], "has no polygon"),
        (TWO.set_crs(None, allow_override=True), "model.regions.path: regions.gpkg has"),
    ],
)
def test_a_file_of_regions_that_cannot_be_used_is_named(
    tmp_path: Path, table: geopandas.GeoDataFrame, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        regions_of(_options(tmp_path, table), list(GRIDS.values()))


def test_a_region_without_a_polygon_is_named(tmp_path: Path) -> None:
    table = TWO.copy()
    table.loc[1, "geometry"] = None
    with pytest.raises(DataError, match=r"region hills of regions\.gpkg has no polygon that encl"):
        regions_of(_options(tmp_path, table), list(GRIDS.values()))


def test_a_file_that_is_missing_or_no_vector_file_is_named(tmp_path: Path) -> None:
    missing = RegionOptions(InputFile("gone.gpkg", str(tmp_path / "gone.gpkg")), "zone", BLEND)
    with pytest.raises(DataError, match=r"model\.regions\.path: gone\.gpkg is not there"):
        read_regions(missing)
    (tmp_path / "notes.txt").write_text("no polygons")
    notes = RegionOptions(InputFile("notes.txt", str(tmp_path / "notes.txt")), "zone", BLEND)
    with pytest.raises(DataError, match=r"model\.regions\.path: notes\.txt cannot be read"):
        read_regions(notes)


def test_a_region_without_samples_or_of_one_class_is_named_with_what_to_do(tmp_path: Path) -> None:
    coast = {p: one for p, one in SAMPLES.items() if p[2] == "0"}
    said = r"region hills, 2018: none of the samples .* within 100 m of it.* lies on 4 patches"
    with pytest.raises(DataError, match=said):
        _trained(_options(tmp_path), coast)
    one_class = {p: _samples(p, GRIDS[p], (20, 20)) for p in ("p03", "p13")}
    with pytest.raises(DataError, match=r"region hills, 2018: all 48 samples .* \(forest\)"):
        _trained(_options(tmp_path), coast | one_class)


def test_a_region_in_one_block_cannot_stop_early_and_is_named(tmp_path: Path) -> None:
    of_hills = {p: one for p, one in SAMPLES.items() if p[2] == "0"} | {"p03": SAMPLES["p03"]}
    parameters = {"num_iterations": 5, "min_data_in_leaf": 2, "early_stopping_round": 2}
    several = TrainingOptions(classes=SETTINGS.classes, parameters=parameters)
    asked = replace(several, method="lightgbm", regions=_options(tmp_path), seed=2, threads=1)
    with pytest.raises(DataError, match=r"region \w+, 2018: .* two blocks of ground"):
        train(of_hills, replace(asked, folds=0, test_fraction=0.3), year=YEAR, grids=GRIDS)
