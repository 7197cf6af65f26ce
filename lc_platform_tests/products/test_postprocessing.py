"""From probabilities to the map: of windows as of the whole, and what each step does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.cube import Window
from lc_platform.eo import generalization, segments, smoothing
from lc_platform.eo.classifier import Prediction, decide
from lc_platform.products import postprocessing
from lc_platform.products.postprocessing import finish, finished
from lc_platform.products.postprocessing_options import Postprocessing

IDS = (2, 5, 9)
EVERYTHING = Postprocessing(
    smoothing_window=3,
    variances={2: 5.0, 5: 20.0, 9: 40.0},
    segment_size=2,
    segment_compactness=0.3,
    mode_window=3,
    unit=4,
)
ORIGIN = -7, 4


def ground(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Probabilities (class, y, x) of a speckled landscape, of which some is without data."""
    generator = np.random.default_rng(seed)
    found = np.moveaxis(generator.dirichlet(np.full(3, 0.4), shape), -1, 0).astype(np.float32)
    found[:, generator.random(shape) < 0.1] = np.nan
    return found


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(4, 16),
    st.sampled_from(
        [{}, {"smoothing_window": 1}, {"segment_size": 0}, {"mode_window": 1}, {"unit": 1}]
    ),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_windows_give_the_map_of_the_whole(
    rows: int, columns: int, window: int, without: dict[str, Any], seed: int
) -> None:
    options = Postprocessing(**{**vars(EVERYTHING), **without})
    margin = options.margin
    probabilities = ground((rows + 2 * margin, columns + 2 * margin), seed)
    read: list[Window] = []

    def beyond(at: Window) -> NDArray[np.float32]:
        read.append(at)
        return probabilities[:, *(slice(s.start + margin, s.stop + margin) for s in at)]

    first = ORIGIN[0] + margin, ORIGIN[1] + margin
    whole = finish(probabilities, IDS, options, origin=ORIGIN)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(postprocessing, "_PANEL", 2 * window)
        found = finished(
            beyond, lambda values, _: decide(values, IDS), IDS, options,
            (slice(0, rows), slice(0, columns)), origin=first, window=window,
        )  # fmt: skip
        covered = np.zeros((rows, columns), int)
        for at, part in found:
            covered[at] += 1
            for layer in ("classes", "confidence", "entropy", "margin"):
                expected = getattr(whole, layer)[at]
                np.testing.assert_array_equal(getattr(part, layer), expected, layer)
    assert (covered == 1).all()
    if columns <= 2 * window:
        pixels = sum((r.stop - r.start) * (c.stop - c.start) for r, c in read)
        assert pixels == probabilities[0].size, "each is read once"


def test_the_steps_follow_each_other() -> None:
    probabilities = ground((80, 80), 3)
    smoothed = smoothing.smooth(probabilities, [5.0, 20.0, 40.0], window=3)
    found = segments.segment(np.sqrt(smoothed), origin=ORIGIN, size=2, compactness=0.3)
    smoothed = segments.smooth(smoothed, found)
    classes = generalization.mode_filter(decide(smoothed, IDS).classes, window=3)
    expected = generalization.sieve(classes, 4)
    m = EVERYTHING.margin
    assert m == 1 + segments.margin(2) + 1 + 2 * 3
    mapped = finish(probabilities, IDS, EVERYTHING, origin=ORIGIN)
    inner = slice(m, -m), slice(m, -m)
    np.testing.assert_array_equal(mapped.classes, expected[inner])
    np.testing.assert_array_equal(mapped.probabilities, smoothed[:, *inner])
    np.testing.assert_array_equal(mapped.entropy, decide(smoothed, IDS).entropy[inner])


def test_all_pixels_of_a_segment_have_its_class_and_its_confidence() -> None:
    options = Postprocessing(segment_size=4, segment_compactness=0.3)
    probabilities, m = ground((110, 110), 4), options.margin
    of = segments.segment(np.sqrt(probabilities), origin=ORIGIN, size=4, compactness=0.3)
    found = finish(probabilities, IDS, options, origin=ORIGIN)
    for one in np.unique(of[m:-m, m:-m])[1:]:
        own = (of == one)[m:-m, m:-m]
        mean = np.exp(np.log(np.maximum(probabilities[:, of == one], 1e-6)).mean(axis=1))
        share = mean.max() / mean.sum()
        assert set(found.classes[own]) == {IDS[mean.argmax()]}
        np.testing.assert_allclose(found.confidence[own], 100 * share, atol=0.51)


def test_the_confidence_is_that_of_the_class_which_is_shown() -> None:
    """A pixel of class 5 among those of class 2 takes theirs, of which it was sure by 30 %."""
    probabilities = np.full((2, 5, 5), 0.1, np.float32)
    probabilities[0] = 0.9
    probabilities[:, 2, 2] = 0.3, 0.7
    options = Postprocessing(mode_window=3)
    found = finish(probabilities, (2, 5), options, origin=ORIGIN)
    assert found.classes.tolist() == [[2] * 3] * 3
    assert found.confidence.tolist() == [[90, 90, 90], [90, 30, 90], [90, 90, 90]]
    assert found.margin[1, 1] == 40


def test_no_data_stays_and_is_reached_over_by_nothing() -> None:
    probabilities = ground((80, 80), 5)
    found: Prediction = finish(probabilities, IDS, EVERYTHING, origin=ORIGIN)
    m = EVERYTHING.margin
    missing = np.isnan(probabilities[0])[m:-m, m:-m]
    assert missing.any()
    np.testing.assert_array_equal(found.classes == 0, missing)
    assert (found.confidence[missing] == 0).all()


def test_nothing_is_done_by_default() -> None:
    probabilities = ground((20, 20), 7)
    assert not Postprocessing()
    assert Postprocessing().margin == 0
    found = finish(probabilities, IDS, Postprocessing(), origin=ORIGIN)
    plain = decide(probabilities, IDS)
    np.testing.assert_array_equal(found.classes, plain.classes)
    np.testing.assert_array_equal(found.confidence, plain.confidence)
