"""A split into training and test that leaves a class almost wholly on one side is warned of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from lc_platform.commands import run as running
from lc_platform.eo.sampling import one_sided
from lc_platform.products.evaluation import assess
from lc_platform.products.held_out_predictions import HeldOutPredictions, hold_out
from lc_platform.products.model import train
from lc_platform.products.options import EvaluationOptions, HeldOutOptions
from lc_platform_tests.products import cubes
from lc_platform_tests.products.three_classes import SETTINGS, SHOWN, YEAR, eight, samples, stack
from lc_platform_tests.sites import Site, metres, site

EVEN = {1: 8000, 2: 4000}
EVEN_TEST = {1: 2000, 2: 1000}
"""A fifth of each class is tested."""


@pytest.mark.parametrize(
    ("training", "test", "share"),
    [(999, 1, 0.999), (500, 0, 1.0), (0, 70, 0.0), (1, 99, 0.01), (3, 0, 1.0)],
)
def test_a_class_that_is_almost_wholly_on_one_side_is_found(
    training: int, test: int, share: float
) -> None:
    found = one_sided(EVEN | {7: training}, EVEN_TEST | {7: test})
    assert found == {7: pytest.approx(share)}


# Of all pixels a fifth is tested, so that a class is on one side where less than a tenth of a fifth
# of it is tested (2 %), or less than a tenth of four fifths is trained on (8 %).
@pytest.mark.parametrize(("training", "test"), [(80, 20), (97, 3), (9, 91), (4, 1), (0, 0)])
def test_a_class_that_is_on_both_sides_is_not(training: int, test: int) -> None:
    assert one_sided(EVEN | {7: training}, EVEN_TEST | {7: test}) == {}


def test_a_small_share_of_test_pixels_is_no_side() -> None:
    assert one_sided({1: 9900, 2: 990}, {1: 100, 2: 10}) == {}
    assert one_sided({}, {}) == {}


def held_out() -> list[str]:
    return list(train(eight(), SETTINGS, year=YEAR).card["test_patches"])


def test_the_card_and_the_metrics_name_the_class_its_share_and_what_to_do() -> None:
    first, second = held_out()
    only_tested = {p: samples(p, (3, 20)) for p in eight() if p not in (first, second)}
    model = train(eight(**only_tested), SETTINGS, year=YEAR)
    assert model.card["classes_without_samples"] == ["water"]
    (said,) = model.card["split_warnings"]
    assert said.startswith("class water: 100 % of its 20 samples are in the test patches, so the")
    assert "sampling.seed" in said

    features = {p: stack((20, 30), seed=i, patch=p) for i, p in enumerate((first, second))}
    labels = {p: cubes.reference(np.full((20, 30), 3)) for p in features}
    asked = HeldOutOptions(classes=SHOWN)
    made = {
        p: HeldOutPredictions(hold_out(one, labels[p], model, asked).load())
        for p, one in features.items()
    }
    given = eight(**only_tested)
    metrics = assess(model, made, labels, given, EvaluationOptions(classes=SHOWN)).metrics
    assert metrics["split_warnings"] == [said]


def test_a_class_of_which_nothing_is_tested_is_named() -> None:
    only_trained = {p: samples(p, (3, 20)) for p in held_out()}
    (said,) = train(eight(**only_trained), SETTINGS, year=YEAR).card["split_warnings"]
    assert said.startswith("class water: 100 % of its 60 samples are in the training patches, so")
    assert "its accuracy is hardly tested" in said


def test_an_even_split_is_not_warned_of() -> None:
    assert train(eight(), SETTINGS, year=YEAR).card["split_warnings"] == []


@pytest.fixture
def lopsided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Six patches with two classes each, and a third class in one of them alone."""
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)
    made = site(tmp_path, days=("2021-05-01", "2021-08-01"), patches=6)
    halves = [(column / 2, row) for column in range(6) for row in range(2)]
    kinds = [10 if column % 1 == 0 else 20 for column, _ in halves]
    kinds[0] = 30
    made.label([shapely.box(*metres(column, row, 0.5)) for column, row in halves], kinds)
    made.configure(
        reference={
            "classes": [
                {"id": 1, "name": "bare", "values": [10]},
                {"id": 2, "name": "green", "values": [20]},
                {"id": 3, "name": "sand", "values": [30]},
            ]
        }
    )
    return made


@pytest.mark.proof
@pytest.mark.slow
def test_the_end_of_a_run_tells_of_it(lopsided: Site) -> None:
    report = lopsided.run()
    assert report.succeeded, report.failures
    (said,) = [w for w in report.warnings if "class sand" in w]
    assert said.startswith("2021: class sand: all its 128 samples are in one block of ground")
