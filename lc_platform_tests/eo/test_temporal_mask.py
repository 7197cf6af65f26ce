"""What a pixel's season says of its observations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import harmonics, temporal_mask
from lc_platform.eo.temporal_mask import (
    CLEAR,
    CLOUD,
    DARK,
    MISSED_CLOUD,
    NOT_CLOUD,
    SHADOW,
    UNUSED,
)

pytestmark = pytest.mark.slow

DAYS = np.arange(5, 365, 10, dtype=np.int32)


def bisquare(design: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Iteratively reweighted least squares by numpy's solver."""
    weights = np.ones(len(values))
    for _ in range(6):
        root = np.sqrt(weights)[:, None]
        found = np.linalg.lstsq(design * root, values * root[:, 0], rcond=None)[0]
        residual = values - design @ found
        scale = max(1.4826 * float(np.median(np.abs(residual))), 0.003)
        u = residual / (4.685 * scale)
        weights = np.where(np.abs(u) < 1, (1 - u**2) ** 2, 0.0)
    return found


@given(st.integers(0, 2**32 - 1), st.integers(14, 60))
@settings(max_examples=40, deadline=None)
def test_the_model_is_that_of_reweighted_least_squares(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    design = harmonics.design(np.sort(rng.integers(0, 365, count)).astype(np.int32), 2)
    values = design @ rng.normal(0, 0.1, 5) + rng.normal(0, 0.01, count)
    values[rng.random(count) < 0.15] += 0.3
    found, expected = temporal_mask.fit(design, values), bisquare(design, values)
    np.testing.assert_allclose(design @ found, design @ expected, rtol=0, atol=2e-4)


def test_fewer_observations_than_coefficients_are_refused() -> None:
    with pytest.raises(ValueError, match=r"4 observations do not determine 5 coefficients"):
        temporal_mask.fit(harmonics.design(DAYS[:4], 2), np.zeros(4))


def season(blue: float = 0.09, swing: float = 0.12) -> NDArray[np.float64]:
    """(time, band): a meadow that is greenest in June."""
    wave = np.cos((DAYS - 170) / 365.25 * 2 * np.pi)
    return np.stack([np.full(len(DAYS), blue), 0.3 + swing * wave, 0.22 - 0.02 * wave], axis=1)


def flags(values: NDArray[np.float64], state: NDArray[np.int_] | None = None) -> list[int]:
    """Of one pixel's season."""
    if state is None:
        state = np.full(len(DAYS), CLEAR)
    found = temporal_mask.season_flags(
        np.rint(values * 1e4 + 1000).astype(np.uint16)[:, :, None, None],
        np.full((len(DAYS), 3), 1e-4, np.float32),
        np.full((len(DAYS), 3), -0.1, np.float32),
        state.astype(np.uint8)[:, None, None],
        DAYS,
    )
    assert found.shape == (len(DAYS), 1, 1)
    return list(found.ravel().tolist())


def test_a_clear_season_has_no_flag() -> None:
    assert flags(season()) == [0] * len(DAYS)


def test_a_cloud_and_a_shadow_that_the_scene_has_missed_stand_out() -> None:
    values = season()
    values[12] += 0.08
    values[20] *= [0.9, 0.45, 0.4]
    found = flags(values)
    assert found[12] == MISSED_CLOUD
    assert found[20] == DARK | SHADOW
    assert sum(map(bool, found)) == 2


def test_what_stays_is_a_change_of_the_ground() -> None:
    mown = season()
    mown[18:, 1] *= 0.6
    mown[18:, 2] *= 0.8
    assert not any(flag & (DARK | SHADOW) for flag in flags(mown))
    ploughed = season()
    ploughed[18:, 0] += 0.06
    assert not any(flag & MISSED_CLOUD for flag in flags(ploughed))


def test_water_does_not_darken() -> None:
    values = np.full((len(DAYS), 3), [0.07, 0.03, 0.01])
    values[10] = 0.05, 0.012, 0.004
    assert flags(values) == [0] * len(DAYS)


def test_a_bright_roof_that_is_always_called_cloud_is_ground_except_under_a_cloud() -> None:
    values = np.full((len(DAYS), 3), [0.34, 0.4, 0.38])
    values += np.random.default_rng(3).uniform(-0.01, 0.01, values.shape)
    values[15] = 0.62, 0.66, 0.4
    state = np.full(len(DAYS), CLOUD)
    found = flags(values, state)
    assert found[15] == 0
    assert set(found[:15] + found[16:]) == {NOT_CLOUD}


def test_what_is_not_used_has_no_flag_and_no_say() -> None:
    values = season()
    values[5:9] = 0.9, 0.9, 0.1
    state = np.full(len(DAYS), CLEAR)
    state[5:9] = UNUSED
    assert flags(values, state) == [0] * len(DAYS)


def test_few_clear_observations_give_no_verdict() -> None:
    values = season()
    values[2] += 0.08
    state = np.full(len(DAYS), UNUSED)
    state[:5] = CLEAR
    assert not any(flag & (MISSED_CLOUD | SHADOW) for flag in flags(values, state))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_each_pixel_is_judged_by_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(100, 5000, (len(DAYS), 3, 3, 4)).astype(np.uint16)
    state = rng.integers(0, 3, (len(DAYS), 3, 4)).astype(np.uint8)
    scale, offset = np.full((len(DAYS), 3), 1e-4, np.float32), np.zeros((len(DAYS), 3), np.float32)
    together = temporal_mask.season_flags(numbers, scale, offset, state, DAYS)
    row, column = int(rng.integers(3)), int(rng.integers(4))
    at = slice(row, row + 1), slice(column, column + 1)
    alone = temporal_mask.season_flags(
        np.ascontiguousarray(numbers[..., at[0], at[1]]),
        scale, offset, np.ascontiguousarray(state[:, at[0], at[1]]), DAYS,
    )  # fmt: skip
    np.testing.assert_array_equal(alone, together[:, at[0], at[1]])
    assert not (together[state == UNUSED]).any()
    assert not (together[state == CLOUD] & ~np.uint8(NOT_CLOUD)).any()
