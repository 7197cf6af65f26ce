"""Quality of a map."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lc_platform.eo import accuracy

CLASSES = [(1, "cropland"), (4, "forest"), (200, "water")]
IDS = [1, 4, 200]


def counts_of(pairs: dict[tuple[int, int], int]) -> accuracy.Confusion:
    reference = np.repeat([pair[0] for pair in pairs], list(pairs.values())).astype(np.uint8)
    predicted = np.repeat([pair[1] for pair in pairs], list(pairs.values())).astype(np.uint8)
    return accuracy.confusion(reference, predicted, IDS)


def test_rows_are_the_reference_and_columns_the_prediction() -> None:
    counts = counts_of({(1, 1): 5, (1, 4): 2, (4, 200): 3})
    assert counts.matrix.tolist() == [[5, 2, 0], [0, 0, 3], [0, 0, 0]]
    assert counts.matrix.dtype == np.int64


def test_the_most_frequent_class_is_that_of_the_reference_and_not_of_the_map() -> None:
    counts = counts_of({(1, 200): 2, (4, 200): 5, (200, 200): 3})
    assert accuracy.no_information_rate(counts.matrix) == (1, 0.5)
    assert accuracy.no_information_rate(accuracy.Confusion.empty(IDS).matrix) is None


def test_a_pixel_without_reference_is_not_counted() -> None:
    counts = counts_of({(0, 1): 4, (0, 0): 5, (1, 1): 1})
    assert counts.matrix.sum() == 1
    assert counts.unclassified.sum() == 0


def test_a_pixel_without_prediction_is_counted_apart() -> None:
    counts = counts_of({(1, 0): 4, (200, 0): 1, (1, 1): 6})
    assert counts.matrix.sum() == 6
    assert counts.unclassified.tolist() == [4, 0, 1]
    found = accuracy.metrics(counts, CLASSES)
    assert (found["test_pixels"], found["unclassified_pixels"]) == (6, 5)
    assert found["overall_accuracy"] == 1


def test_pixels_that_are_left_out_are_not_counted() -> None:
    reference = np.array([[1, 1], [4, 4]], np.uint8)
    predicted = np.array([[1, 4], [4, 0]], np.uint8)
    ambiguous = np.array([[False, True], [False, True]])
    counts = accuracy.confusion(reference, predicted, IDS, left_out=ambiguous)
    assert counts.matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert counts.unclassified.sum() == 0
    assert reference.tolist() == [[1, 1], [4, 4]]


def test_windows_add_up_to_the_whole() -> None:
    generator = np.random.default_rng(2)
    reference, predicted = generator.choice([0, *IDS], (2, 20, 30)).astype(np.uint8)
    whole = accuracy.confusion(reference, predicted, IDS)
    total = accuracy.Confusion.empty(IDS)
    for rows in (np.s_[:7], np.s_[7:8], np.s_[8:]):
        total = total + accuracy.confusion(reference[rows], predicted[rows], IDS)
    np.testing.assert_array_equal(total.matrix, whole.matrix)
    np.testing.assert_array_equal(total.unclassified, whole.unclassified)
    assert whole.matrix.sum() + whole.unclassified.sum() == np.count_nonzero(reference)


def test_counts_of_other_classes_are_not_added() -> None:
    with pytest.raises(ValueError, match=r"\(1, 4\) and \(1, 5\) cannot be added"):
        accuracy.Confusion.empty([1, 4]) + accuracy.Confusion.empty([1, 5])


@pytest.mark.parametrize(("pair", "side"), [((7, 1), "reference"), ((1, 7), "prediction")])
def test_a_class_that_is_not_in_the_list_is_refused(pair: tuple[int, int], side: str) -> None:
    with pytest.raises(ValueError, match=rf"The {side} has class 7; the classes are \(1, 4, 200\)"):
        counts_of({pair: 1})


def test_arrays_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        accuracy.confusion(np.ones((2, 2), np.uint8), np.ones(2, np.uint8), [1])


def test_metrics_are_those_worked_out_by_hand() -> None:
    # Of 10 cropland pixels 8 are right and 2 forest; of 6 forest 3 are right, 2 cropland, 1 water;
    # of 4 water all are right.
    counts = counts_of({(1, 1): 8, (1, 4): 2, (4, 1): 2, (4, 4): 3, (4, 200): 1, (200, 200): 4})
    found = accuracy.metrics(counts, CLASSES)
    f1 = {"cropland": 16 / 20, "forest": 6 / 11, "water": 8 / 9}
    assert found == {
        "classes": [
            {"id": 1, "name": "cropland"},
            {"id": 4, "name": "forest"},
            {"id": 200, "name": "water"},
        ],
        "overall_accuracy": 15 / 20,
        "f1_weighted": pytest.approx(
            (10 * f1["cropland"] + 6 * f1["forest"] + 4 * f1["water"]) / 20
        ),
        "f1_macro": pytest.approx(sum(f1.values()) / 3),
        "per_class": {
            "cropland": {"precision": 8 / 10, "recall": 8 / 10, "f1": 16 / 20, "support": 10},
            "forest": {"precision": 3 / 5, "recall": 3 / 6, "f1": 6 / 11, "support": 6},
            "water": {"precision": 4 / 5, "recall": 1, "f1": 8 / 9, "support": 4},
        },
        "confusion_matrix": [[8, 2, 0], [2, 3, 1], [0, 0, 4]],
        "test_pixels": 20,
        "unclassified_pixels": 0,
    }
    assert json.loads(json.dumps(found)) == found


def test_a_class_without_test_pixels_has_no_numbers_and_no_say_in_the_macro_mean() -> None:
    found = accuracy.metrics(counts_of({(1, 1): 3, (4, 4): 1, (4, 200): 1}), CLASSES)
    assert found["per_class"]["water"] == {
        "precision": None,
        "recall": None,
        "f1": None,
        "support": 0,
    }
    # Forest: 2 * 1 / (2 + 1) = 2 / 3.
    assert found["f1_macro"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["f1_weighted"] == pytest.approx((3 * 1 + 2 * 2 / 3) / 5)


def test_a_class_that_is_never_predicted_has_no_precision_and_counts_as_missed() -> None:
    found = accuracy.metrics(counts_of({(1, 1): 3, (4, 1): 1}), CLASSES)
    assert found["per_class"]["forest"] == {
        "precision": None,
        "recall": 0,
        "f1": 0,
        "support": 1,
    }
    assert found["f1_macro"] == pytest.approx((6 / 7 + 0) / 2)


def test_without_a_test_pixel_there_is_no_accuracy() -> None:
    found = accuracy.metrics(accuracy.Confusion.empty(IDS), CLASSES)
    assert (found["overall_accuracy"], found["f1_weighted"], found["f1_macro"]) == (None,) * 3
    assert found["test_pixels"] == 0


def test_classes_that_are_not_those_counted_are_refused() -> None:
    with pytest.raises(ValueError, match="are not those counted"):
        accuracy.metrics(accuracy.Confusion.empty([1, 4]), CLASSES)


def test_blocks_add_up_to_all_pixels() -> None:
    generator = np.random.default_rng(2)
    reference, predicted = generator.choice([0, *IDS], (2, 500)).astype(np.uint8)
    blocks = generator.integers(0, 7, 500)
    found = accuracy.confusion_by_block(blocks, 8, reference, predicted, IDS)
    assert found.shape == (8, 3, 3)
    for block in range(8):
        own = accuracy.confusion(reference[blocks == block], predicted[blocks == block], IDS)
        np.testing.assert_array_equal(found[block], own.matrix)


@pytest.mark.parametrize(
    ("blocks", "reference", "said"),
    [
        ([0, 5], [1, 4], "Blocks 0 to 5 are not within 0 to 4"),
        ([-1, 2], [1, 4], "Blocks -1 to 2"),
        ([0, 2], [1, 7], "The reference has class 7"),
        ([0], [1, 4], "differ"),
    ],
)
def test_blocks_that_cannot_be_counted_are_refused(
    blocks: list[int], reference: list[int], said: str
) -> None:
    labels = np.array(reference, np.uint8)
    with pytest.raises(ValueError, match=said):
        accuracy.confusion_by_block(np.array(blocks), 5, labels, np.ones(2, np.uint8), IDS)


def test_scores_of_many_matrices_are_those_of_each() -> None:
    matrices = np.random.default_rng(3).integers(0, 9, (4, 5, 3, 3))
    found = accuracy.scores(matrices)
    for at in np.ndindex(4, 5):
        counts = accuracy.Confusion((1, 4, 200), matrices[at], np.zeros(3, np.int64))
        one = accuracy.metrics(counts, CLASSES)
        assert found.overall_accuracy[at] == one["overall_accuracy"]
        assert found.f1_weighted[at] == one["f1_weighted"]
        assert found.f1_macro[at] == one["f1_macro"]
        assert found.recall[at].tolist() == [c["recall"] for c in one["per_class"].values()]
        assert found.balanced_accuracy[at] == pytest.approx(found.recall[at].mean())


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_there_are() -> None:
    matrix = np.array([[9, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert accuracy.scores(matrix).balanced_accuracy == pytest.approx((0.9 + 0.5) / 2)


def test_a_confusion_matrix_is_shown_by_reference_and_by_map() -> None:
    matrix = np.array([[3, 1, 0], [1, 0, 0], [0, 0, 0]])
    by_reference, by_map = accuracy.shares(matrix, "reference"), accuracy.shares(matrix, "map")
    assert by_reference[:2].tolist() == [[0.75, 0.25, 0], [1, 0, 0]]
    assert np.isnan(by_reference[2]).all()
    assert by_map[:, :2].tolist() == [[0.75, 1], [0.25, 0], [0, 0]]
    assert np.isnan(by_map[:, 2]).all()
