"""The whole graph through Dagster, job by job as its UI launches them, on the simulated archive."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from PIL import Image

import lc_platform
from lc_platform.artefacts.formats import Format
from lc_platform.artefacts.layout import ASSETS, PATCH, Partition, dimensions, key
from lc_platform.automation import JOBS
from lc_platform.commands import run
from lc_platform.sources import open_source
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store
from lc_platform_tests.graphs import (
    YEAR,
    Blind,
    Platform,
    configured,
    materialized,
    silent,
    why,
)

pytestmark = pytest.mark.slow

OF_ALL_PATCHES = {"patch_grid", "model", "evaluation", "mosaic"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The whole graph, once."""
    platform = Platform(configured(tmp_path_factory.mktemp("graph")))
    platform.results = platform.all_jobs()  # type: ignore[attr-defined]
    return platform


@pytest.fixture
def copied(built: Platform, tmp_path: Path) -> Platform:
    """The same artefacts in a store of their own, to be tampered with."""
    shutil.copytree(built.config.storage_url, tmp_path / "data", symlinks=True)
    platform = Platform(configured(tmp_path))
    platform.instance.add_dynamic_partitions(PATCH, built.patches)
    return platform


def test_all_that_the_graph_makes_is_opened_without_it(built: Platform) -> None:
    reader = lc_platform.open(built.config)
    patch = built.patches[0]
    counted = reader.status()
    assert (counted.missing == 0).all()
    compared = reader.status(versions=True)
    assert (compared.current == compared.partitions).all()
    assert compared[list(counted)].equals(counted)
    rasters = {"raw_bands", "cloud_masks", "observation_stats", "features", "predictions"}
    for asset in (*sorted(rasters), "reference_rasters"):
        loaded = reader.dataset(asset, patch, YEAR).load()
        assert loaded.odc.geobox.shape == (32, 32), asset
        assert all("long_name" in layer.attrs for layer in loaded.values()), asset
    for asset in ("training_samples", "alignment", "observation_stats"):
        assert len(reader.table(asset, patch, YEAR)), asset
    assert set(reader.table("area_statistics", year=YEAR)["class"]) <= set(reader.classes.index)
    assert reader.table("objects", year=YEAR).empty
    assert reader.metrics(YEAR)["model_version"] == reader.model(YEAR).version
    maps = reader.dataset("mosaic", year=YEAR).load()
    assert {"land_cover", "confidence", "valid_observations"} <= set(maps)
    assert int(maps.land_cover.max()) in reader.classes.index
    middle = reader.patches.loc[patch].geometry.centroid
    told = reader.at(middle.x, middle.y, YEAR).attrs
    here = maps.land_cover.sel(x=told["x"], y=told["y"])
    assert (told["class"] or 0) == int(here)
    assert told["model_version"] == maps.attrs["model_version"]


def test_every_job_of_the_graph_makes_its_assets_and_passes_its_checks(built: Platform) -> None:
    results: dict[str, list[dg.ExecuteInProcessResult]] = built.results  # type: ignore[attr-defined]
    assert len(built.patches) == 4
    made: dict[str, set[str | None]] = {}
    for job, runs in results.items():
        for result in runs:
            assert result.success, f"{job}: {why(result)}"
            for asset, partition in materialized(result):
                assert asset in JOBS[job]
                made.setdefault(asset, set()).add(partition)
    for asset in ASSETS:
        partitions = {"patch": set(built.patches), "year": {str(YEAR)}}
        wanted: set[Any] = (
            set(built.patch_years)
            if dimensions(asset) == {"patch", "year"}
            else partitions[next(iter(dimensions(asset)))]
            if dimensions(asset)
            else {None}
        )
        assert made[asset] == wanted
    checked = {
        evaluation.check_name: evaluation
        for runs in results.values()
        for result in runs
        for evaluation in result.get_asset_check_evaluations()
    }
    assert set(checked) == {
        "grid_not_empty",
        "acquisition_with_data",
        "aligned",
        "learnt_from_reference",
        "every_class_has_samples",
        "predicted_by_this_model",
        "mosaic_complete",
    }
    for name, evaluation in checked.items():
        if name != "every_class_has_samples":  # a small area may lack a class
            assert evaluation.passed, evaluation
    assert checked["grid_not_empty"].metadata["patches"].value == 4


@pytest.mark.parametrize("asset", ASSETS)
def test_every_materialization_describes_itself(built: Platform, asset: str) -> None:
    events = built.materializations(asset)
    assert events
    for event in events:
        shown = {name: value.value for name, value in event.metadata.items()}
        patch = str(event.partition).split("|")[0] if "patch" in dimensions(asset) else None
        assert shown.get("patch") == patch
        assert shown.get("year") == (YEAR if "year" in dimensions(asset) else None)
        assert isinstance(shown["bytes"], int)
        assert shown["bytes"] > 0
        assert isinstance(shown["seconds"], float)
        where = built.store.path(key(asset, patch, shown.get("year")))  # type: ignore[arg-type]
        assert shown["path"] == where
        assert Path(where).exists()
        if asset in ("objects", "catalog"):  # none are given, and a list has no picture
            assert "preview" not in shown
            continue
        place = f"year={YEAR}&" if "year" in dimensions(asset) else "layer="
        assert str(shown["map"]).startswith("/map/#")
        assert place in str(shown["map"])
        image = decoded(str(shown["preview"]))
        assert 16 <= max(image.size) <= 64
        assert np.ptp(np.asarray(image.convert("RGB"))) > 0, "one colour shows nothing"


def decoded(markdown: str) -> Image.Image:
    """An image in place: Dagster shows those in markdown of less than 1,000 characters."""
    assert len(markdown) < 1000
    found = re.search(r"'data:image/(png|webp);base64,([^']+)'", markdown)
    assert found
    assert "width='320'" in markdown or "height='320'" in markdown
    return Image.open(io.BytesIO(base64.b64decode(found[2])))


def test_the_same_names_mean_the_same_on_every_page(built: Platform) -> None:
    def shown(asset: str) -> dict[str, Any]:
        return {n: v.value for n, v in built.materializations(asset)[0].metadata.items()}

    raw, masks, stats = (shown(a) for a in ("raw_bands", "cloud_masks", "observation_stats"))
    assert raw["rows"] == raw["columns"] == masks["rows"] == 32
    assert raw["acquisitions"] == masks["acquisitions"] == stats["acquisitions"] > 5
    for asset in ("raw_bands", "cloud_masks", "observation_stats", "features", "predictions"):
        assert 0 < shown(asset)["valid_percent"] <= 100
    versions = {
        shown(a)["model_version"]
        for a in ("model", "evaluation", "predictions", "held_out_predictions", "mosaic")
    }
    assert versions == {built.opened("model").version}
    assert shown("training_samples")["rows"] == len(
        built.opened("training_samples", shown("training_samples")["patch"])
    )


@pytest.mark.proof
@pytest.mark.slow
def test_features_that_are_not_stored_give_the_same_map_to_the_bit(
    built: Platform, tmp_path: Path
) -> None:
    other = Platform(configured(tmp_path, features={"stored": False}))
    for job, runs in other.all_jobs().items():
        assert all(result.success for result in runs), f"{job}: {[why(r) for r in runs]}"
    for patch in built.patches:
        np.testing.assert_array_equal(
            other.opened("features", patch).read(), built.opened("features", patch).read()
        )
        for layer in ("class", "confidence", "entropy"):
            stored, computed = (
                RasterCube(one.store, key("predictions", patch, YEAR)).read(layer)
                for one in (built, other)
            )
            np.testing.assert_array_equal(computed, stored)
    assert other.opened("model").version == built.opened("model").version
    assert other.opened("evaluation").metrics == built.opened("evaluation").metrics
    shown = {n: v.value for n, v in other.materializations("features")[0].metadata.items()}
    assert shown["bytes"] < 50_000, "a recipe, no pixels"


def test_one_patch_again_changes_no_other_and_gives_the_same(copied: Platform) -> None:
    before = contents(copied)
    again, others = copied.patches[1], [p for p in copied.patches if p != copied.patches[1]]
    old = copied.opened("features", again).read()
    for asset in JOBS["patch_year"]:
        copied.forget(asset, again)
    result = copied.launch("patch_year", [copied.patch_years[1]])
    assert result.success, why(result)
    assert set(materialized(result)) == {
        (asset, copied.patch_years[1]) for asset in JOBS["patch_year"]
    }
    np.testing.assert_array_equal(copied.opened("features", again).read(), old)
    after = contents(copied)
    assert {p for p in before if before[p] != after.get(p) and any(o in p for o in others)} == set()
    assert any(before[p] != after.get(p) for p in before if again in p)


def contents(platform: Platform) -> dict[str, tuple[int, bytes]]:
    """Time of change and content of every file in the store."""
    root = Path(platform.config.storage_url)
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.proof
@pytest.mark.slow
def test_when_the_area_shrinks_patches_go_and_what_stays_is_not_touched(copied: Platform) -> None:
    before = contents(copied)
    smaller = Platform(configured(copied.config.folder, columns=1), copied.instance)
    result = smaller.launch("grid")
    assert result.success, why(result)
    kept = smaller.patches
    assert len(kept) == 2
    after = contents(smaller)
    assert {p: c for p, c in before.items() if "patch_grid" not in p} == {
        p: c for p, c in after.items() if "patch_grid" not in p
    }
    # What there is of the patches that stay is of the same places: the map is joined from it.
    joined = smaller.launch("mosaicking", [str(YEAR)])
    assert joined.success, why(joined)
    (evaluation,) = joined.get_asset_check_evaluations()
    assert evaluation.passed
    larger = Platform(configured(copied.config.folder, columns=3), copied.instance)
    assert larger.launch("grid").success
    assert len(larger.patches) == 6
    assert set(kept) < set(larger.patches)
    joined = larger.launch("mosaicking", [str(YEAR)])
    assert joined.success, why(joined)
    (evaluation,) = joined.get_asset_check_evaluations()
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert evaluation.metadata["count"].value == 2


@pytest.mark.slow
def test_predictions_of_another_model_fail_their_check_and_become_no_mosaic(
    copied: Platform,
) -> None:
    before = contents(copied)
    other = Platform(configured(copied.config.folder, model={"num_iterations": 9}), copied.instance)
    assert other.launch("training", [str(YEAR)]).success
    refused = other.launch("mosaicking", [str(YEAR)])
    assert not refused.success
    version = other.opened("model").version
    said = re.escape(", ".join(copied.patches))
    assert re.search(
        rf"predictions of 4 of 4 patches \({said}\) come from another model than {version}\. "
        "Materialize predictions of these patches again",
        why(refused),
    )
    after = contents(other)
    assert {p: c for p, c in before.items() if p.startswith("mosaic")} == {
        p: c for p, c in after.items() if p.startswith("mosaic")
    }
    # Predicted again, they are this model's.
    assert other.launch("prediction", other.patch_years).success
    assert other.launch("mosaicking", [str(YEAR)]).success


class AnotherModels:
    """Writes predictions as if another model had made them."""

    def __init__(self, own: Format) -> None:
        self.own = own

    def write(self, store: Store, key: str, value: Any) -> int:
        value.attributes["model_version"] = "0123456789abcdef"
        return self.own.write(store, key, value)

    def open(self, store: Store, key: str) -> Any:
        return self.own.open(store, key)


def test_a_prediction_that_is_not_the_models_does_not_pass_its_gate(copied: Platform) -> None:
    manager = copied.definitions.resources["io_manager"]  # type: ignore[index]
    manager.formats["predictions"] = AnotherModels(manager.formats["predictions"])
    for patch in copied.patches[:2]:
        copied.forget("predictions", patch)
    result = copied.launch("prediction", copied.patch_years[:2])
    assert not result.success
    evaluations = result.get_asset_check_evaluations()
    assert [e.partition for e in evaluations] == copied.patch_years[:2]
    for patch, evaluation in zip(copied.patches, evaluations, strict=False):
        assert not evaluation.passed
        assert evaluation.blocking
        assert evaluation.metadata["failed"].value == [f"{patch} {YEAR}"]
        assert re.search(
            rf"predictions of 1 of 1 patches \({patch}\) come from another model than "
            rf"{copied.opened('model').version}. "
            "Materialize predictions of these patches again",
            str(evaluation.description),
        )


def test_a_patch_without_data_goes_no_further(copied: Platform) -> None:
    blind = copied.patches[0]
    shutil.rmtree(Path(copied.config.storage_url) / "cloud_masks")
    resource = copied.definitions.resources["platform"]  # type: ignore[index]
    resource.store.remove(key("raw_bands", blind, YEAR))
    box = copied.opened("patch_grid")[blind].geobox
    resource.source = Blind(open_source(copied.config), box)
    result = copied.launch("patch_year", [copied.patch_years[0]])
    assert not result.success
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert evaluation.description == (
        f"patch {blind}, {YEAR}: no acquisition has data on the patch. Check the archive's "
        "footprints, and the area (aoi)"
    )
    assert materialized(result) == [("raw_bands", copied.patch_years[0])]
    assert not (Path(copied.config.storage_url) / "cloud_masks").exists()


@pytest.mark.proof
@pytest.mark.slow
def test_a_patch_without_data_stops_no_other_of_its_chunk(
    copied: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(run.HOME_VARIABLE, str(tmp_path / "home"))
    data = Path(copied.config.storage_url)
    for asset in JOBS["patch_year"]:
        shutil.rmtree(data / asset)
    worker = run.Worker(copied.config, run.dagster_home(copied.config))
    worker.instance.add_dynamic_partitions(PATCH, copied.patches)
    blind = Partition(copied.patches[1], YEAR)
    resource = worker.definitions.resources["platform"]  # type: ignore[index]
    box = copied.opened("patch_grid")[copied.patches[1]].geobox
    resource.source = Blind(open_source(copied.config), box)
    places = tuple(Partition(patch, YEAR) for patch in copied.patches[:2])
    outcome = worker.run(run.Task("patch_year", JOBS["patch_year"], places))
    assert set(outcome.errors) == {blind}
    assert "no acquisition has data on the patch" in outcome.errors[blind]
    assert str(blind.patch) in outcome.errors[blind]
    for place in places:
        assert worker.exists("cloud_masks", place) == (place != blind)
        assert worker.exists("training_samples", place) == (place != blind)
    alone = worker.run(run.Task("patch_year", JOBS["patch_year"], (blind,)))
    assert "no acquisition has data on the patch" in alone.errors[blind]


@pytest.mark.proof
@pytest.mark.slow
def test_neither_workers_nor_chunks_change_the_result(
    built: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one was made in one process, of one patch and then of three together."""
    monkeypatch.setenv(run.HOME_VARIABLE, str(tmp_path / "home"))
    other = configured(tmp_path, processing={"chunk": 1, "window": 16, "threads": 2})
    report = run.run(other, silent, workers=2)
    assert report.succeeded, report.failures
    there = Platform(other)
    assert there.opened("model").text == built.opened("model").text
    assert there.opened("model").card == built.opened("model").card
    for patch in built.patches:
        np.testing.assert_array_equal(there.classes(patch), built.classes(patch))
    here = built.opened("evaluation").metrics
    assert there.opened("evaluation").metrics == here
