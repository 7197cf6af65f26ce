"""Intervals of scores from a bootstrap over blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import intervals
from lc_platform.eo import accuracy
from lc_platform.eo.bootstrap import score_differences, score_intervals

CLASSES = [(1, "cropland"), (4, "forest"), (200, "water")]
IDS = [1, 4, 200]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 6))
def test_bounds_are_those_of_pixels_that_are_drawn_block_by_block(seed: int, blocks: int) -> None:
    """The plain way: every draw's pixels are put together and counted."""
    rng = np.random.default_rng(seed)
    where = np.concatenate([np.arange(blocks), rng.integers(0, blocks, 60)])
    reference = rng.choice(IDS, len(where), p=(0.6, 0.3, 0.1)).astype(np.uint8)
    predicted = np.where(rng.random(len(where)) < 0.6, reference, rng.choice(IDS, len(where)))
    predicted = predicted.astype(np.uint8)
    found = score_intervals(
        accuracy.confusion_by_block(where, blocks, reference, predicted, IDS),
        seed=seed,
        draws=50,
        confidence=0.8,
    )
    again = np.random.default_rng((seed, 0))
    drawn: dict[str, list[float | None]] = {"overall": [], "macro": [], "precision": [], "f1": []}
    for times in again.multinomial(blocks - 1, np.full(blocks, 1 / blocks), 50):
        pixels = np.repeat(np.arange(len(where)), times[where])
        metrics = accuracy.metrics(
            accuracy.confusion(reference[pixels], predicted[pixels], IDS), CLASSES
        )
        drawn["overall"].append(metrics["overall_accuracy"])
        drawn["macro"].append(metrics["f1_macro"])
        drawn["precision"].append(metrics["per_class"]["forest"]["precision"])
        drawn["f1"].append(metrics["per_class"]["water"]["f1"])
    ours = {
        "overall": (found.low.overall_accuracy, found.high.overall_accuracy),
        "macro": (found.low.f1_macro, found.high.f1_macro),
        "precision": (found.low.precision[1], found.high.precision[1]),
        "f1": (found.low.f1[2], found.high.f1[2]),
    }
    for name, values in drawn.items():
        known = [value for value in values if value is not None]
        expected = np.percentile(known, [10, 90]) if known else [np.nan, np.nan]
        np.testing.assert_allclose(ours[name], expected, err_msg=name)


def test_intervals_hold_the_f1_of_all_ground_in_at_least_85_of_100() -> None:
    held = intervals.score_coverage(intervals.blocks_of_ground(), blocks=40, samples=100)
    assert {"f1_macro", "f1_weighted", "overall_accuracy", "F1 of water"} <= set(held)
    assert all(85 <= count <= 99 for count in held.values()), held


def test_pixels_of_one_block_are_no_more_than_the_block() -> None:
    # Ten times the pixels in the same blocks tell nothing more; ten times the blocks do.
    blocks = intervals.blocks_of_ground(30)
    few, same = score_intervals(blocks, seed=1), score_intervals(10 * blocks, seed=1)
    many = score_intervals(np.tile(blocks, (10, 1, 1)), seed=1)

    def width(found: object) -> float:
        return float(found.high.f1_macro - found.low.f1_macro)  # type: ignore[attr-defined]

    assert width(same) == pytest.approx(width(few))
    assert width(many) == pytest.approx(width(few) / np.sqrt(10), rel=0.25)


def better(blocks: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """The same blocks by a classifier that is right in a share of what was wrong."""
    wrong = np.where(np.eye(blocks.shape[1], dtype=np.bool_), 0, blocks)
    righted = np.random.default_rng(seed).binomial(wrong, share)
    found = blocks - righted
    for class_ in range(blocks.shape[1]):
        found[:, class_, class_] += righted[:, class_].sum(axis=1)
    return found


def test_a_difference_on_the_same_blocks_is_known_better_than_either() -> None:
    ground = intervals.blocks_of_ground()
    improved = better(ground, 0.1, 1)
    true = accuracy.scores(improved.sum(axis=0)).f1_weighted - (
        accuracy.scores(ground.sum(axis=0)).f1_weighted
    )
    held = 0
    for sample in range(100):
        chosen = np.random.default_rng(sample).choice(len(ground), 40, replace=False)
        found = score_differences(ground[chosen], improved[chosen], seed=sample, draws=500)
        held += int(found.low.f1_weighted <= true <= found.high.f1_weighted)
    alone = score_intervals(ground[chosen], seed=1, draws=500)
    width = found.high.f1_weighted - found.low.f1_weighted
    assert 85 <= held <= 99
    assert width < 0.5 * (alone.high.f1_weighted - alone.low.f1_weighted)
    assert found.value.f1_weighted == pytest.approx(
        accuracy.scores(improved[chosen].sum(axis=0)).f1_weighted
        - accuracy.scores(ground[chosen].sum(axis=0)).f1_weighted
    )


def test_a_classifier_is_no_better_than_itself() -> None:
    blocks = intervals.blocks_of_ground(30)
    found = score_differences(blocks, blocks, seed=1)
    assert found.low.f1.tolist() == found.high.f1.tolist() == [0] * 5
    with pytest.raises(ValueError, match="not of the same blocks"):
        score_differences(blocks, blocks[1:], seed=1)


def test_the_same_seed_gives_the_same_intervals() -> None:
    blocks = intervals.blocks_of_ground(30)
    one, same, other = (score_intervals(blocks, seed=seed) for seed in (3, 3, 4))
    assert one.low.f1.tolist() == same.low.f1.tolist()
    assert one.low.f1.tolist() != other.low.f1.tolist()
    assert one.value.f1.tolist() == other.value.f1.tolist()


def test_a_class_without_a_pixel_has_no_interval() -> None:
    blocks = np.zeros((4, 3, 3), np.int64)
    blocks[:, 0, 0], blocks[:, 1, 0] = 5, [1, 2, 3, 4]
    found = score_intervals(blocks, seed=1)
    assert np.isnan(found.low.f1[2])
    assert np.isnan(found.high.recall[2])
    assert np.isnan(found.value.precision[1])  # it is never predicted
    assert found.low.recall.tolist()[:2] == [1, 0]


@pytest.mark.parametrize("blocks", [0, 1])
def test_fewer_than_two_blocks_are_refused(blocks: int) -> None:
    matrices = np.zeros((5, 2, 2), np.int64)
    matrices[:blocks] = 3
    with pytest.raises(ValueError, match=f"{blocks} blocks? of ground with a reference"):
        score_intervals(matrices, seed=1)


def test_a_confidence_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        score_intervals(np.ones((5, 2, 2), np.int64), seed=1, confidence=95)
