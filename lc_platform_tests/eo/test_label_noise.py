"""Labels that are probably wrong."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import classification_methods
from lc_platform.eo import classifier as classify
from lc_platform.eo.label_noise import by_polygon, confident_joint, find_label_errors

IDS = (1, 2, 4, 7, 9, 200)
PRIORS = (0.3, 0.25, 0.2, 0.12, 0.08, 0.05)


class Reference(NamedTuple):
    """Out-of-fold probabilities of pixels in polygons of which some have another label than the
    ground has."""

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    polygons: NDArray[np.int64]
    mislabelled: NDArray[np.bool_]
    """(polygon,)"""
    true: NDArray[np.int64]
    """(polygon,), class ids."""


def reference(seed: int, rate: float = 0.1, polygons: int = 400, features: int = 12) -> Reference:
    """Polygons that differ from each other, of classes that a classifier tells apart in some 19 of
    20; each is classified by a model that was trained on others."""
    rng = np.random.default_rng(seed)
    true = rng.choice(len(IDS), polygons, p=PRIORS)
    mislabelled = rng.random(polygons) < rate
    label = np.where(mislabelled, (true + rng.integers(1, len(IDS), polygons)) % len(IDS), true)
    centres = rng.normal(0, 1.1, (len(IDS), features))[true] + rng.normal(
        0, 0.8, (polygons, features)
    )
    inside = np.repeat(np.arange(polygons), rng.integers(3, 25, polygons))
    values = (centres[inside] + rng.normal(0, 1, (len(inside), features))).astype(np.float32)
    labels = np.array(IDS)[label][inside]
    fold = rng.integers(0, 4, polygons)[inside]
    found = np.zeros((len(inside), len(IDS)), np.float32)
    for one in range(4):
        model = classification_methods.train(
            "lightgbm",
            values[fold != one],
            labels[fold != one],
            feature_names=[f"f{i}" for i in range(features)],
            parameters={"num_leaves": 15, "num_iterations": 40},
            seed=1,
            threads=1,
        )
        assert model.class_ids == IDS
        found[fold == one] = classify.probabilities(model, values[fold == one], threads=1)
    return Reference(found, labels, inside + 1, mislabelled, np.array(IDS)[true])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_most_mislabelled_polygons_are_found_and_few_others(seed: int) -> None:
    """60 % of them at a precision of 80 %."""
    made = reference(seed)
    polygons = by_polygon(made.probabilities, made.labels, made.polygons, IDS)
    found = find_label_errors(polygons.probabilities, polygons.labels, IDS)
    hits = found.wrong & made.mislabelled
    assert hits.sum() >= 0.6 * made.mislabelled.sum()
    assert hits.sum() >= 0.8 * found.wrong.sum()
    # What they are taken for is mostly what they are.
    assert (found.probable == made.true)[hits].mean() > 0.85


@pytest.mark.slow
def test_hardly_a_polygon_is_accused_where_no_label_is_wrong() -> None:
    made = reference(14, rate=0)
    polygons = by_polygon(made.probabilities, made.labels, made.polygons, IDS)
    assert find_label_errors(polygons.probabilities, polygons.labels, IDS).wrong.mean() < 0.02


@pytest.mark.slow
def test_pixels_are_examples_too() -> None:
    made = reference(15)
    found = find_label_errors(made.probabilities, made.labels, IDS)
    wrong = made.mislabelled[made.polygons - 1]
    assert (found.wrong & wrong).sum() >= 0.6 * wrong.sum()
    assert (found.probable != made.labels).tolist() == found.wrong.tolist()


examples = st.integers(2, 4).flatmap(
    lambda classes: st.tuples(
        st.just(classes), st.integers(1, 40), st.integers(0, 2**32), st.floats(0.2, 3)
    )
)


def drawn(given_: tuple[int, int, int, float]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    classes, count, seed, sharpness = given_
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, sharpness), count), rng.integers(0, classes, count)


@settings(max_examples=100, deadline=None)
@given(examples)
def test_the_joint_distribution_is_that_of_the_paper(given_: tuple[int, int, int, float]) -> None:
    """The plain way, example by example."""
    probabilities, labels = drawn(given_)
    classes = probabilities.shape[1]
    threshold = {c: probabilities[labels == c, c].mean() for c in set(labels.tolist())}
    counts = np.zeros((classes, classes))
    for p, label in zip(probabilities, labels, strict=True):
        # A hair's breadth for sums in another order.
        sure = {c: p[c] for c in threshold if p[c] >= threshold[c] - 1e-12}
        if sure:
            counts[label, max(sure, key=sure.__getitem__)] += 1
    found = confident_joint(probabilities, labels)
    for label in range(classes):
        number = (labels == label).sum()
        if counts[label].sum():
            expected = counts[label] / counts[label].sum() * number
            np.testing.assert_allclose(found[label], expected, atol=1e-9)
        else:
            assert found[label].sum() == pytest.approx(number)


@settings(max_examples=100, deadline=None)
@given(examples, st.sampled_from([0.0, 0.25, 0.9]))
def test_what_is_found_is_as_many_as_the_joint_says_and_those_furthest_ahead(
    given_: tuple[int, int, int, float], ahead: float
) -> None:
    probabilities, columns = drawn(given_)
    ids = [10 * (c + 1) for c in range(probabilities.shape[1])]
    labels = np.array(ids)[columns]
    found = find_label_errors(probabilities, labels, ids, ahead=ahead)
    assert found.joint.sum() == pytest.approx(len(labels))
    most = sum(round(found.joint[a, b]) for a, b in np.ndindex(found.joint.shape) if a != b)
    assert found.wrong.sum() <= most
    for example in np.flatnonzero(found.wrong):
        own = probabilities[example, columns[example]]
        assert probabilities[example].max() - own >= ahead
        assert found.probable[example] == ids[int(probabilities[example].argmax())]
        assert found.margin[example] == pytest.approx(own - probabilities[example].max())
    assert (found.probable == labels)[~found.wrong].all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_a_polygon_is_the_mean_of_its_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygons = rng.integers(0, 6, 40)
    given_ = rng.dirichlet(np.ones(6), 40)
    labels = np.array(IDS)[polygons % 6]
    found = by_polygon(given_, labels, polygons, IDS)
    assert found.polygons.tolist() == sorted(set(polygons.tolist()) - {0})
    for name, label, pixels, mean in zip(
        found.polygons, found.labels, found.pixels, found.probabilities, strict=True
    ):
        own = polygons == name
        assert label == IDS[name % 6]
        assert pixels == own.sum()
        np.testing.assert_allclose(mean, given_[own].mean(axis=0))


def three_pixels_of_one_class() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    labels = np.repeat([1, 2, 4], [300, 300, 3])
    sure = np.eye(3)[np.searchsorted([1, 2, 4], labels)] * 0.8
    return sure + 0.2 * rng.dirichlet(np.ones(3), len(labels)), labels


def test_a_class_with_three_pixels_does_no_harm() -> None:
    probabilities, labels = three_pixels_of_one_class()
    assert not find_label_errors(probabilities, labels, (1, 2, 4)).wrong.any()


def test_a_class_that_nothing_is_labelled_as_is_never_probable() -> None:
    probabilities, labels = three_pixels_of_one_class()
    kept = labels != 4
    found = find_label_errors(probabilities[kept], labels[kept], (1, 2, 4))
    assert not found.wrong.any()
    assert found.joint[2].tolist() == [0, 0, 0]


def arguments(**changed: Any) -> dict[str, Any]:
    probabilities, labels = three_pixels_of_one_class()
    return {"probabilities": probabilities, "labels": labels, "class_ids": (1, 2, 4)} | changed


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (arguments(probabilities=np.full((603, 3), 0.5)), "do not sum to one"),
        (arguments(labels=np.full(603, 3)), "have class 3"),
        (arguments(probabilities=np.ones((603, 1)), class_ids=(1,)), "two to tell apart"),
    ],
)
def test_examples_that_cannot_be_are_refused(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        find_label_errors(**given_)


def test_a_polygon_of_two_labels_is_refused_by_name() -> None:
    given_ = arguments()
    polygons = np.repeat([8, 9], [302, 301])
    with pytest.raises(ValueError, match=r"Polygon 8 has pixels of class 1 and of class 2"):
        by_polygon(given_["probabilities"], given_["labels"], polygons, (1, 2, 4))
    with pytest.raises(ValueError, match="differ"):
        by_polygon(given_["probabilities"], given_["labels"], polygons[1:], (1, 2, 4))
