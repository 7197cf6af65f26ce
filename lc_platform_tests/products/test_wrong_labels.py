"""Labels of the reference that are probably wrong: found, listed, and left out."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.artefacts.formats import formats
from lc_platform.eo import classification_methods
from lc_platform.eo import classifier as classify
from lc_platform.eo.classifier import Classifier
from lc_platform.products.model import LandCoverModel, train
from lc_platform.products.options import TrainingOptions
from lc_platform.products.training_samples import Samples
from lc_platform.storage.store import Store
from lc_platform_tests.graphs import YEAR, Platform, configured

pytestmark = pytest.mark.slow

CLASSES = {1: "maize", 4: "meadow", 7: "forest", 200: "town"}
OPTIONS = TrainingOptions(
    classes=CLASSES,
    parameters={"num_iterations": 20, "min_data_in_leaf": 5, "num_leaves": 15},
    folds=4,
    calibration="temperature",
    seed=42,
    threads=1,
)
PATCHES, POLYGONS, FEATURES = 8, 60, 8


@dataclass(frozen=True)
class Ground:
    """Samples of polygons that differ from each other, some of which have another label."""

    samples: dict[str, Samples]
    true: NDArray[np.int64]
    """(polygon,), class ids; polygon 1 comes first."""
    mislabelled: NDArray[np.bool_]
    probe: NDArray[np.float32]
    """(pixel, feature), of other polygons."""
    probe_true: NDArray[np.int64]


def ground(rate: float, seed: int = 3) -> Ground:
    rng = np.random.default_rng(seed)
    ids = np.array([*CLASSES])
    count = PATCHES * POLYGONS
    means = rng.normal(0, 1.3, (len(ids), FEATURES))

    def drawn(polygons: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        of = rng.integers(0, len(ids), polygons)
        centres = means[of] + rng.normal(0, 0.7, (polygons, FEATURES))
        inside = np.repeat(np.arange(polygons), 8)
        values = centres[inside] + rng.normal(0, 1, (len(inside), FEATURES))
        return of, inside, values.astype(np.float32)

    true, inside, values = drawn(count)
    probe_true, probe_inside, probe = drawn(400)
    wrong = np.random.default_rng(seed + 1).random(count) < rate
    others = (true + np.random.default_rng(seed + 2).integers(1, len(ids), count)) % len(ids)
    labels = ids[np.where(wrong, others, true)]
    samples = {}
    for patch in range(PATCHES):
        here = inside // POLYGONS == patch
        at = np.arange(here.sum(), dtype=np.int32)
        samples[f"p{patch}"] = Samples(
            f"p{patch}",
            YEAR,
            tuple(f"f{i}" for i in range(FEATURES)),
            values[here],
            labels[inside[here]].astype(np.uint8),
            at,
            at,
            (inside[here] + 1).astype(np.uint32),
        )
    return Ground(samples, ids[true], wrong, probe, ids[probe_true][probe_inside])


def accuracy(classifier: Classifier, made: Ground) -> float:
    found = classify.probabilities(classifier, made.probe, threads=1).argmax(axis=1)
    return float((np.array(classifier.class_ids)[found] == made.probe_true).mean())


@pytest.fixture(scope="module")
def noisy() -> Ground:
    return ground(0.1)


@pytest.fixture(scope="module")
def kept(noisy: Ground) -> LandCoverModel:
    return train(noisy.samples, OPTIONS, year=YEAR)


@pytest.fixture(scope="module")
def left_out(noisy: Ground) -> LandCoverModel:
    return train(noisy.samples, replace(OPTIONS, wrong_labels="leave_out"), year=YEAR)


def test_most_wrong_labels_are_found_with_few_others(noisy: Ground, kept: LandCoverModel) -> None:
    """60 % of them at a precision of 80 %."""
    found = kept.wrong_labels
    assert found is not None
    right = noisy.mislabelled[found.polygons - 1]
    assert right.sum() >= 0.6 * noisy.mislabelled.sum()
    assert right.mean() >= 0.8
    assert (found.probable == noisy.true[found.polygons - 1])[right].mean() > 0.85
    assert (np.diff(found.margin) >= 0).all()
    assert (found.samples == 8).all()
    told = kept.card["wrong_labels"]
    assert told["judged_polygons"] == PATCHES * POLYGONS
    assert told["wrong_polygons"] == len(found)
    assert sum(one["wrong"] for one in told["by_class"].values()) == len(found)


def test_by_default_they_are_listed_and_nothing_else_changes(
    noisy: Ground, kept: LandCoverModel
) -> None:
    assert kept.card["wrong_labels"]["treatment"] == "keep"
    assert kept.card["wrong_labels"]["left_out_samples"] == 0
    # The classifier is that of a model without folds, of all patches.
    folded = {p: one for p, one in noisy.samples.items() if p in kept.card["training_patches"]}
    alone = classification_methods.train(
        OPTIONS.method,
        [one.features for one in folded.values()],
        np.concatenate([one.classes for one in folded.values()]),
        feature_names=kept.card["features"],
        parameters=OPTIONS.parameters,
        seed=OPTIONS.seed,
        balanced=True,
        threads=1,
    )
    np.testing.assert_array_equal(
        alone.probabilities(noisy.probe), kept.classifier.probabilities(noisy.probe)
    )


def test_training_without_them_is_as_good_as_on_a_reference_without_mistakes(
    noisy: Ground, kept: LandCoverModel, left_out: LandCoverModel
) -> None:
    """Less 0.5 points."""
    clean = accuracy(train(ground(0.0).samples, OPTIONS, year=YEAR).classifier, noisy)
    assert accuracy(left_out.classifier, noisy) >= clean - 0.005
    # No classifier of the folds has seen them either.
    assert all(accuracy(one, noisy) > clean - 0.03 for one in left_out.fold_models)
    found, told = left_out.wrong_labels, left_out.card["wrong_labels"]
    assert found is not None
    assert found.left_out.all()
    assert told["treatment"] == "leave_out"
    assert told["left_out_polygons"] == len(found)
    assert told["left_out_samples"] == 8 * len(found)
    assert kept.text != left_out.text


def test_they_are_stored_with_the_model(tmp_path: Path, left_out: LandCoverModel) -> None:
    store = Store(str(tmp_path))
    formats()["model"].write(store, "model/2023", left_out)
    again = formats()["model"].open(store, "model/2023")
    assert again.version == left_out.version
    assert left_out.wrong_labels is not None
    for name, values in left_out.wrong_labels.columns.items():
        np.testing.assert_array_equal(again.wrong_labels.columns[name], values)


def test_a_class_that_is_in_one_block_alone_is_not_taken_for_a_mistake(noisy: Ground) -> None:
    """The classifier that its polygons are judged by has not learnt it."""
    first, rest = "p0", [f"p{i}" for i in range(1, PATCHES)]
    town = {p: noisy.samples[p] for p in rest}
    for patch, one in town.items():
        at = one.classes != 200
        town[patch] = chosen(one, at)
    made = {first: noisy.samples[first], **town}
    found = train(made, replace(OPTIONS, wrong_labels="leave_out"), year=YEAR)
    assert found.wrong_labels is not None
    assert not (found.wrong_labels.labels == 200).any()
    assert 200 in found.classifier.class_ids


def chosen(one: Samples, at: NDArray[np.bool_]) -> Samples:
    names = ("features", "classes", "rows", "columns", "polygons")
    return replace(one, **{name: getattr(one, name)[at] for name in names})


def test_a_class_that_cannot_be_told_apart_is_not_left_out(noisy: Ground) -> None:
    """Some polygons of all kinds are called maize, and what was maize or town is called forest."""
    rng = np.random.default_rng(8)
    made = {}
    for patch, one in noisy.samples.items():
        renamed = np.isin(one.polygons, np.unique(one.polygons)[rng.random(POLYGONS) < 0.08])
        classes = np.where(renamed & (one.classes != 200), 1, one.classes)
        classes[(one.classes == 200) | ((one.classes == 1) & ~renamed)] = 7
        made[patch] = replace(one, classes=classes.astype(np.uint8))
    found = train(made, replace(OPTIONS, wrong_labels="leave_out"), year=YEAR)
    assert found.wrong_labels is not None
    accused = found.wrong_labels.labels == 1
    judged = found.card["wrong_labels"]["by_class"]["maize"]
    assert judged["wrong"] > judged["judged"] / 2
    assert not found.wrong_labels.left_out[accused].any()
    assert any(
        said.startswith("class maize: the labels of ") and "none of them is left out" in said
        for said in found.card["split_warnings"]
    )


def test_samples_without_polygons_are_not_judged(noisy: Ground) -> None:
    """Those of a reference that is a raster."""
    bare = {
        p: replace(one, polygons=np.zeros_like(one.polygons)) for p, one in noisy.samples.items()
    }
    found = train(bare, replace(OPTIONS, wrong_labels="leave_out"), year=YEAR)
    assert found.wrong_labels is not None
    assert len(found.wrong_labels) == 0
    assert found.card["wrong_labels"]["judged_polygons"] == 0


@pytest.mark.proof
def test_a_configuration_leaves_wrong_labels_out_and_shows_where_they_are(tmp_path: Path) -> None:
    platform = Platform(
        configured(
            tmp_path,
            2,
            2,
            validation={"folds": 2, "wrong_labels": "leave_out"},
            imagery={"simulation": {"mistakes": {"mislabelled": 0.3}}},
        )
    )
    done = platform.all_jobs()
    assert all(run.success for runs in done.values() for run in runs)
    card = platform.opened("model").card["wrong_labels"]
    assert card["treatment"] == "leave_out"
    assert card["left_out_polygons"] > 0
    folder = Path(platform.store.path(f"evaluation/{YEAR}"))
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert metrics["wrong_labels"] == card
    table = geopandas.read_file(folder / "label_errors.gpkg", layer="label_errors")
    assert len(table) == card["wrong_polygons"]
    assert set(table.columns) == {
        *("polygon", "label", "probable_class", "probability", "margin", "samples", "left_out"),
        "geometry",
    }
    assert table.left_out.sum() == card["left_out_polygons"]
    assert (folder / "label_errors.png").stat().st_size > 5000
    # The outlines are those of the simulated parcels around the patches.
    patches = platform.opened("patch_grid").patches
    drawn = geopandas.GeoSeries(
        [patch.geobox.extent.to_crs("EPSG:4326").geom for patch in patches], crs="EPSG:4326"
    ).union_all()
    assert table.geometry.intersects(drawn).all()
