"""The rules of change: what they say, and what is refused."""

from __future__ import annotations

import pytest

from lc_platform_tests.config.configurations import SIMULATED, configured, refusal

TWO_YEARS = "years: [2021, 2022], change: {enabled: true%s}"


def change(keys: str) -> str:
    return "{" + TWO_YEARS % f", {keys}" + "}"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            "forbidden: {built: [grassland]}",
            "change.forbidden: built is no class of reference.classes. Did you mean built-up?",
        ),
        (
            "forbidden: {built-up: [gras]}",
            "change.forbidden.built-up: gras is no class of reference.classes. Did you mean "
            "grassland?",
        ),
        (
            "forbidden: {water: water}",
            "change.forbidden.water: water can always stay what it is. Remove it.",
        ),
        (
            "rotations: [[winter cropland]]",
            "change.rotations[0]: a rotation is of two classes or more. Add one.",
        ),
        (
            "rotations: [[grassland, water], [water, built-up]]",
            "change.rotations[1]: water is also in rotations[0]. Name it once.",
        ),
        (
            "rotations: [[grassland, water]], forbidden: {grassland: water}",
            "change.forbidden.grassland: water follows grassland in rotations[0]. Remove one of "
            "them.",
        ),
        (
            "probability: 80",
            "change.probability: 80 is not a fraction between 0 and 1. For 80 %, write 0.8.",
        ),
        ("rate: 0", "change.rate: 0 is not above 0. Give a number that is above 0."),
        ("series: viterbi", "change.series: 'viterbi' is not known. It is one of none, markov."),
    ],
)
def test_rules_that_do_not_fit_are_refused_by_the_key_path(keys: str, line: str) -> None:
    assert refusal(change(keys), SIMULATED) == [line]


CLASSES = "classes: [{id: 1, name: wood}, {id: 2, name: field}]"


@pytest.mark.parametrize(
    "keys",
    [
        "forbidden: {wood: field, field: wood}",
        "rotations: [[wood, field]]",
    ],
)
def test_rules_that_leave_no_change_are_refused(keys: str) -> None:
    said = "{" + f"reference: {{{CLASSES}}}, {TWO_YEARS % f', {keys}'}" + "}"
    (line,) = refusal(said, SIMULATED)
    assert line.startswith("change.forbidden: the rules leave no change that could be found.")


def test_two_classes_of_one_name_are_refused() -> None:
    twice = "{reference: {classes: [{id: 1, name: wood}, {id: 2, name: wood}]}}"
    (line,) = refusal(twice, SIMULATED)
    assert line.startswith("reference.classes[1].name: wood is also that of classes[0].")


def test_a_change_is_made_of_its_two_years_and_of_one_on_each_side() -> None:
    years = "years: [2018, 2019, 2020, 2021, 2022]"
    config = configured(f"{{{years}, change: {{enabled: true}}}}", SIMULATED)
    assert config.change_years == (2019, 2020, 2021, 2022)
    assert config.change_evidence(2018) == ()
    assert config.change_evidence(2019) == (2018, 2019, 2020)
    assert config.change_evidence(2020) == (2018, 2019, 2020, 2021)
    assert config.change_evidence(2022) == (2020, 2021, 2022)
    alone = configured(f"{{{years}, change: {{enabled: true, confirm: false}}}}", SIMULATED)
    assert alone.change_evidence(2020) == (2019, 2020)
    series = configured(f"{{{years}, change: {{enabled: true, series: markov}}}}", SIMULATED)
    assert series.change_evidence(2019) == (2018, 2019, 2020, 2021, 2022)


def test_probabilities_are_kept_where_change_is_made_of_them_and_nowhere_else() -> None:
    two = "years: [2021, 2022]"
    assert configured(f"{{{two}, change: {{enabled: true}}}}", SIMULATED).keeps_probabilities
    assert not configured(f"{{{two}}}", SIMULATED).keeps_probabilities
    alone = configured("{change: {enabled: true}}", SIMULATED)
    assert not alone.keeps_probabilities
    assert alone.change_years == ()
    assert "there is no change in one year (2023)" in " ".join(alone.doubts)
