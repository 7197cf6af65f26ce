"""Areas and accuracies from a stratified sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import intervals
from lc_platform.eo import area_estimation as estimation
from lc_platform.eo.area_estimation import AreaEstimates, count_error_matrix, count_points, estimate

DEFORESTATION = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
"""Olofsson et al. (2014), table 8: rows are the map's deforestation, forest gain, stable forest and
stable non-forest."""
SHARES = (0.020, 0.015, 0.320, 0.645)
HECTARES = 900_000


def deforestation() -> AreaEstimates:
    return estimate(count_error_matrix(DEFORESTATION, SHARES, (1, 2, 3, 4)), HECTARES)


def test_the_areas_of_olofsson_2014_are_reproduced() -> None:
    area = deforestation().area
    np.testing.assert_array_equal(area.value.round(), [21158, 11686, 285770, 581386])
    # The paper takes 1.96 for the normal quantile, here it is 1.95996.
    paper = [6158, 3756, 15510, 16282]
    np.testing.assert_array_equal((1.96 * area.standard_error).round(), paper)
    np.testing.assert_allclose(area.margin, paper, atol=1)


def test_the_accuracies_of_olofsson_2014_are_reproduced() -> None:
    # Section 5.2: overall 0.95 +- 0.02; user's 0.88 +- 0.07, 0.73 +- 0.10, 0.93 +- 0.04,
    # 0.96 +- 0.02; producer's 0.75 +- 0.21, 0.85 +- 0.25, 0.93 +- 0.03, 0.96 +- 0.02.
    found = deforestation()
    assert found.overall_accuracy.value.round(2) == 0.95
    assert found.overall_accuracy.margin.round(2) == 0.02
    assert found.users_accuracy.value.round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert found.users_accuracy.margin.round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert found.producers_accuracy.value.round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert found.producers_accuracy.margin.round(2).tolist() == [0.21, 0.25, 0.03, 0.02]


A, B, C, D = 1, 2, 3, 4
STRATA = np.repeat([A, B, C, D], 10)
MAPPED = np.array([A] * 7 + [B] * 3 + [A] + [B] * 11 + [C] * 6 + [B] * 2 + [D] * 10)
REFERENCE = np.array(
    [A] * 5 + [C, B, A, B, C, A] + [B] * 5 + [A, A, B, B] + [C] * 5 + [D, D, B, B, A]
    + [D] * 7 + [C, C, B]
)  # fmt: skip
PIXELS = {A: 40_000, B: 30_000, C: 20_000, D: 10_000}


def test_the_example_of_stehman_2014_is_reproduced() -> None:
    # Table 2 of the paper, whose strata are not the map's classes, and pages 4932 to 4936. The
    # standard error of the producer's accuracy is printed there as 0.114, for which the variance
    # of B in the last stratum is taken as 0; it is 0.1, as for one point of ten.
    sample = count_points(
        np.arange(40), STRATA, MAPPED, REFERENCE, pixels=PIXELS, class_ids=(A, B, C, D)
    )
    found = estimate(sample, 1.0)
    printed = {
        "area of A": (found.area, 0, 0.35, 0.082),
        "area of C": (found.area, 2, 0.20, 0.064),
        "overall": (found.overall_accuracy, (), 0.63, 0.085),
        "user's of B": (found.users_accuracy, 1, 0.574, 0.125),
        "producer's of B": (found.producers_accuracy, 1, 0.794, 0.117),
    }
    for what, (estimated, at, value, error) in printed.items():
        assert estimated.value[at].round(3) == value, what
        assert estimated.standard_error[at].round(3) == error, what
    assert found.shares.value[B, 2].round(2) == 0.08
    assert found.shares.value.sum() == pytest.approx(1)


matrices = st.lists(
    st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=3, max_size=3
).filter(lambda rows: all(sum(row) >= 2 for row in rows))


@settings(max_examples=60, deadline=None)
@given(matrices, st.lists(st.integers(10**11, 10**12), min_size=3, max_size=3))
def test_points_whose_strata_are_the_classes_give_what_their_error_matrix_gives(
    rows: list[list[int]], pixels: list[int]
) -> None:
    ids = (3, 7, 8)
    matrix = np.array(rows)
    mapped, reference = (
        np.repeat(np.array(ids)[side.ravel()], matrix.ravel()) for side in np.indices((3, 3))
    )
    sizes = dict(zip(ids, pixels, strict=True))
    points = count_points(
        np.arange(len(mapped)), mapped, mapped, reference, pixels=sizes, class_ids=ids
    )
    one, other = estimate(points, 5.0), estimate(count_error_matrix(matrix, pixels, ids), 5.0)
    for name in ("area", "overall_accuracy", "users_accuracy", "producers_accuracy", "shares"):
        for what in ("value", "standard_error", "low", "high"):
            np.testing.assert_allclose(
                getattr(getattr(one, name), what),
                getattr(getattr(other, name), what),
                rtol=1e-6,
                atol=1e-9,
                err_msg=f"{name} {what}",
            )


@settings(max_examples=60, deadline=None)
@given(matrices, st.integers(0, 2**32))
def test_standard_errors_are_those_of_the_points_themselves(
    rows: list[list[int]], seed: int
) -> None:
    """The plain way: the variance of every point's residual in every stratum."""
    rng = np.random.default_rng(seed)
    matrix, ids = np.array(rows), (1, 2, 3)
    mapped, reference = (
        np.repeat(np.array(ids)[side.ravel()], matrix.ravel()) for side in np.indices((3, 3))
    )
    strata = np.concatenate([[1, 1, 2, 2], rng.integers(1, 3, len(mapped))])[: len(mapped)]
    inside = rng.random(len(mapped)) < 0.7
    if not inside.any():
        return
    pixels = {1: 300, 2: 1000}
    found = estimate(
        count_points(
            np.arange(len(mapped)),
            strata,
            mapped,
            reference,
            pixels=pixels,
            class_ids=ids,
            inside=inside,
        ),
        1.0,
    )
    cases = {
        "area": (found.area, inside & (reference == 2), inside),
        "user's": (
            found.users_accuracy,
            inside & (reference == 2) & (mapped == 2),
            inside & (mapped == 2),
        ),
        "producer's": (
            found.producers_accuracy,
            inside & (reference == 2) & (mapped == 2),
            inside & (reference == 2),
        ),
    }
    for name, (estimated, part, whole) in cases.items():
        if not whole.any():
            assert np.isnan(estimated.value[1]), name
            continue
        total, share, variance = 0.0, 0.0, 0.0
        for stratum, size in pixels.items():
            total += size * whole[strata == stratum].mean()
            share += size * part[strata == stratum].mean()
        for stratum, size in pixels.items():
            own = strata == stratum
            residual = part[own] - share / total * whole[own]
            variance += size**2 * (1 - own.sum() / size) * residual.var(ddof=1) / own.sum()
        assert estimated.value[1] == pytest.approx(share / total), name
        assert estimated.standard_error[1] == pytest.approx(np.sqrt(variance) / total, abs=1e-9)
        assert estimated.low[1] <= estimated.value[1] + 1e-12, name
        assert estimated.high[1] >= estimated.value[1] - 1e-12, name


def test_the_interval_of_one_stratums_share_is_wilsons() -> None:
    # 19 of 20 points, p = 0.95: Wilson (1927) with n = 19 for the standard error's n - 1.
    found = estimate(count_error_matrix(np.array([[19, 1], [0, 4]]), [1, 1], (1, 2)), 1.0)
    z, n, p = 1.959964, 19, 0.95
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert found.users_accuracy.low[0] == pytest.approx(middle - half)
    assert found.users_accuracy.high[0] == pytest.approx(middle + half)
    assert found.users_accuracy.high[1] == pytest.approx(1)
    assert found.users_accuracy.low[1] < 0.6  # of four points that all are right


def test_a_sample_of_all_pixels_has_no_error() -> None:
    mapped, reference = np.array([1, 1, 2, 2]), np.array([1, 2, 2, 2])
    found = estimate(
        count_points(
            np.arange(4), np.array([5, 5, 5, 6]), mapped, reference, pixels={5: 3, 6: 1},
            class_ids=(1, 2),
        ),
        4.0,
    )  # fmt: skip
    assert found.area.value.tolist() == pytest.approx([1, 3])
    assert found.area.standard_error.tolist() == [0, 0]
    assert found.area.low.tolist() == pytest.approx([1, 3])
    assert found.area.high.tolist() == pytest.approx([1, 3])


def test_points_that_could_not_be_judged_are_counted_apart() -> None:
    reference = REFERENCE.copy()
    reference[[0, 1, 30]] = 0
    sample = count_points(
        np.arange(40), STRATA, MAPPED, reference, pixels=PIXELS, class_ids=(A, B, C, D)
    )
    assert sample.not_judged.tolist() == [2, 0, 0, 1]
    assert sample.judged.tolist() == [8, 10, 10, 9]
    # Of the first stratum 4 of 8 points are A, of the second 3 of 10, of the third 1.
    area = estimate(sample, 100_000).area.value[0]
    assert area == pytest.approx(40_000 * 4 / 8 + 30_000 * 3 / 10 + 20_000 / 10)


def test_ground_that_the_map_leaves_without_data_counts_for_areas_and_not_for_accuracy() -> None:
    mapped = np.where(np.arange(40) < 5, 0, MAPPED)
    found = estimate(
        count_points(
            np.arange(40), STRATA, mapped, REFERENCE, pixels=PIXELS, class_ids=(A, B, C, D)
        ),
        1.0,
    )
    assert found.area.value[0] == pytest.approx(0.35)
    # What was right in the first stratum is not mapped: 0.63 - 0.2 of 0.8.
    assert found.overall_accuracy.value == pytest.approx(0.43 / 0.8)


def test_the_areas_of_units_add_up_to_those_of_all() -> None:
    # With equal chances everywhere a unit's area is its share of the points.
    rng = np.random.default_rng(3)
    strata = np.ones(500, int)
    mapped, reference = rng.integers(1, 4, (2, 500))
    east = rng.random(500) < 0.3

    def areas(inside: NDArray[np.bool_] | None, area: float) -> NDArray[np.float64]:
        return estimate(
            count_points(
                np.arange(500), strata, mapped, reference, pixels={1: 10**6}, class_ids=(1, 2, 3),
                inside=inside,
            ),
            area,
        ).area.value  # fmt: skip

    total = areas(east, 100 * east.mean()) + areas(~east, 100 * (1 - east.mean()))
    np.testing.assert_allclose(total, areas(None, 100))


@pytest.mark.slow
@pytest.mark.parametrize("strata", ["map", "earlier"])
def test_intervals_of_200_samples_hold_the_true_areas_in_180_to_199(strata: str) -> None:
    ground = intervals.ground()
    assert (ground.map != ground.earlier).mean() > 0.25
    held = intervals.coverage(ground, getattr(ground, strata), draws=200)
    assert list(held.area) == list(intervals.NAMES.values())
    assert all(180 <= count <= 199 for count in held.area.values()), held.area
    assert 180 <= held.overall_accuracy <= 199


def points(**changed: Any) -> dict[str, Any]:
    return {
        "identities": np.arange(40),
        "strata": STRATA,
        "mapped": MAPPED,
        "reference": REFERENCE,
        "pixels": PIXELS,
        "class_ids": (A, B, C, D),
    } | changed


def put(values: NDArray[np.int64], value: int, at: int = 3) -> NDArray[np.int64]:
    changed = values.copy()
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"identities": put(np.arange(40), 17)}, "Point 17 is in the sample 2 times"),
        ({"strata": put(STRATA, 8)}, r"have stratum 8; the strata are \(1, 2, 3, 4\)"),
        ({"mapped": put(MAPPED, 7)}, r"The map has class 7; the classes are \(0, 1, 2, 3, 4\)"),
        ({"reference": put(REFERENCE, 7)}, "The reference has class 7"),
        ({"pixels": PIXELS | {6: 50}}, "Stratum 6 has no judged points"),
        ({"pixels": PIXELS | {A: -1}}, "Stratum 1 has a size of -1"),
        ({"pixels": PIXELS | {C: 9}}, "Stratum 3 has 10 points and 9 pixels"),
        ({"pixels": PIXELS | {C: 0}}, "have stratum 3; the strata are"),
        ({"pixels": dict.fromkeys(PIXELS, 0)}, "there is nothing to estimate"),
        ({"strata": put(STRATA, B, at=np.s_[1:10])}, r"Stratum 1 has 1 judged point \(of 1\)"),  # type: ignore[arg-type]
        ({"reference": np.where(STRATA == D, 0, REFERENCE)}, r"4 has no judged points \(of 10\)"),
        ({"mapped": MAPPED[1:]}, r"mapped \(point,\) \(39,\) do not agree"),
        ({"inside": np.ones(3, np.bool_)}, r"inside \(point,\) \(3,\) do not agree"),
    ],
)
def test_a_sample_that_cannot_be_right_is_refused_by_name(
    changed: dict[str, Any], said: str
) -> None:
    given = points(**changed)
    columns = [given.pop(name) for name in ("identities", "strata", "mapped", "reference")]
    with pytest.raises(ValueError, match=said):
        count_points(*columns, **given)


@pytest.mark.parametrize(
    ("matrix", "area", "said"),
    [
        ([[3, -1], [0, 4]], [1, 1], "Class 1: -1 points"),
        ([[3, 1], [0, 0]], [1, 1], "Stratum 2 has no judged points"),
        ([[3, 1], [0, 1]], [1, 1], "Stratum 2 has 1 judged point"),
        ([[3, 1], [0, 4]], [1, 0], "Class 2 has points and no area on the map"),
        ([[3, 1], [0, 4]], [1, -2], "Stratum 2 has a size of -2"),
        ([[3, 1], [0, 4]], [1, float("nan")], "Stratum 2 has a size of nan"),
        ([[3, 1], [0, 4]], [1], "do not agree with 2 classes"),
        ([[3, 1]], [1, 1], "do not agree with 2 classes"),
    ],
)
def test_an_error_matrix_that_cannot_be_right_is_refused_by_name(
    matrix: list[list[int]], area: list[float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        count_error_matrix(np.array(matrix), area, (1, 2))


def test_a_class_that_is_on_the_ground_and_not_on_the_map_has_an_area() -> None:
    found = estimate(count_error_matrix(np.array([[8, 2], [0, 0]]), [5, 0], (1, 2)), 50)
    assert found.area.value.tolist() == pytest.approx([40, 10])
    assert found.producers_accuracy.value.tolist() == [1, 0]
    assert np.isnan(found.users_accuracy.value[1])


def test_a_unit_without_a_point_is_refused() -> None:
    given = points(inside=np.zeros(40, np.bool_))
    columns = [given.pop(name) for name in ("identities", "strata", "mapped", "reference")]
    with pytest.raises(ValueError, match="No judged point lies on the ground"):
        estimate(count_points(*columns, **given), 1.0)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_out_of_range_is_refused(confidence: float) -> None:
    sample = count_error_matrix(DEFORESTATION, SHARES, (1, 2, 3, 4))
    with pytest.raises(ValueError, match="not between 0 and 1"):
        estimate(sample, 1.0, confidence=confidence)


def test_what_is_anticipated_is_what_such_a_sample_tells() -> None:
    drawn = DEFORESTATION.sum(axis=1)
    expected = DEFORESTATION / drawn[:, np.newaxis]
    told = estimation.anticipate(expected, drawn.tolist(), SHARES, (1, 2, 3, 4), HECTARES)
    for name in ("value", "standard_error", "low", "high"):
        np.testing.assert_allclose(getattr(told.area, name), getattr(deforestation().area, name))


def test_expected_shares_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Class 2: its shares sum to 0.9; they must sum to 1"):
        estimation.anticipate(np.array([[1, 0], [0.5, 0.4]]), [5, 5], [1, 1], (1, 2), 1.0)
