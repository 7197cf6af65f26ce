"""The say that regions have at a place, and their classifiers together."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.affinity import translate

from lc_platform.eo import classification_methods, classifier
from lc_platform.eo.regional import Regional
from lc_platform.eo.regions import NODES, Borders, Weights, blended

BLEND = 200.0
WEST = shapely.Polygon([(-5000, -5000), (0, -5000), (300, 0), (0, 5000), (-5000, 5000)])
NORTH = shapely.Polygon([(0, 5000), (300, 0), (5000, 0), (5000, 5000)])
SOUTH = shapely.Polygon([(0, -5000), (300, 0), (5000, 0), (5000, -5000)])
THREE = Weights(Borders((WEST, NORTH, SOUTH)), BLEND)
"""They meet at (300, 0), and there is nothing beyond 5000."""
PLACE = st.floats(-6000, 6000)


def test_across_a_border_the_weights_are_linear_in_the_distance_to_it() -> None:
    apart = np.array([-500.0, -200, -100, 0, 100, 200, 500])
    found = blended(np.stack([apart, -apart]), BLEND)
    np.testing.assert_allclose(found[0], [0, 0, 0.25, 0.5, 0.75, 1, 1])
    np.testing.assert_allclose(found[1], 1 - found[0])


def test_a_place_in_no_region_is_of_the_nearest_and_of_those_that_are_hardly_further() -> None:
    found = blended(np.array([[-900.0, -900, -900], [-900, -1000, -1100], [-4e6] * 3]), BLEND)
    np.testing.assert_allclose(found, [[0.5, 2 / 3, 1], [0.5, 1 / 3, 0], [0, 0, 0]])


def test_a_blending_distance_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not above 0"):
        blended(np.zeros((2, 1)), 0)


@given(st.lists(st.tuples(PLACE, PLACE), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_weights_are_one_together_and_hardly_differ_between_neighbours(
    places: list[tuple[float, float]],
) -> None:
    x, y = np.array(places).T
    here, beside = THREE.at(x, y), THREE.at(x + 1, y)
    assert ((here >= 0) & (here <= 1)).all()
    np.testing.assert_allclose(here.sum(axis=0), 1, atol=1e-6)
    # A metre changes a distance by a metre at most, so a weight by 1 / (2 * 200) before they are
    # divided by their sum, which is at least a half and changes by three times that.
    assert np.abs(here - beside).max() <= 8 / (2 * BLEND)


@given(st.integers(-300, 300), st.integers(-300, 300), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_a_place_has_the_same_weights_in_every_window_to_the_bit(
    left: int, low: int, width: int, height: int
) -> None:
    x = (np.arange(left, left + width) + 0.5) * 10
    y = (np.arange(low, low + height) + 0.5)[:, np.newaxis] * 10
    whole = THREE.at(x, y)
    at = width // 2, height // 3
    np.testing.assert_array_equal(whole[:, at[1] :, at[0] :], THREE.at(x[at[0] :], y[at[1] :]))
    np.testing.assert_array_equal(whole[:, at[1], at[0]], THREE.at(x[at[0]], y[at[1]])[:, 0])


def test_between_the_nodes_of_the_lattice_weights_are_near_those_of_the_distance_itself() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-4900, 4900, (2, 2000))
    points = shapely.points(x, y)
    # By shapely's own distance to each polygon's border, and no lattice.
    apart = np.stack(
        [
            np.where(shapely.contains_xy(one, x, y), 1, -1)
            * shapely.distance(shapely.boundary(one), points)
            for one in THREE.borders.polygons
        ]
    )
    found = THREE.at(x, y)
    # A node is at most a cell's diagonal away, and a weight changes as above.
    assert np.abs(found - blended(apart, BLEND)).max() <= 4 * np.sqrt(2) / NODES
    far = (np.abs(apart) > 2 * BLEND).all(axis=0)
    np.testing.assert_array_equal(found[:, far], blended(apart[:, far], BLEND))


def test_where_regions_lie_does_not_matter_but_by_what_is_between_them() -> None:
    moved = [translate(one, 512000, 5_100_000) for one in THREE.borders.polygons]
    x, y = np.meshgrid(np.arange(-600.0, 600, 12.5), np.arange(-600.0, 600, 12.5))
    there = Weights(Borders(moved), BLEND).at(x + 512000, y + 5_100_000)
    np.testing.assert_allclose(there, THREE.at(x, y), atol=1e-6)  # a multiple of 200 / 16 away


# Classifiers


def _trained(classes: tuple[int, ...], seed: int) -> classifier.ProbabilityModel:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.array(classes, np.uint8), 30)
    values = (rng.normal(0, 1, (len(labels), 2)) + labels[:, None] / 5).astype(np.float32)
    return classification_methods.train(
        "lightgbm", values, labels, feature_names=("a", "b"), seed=1, threads=1,
        parameters={"num_iterations": 4, "min_data_in_leaf": 3},
    )  # fmt: skip


@pytest.fixture(scope="module")
def regional() -> Regional:
    return Regional(
        ("coast", "hills"), (_trained((3, 20), 1), _trained((7, 20, 30), 2)), (3, 7, 20, 30)
    )


@pytest.fixture(scope="module")
def values() -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(3, 3, (500, 2)).astype(np.float32)


def test_probabilities_are_the_mean_of_the_regions_by_weight_on_all_classes(
    regional: Regional, values: NDArray[np.float32]
) -> None:
    share = np.random.default_rng(4).random(len(values)).astype(np.float32)
    share[:100], share[100:200] = 0, 1
    weights = np.stack([share, 1 - share], axis=1)
    found = classifier.probabilities(regional, values, weights=weights, threads=1)
    coast, hills = (one.probabilities(values, threads=1) for one in regional.members)
    expected = np.zeros((len(values), 4))
    expected[:, [0, 2]] += weights[:, :1] * coast
    expected[:, [1, 2, 3]] += weights[:, 1:] * hills
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    # Where one region has all the say, its probabilities are what they are.
    np.testing.assert_array_equal(found[:100][:, [1, 2, 3]], hills[:100])
    np.testing.assert_array_equal(found[100:200][:, [0, 2]], coast[100:200])


def test_a_text_brings_back_the_classifiers_of_all_regions(
    regional: Regional, values: NDArray[np.float32]
) -> None:
    text = regional.to_text()
    read = classification_methods.from_text(text, regional.class_ids, ("a", "b"), {})
    weights = np.full((len(values), 2), 0.5, np.float32)
    assert isinstance(read, Regional)
    np.testing.assert_array_equal(read.blended(values, weights), regional.blended(values, weights))
    assert read.to_text() == text
    with pytest.raises(ValueError, match="Region hills tells class 7"):
        classification_methods.from_text(text, (3, 20, 30), ("a", "b"), {})


def test_weights_that_are_missing_or_of_others_are_refused(
    regional: Regional, values: NDArray[np.float32]
) -> None:
    with pytest.raises(ValueError, match="2 regions needs their weights"):
        classifier.probabilities(regional, values)
    with pytest.raises(ValueError, match=r"Weights \(500, 3\) do not agree"):
        classifier.probabilities(regional, values, weights=np.zeros((500, 3), np.float32))
    with pytest.raises(ValueError, match="has no parts"):
        classifier.probabilities(
            regional.members[0], values, weights=np.zeros((500, 2), np.float32)
        )
