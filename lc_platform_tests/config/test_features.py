"""The section `features`: families and their settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lc_platform.config import ConfigError, parse
from lc_platform.products.feature_families import (
    Harmonics,
    Phenology,
    Series,
    Statistics,
    Texture,
)
from lc_platform.products.feature_options import families_of
from lc_platform_tests.graphs import settings


def configured(**features: Any) -> Any:
    data = settings()
    data["features"] = features
    return parse(data, Path())


def test_families_are_options_of_the_same_names() -> None:
    config = configured(
        families=["phenology", "series", "statistics", "harmonics", "texture"],
        series={"method": "whittaker", "envelope": ["NDVI"], "dates": ["04-01", "07-15"]},
        statistics={"percentiles": [5, 95], "of": ["NDVI"]},
        harmonics={"order": 3},
        phenology={"curve": "double_logistic", "seasons": 2},
        texture={"of": ["NDVI", "B08"], "limits": {"B08": [0, 0.6]}, "measures": ["entropy"]},
    )
    assert families_of(config.features) == (
        Series("whittaker", ("04-01", "07-15"), envelope=("NDVI",)),
        Statistics(("NDVI",), (5.0, 95.0)),
        Harmonics(order=3),
        Phenology(curve="double_logistic", seasons=2),
        Texture(("NDVI", "B08"), {"B08": (0.0, 0.6)}, measures=("entropy",)),
    )
    assert families_of(configured().features) == (Series(),)


def test_what_composites_are_chosen_by_is_acquired() -> None:
    data = settings(imagery={"bands": ["B02"]}, statistics={"index": "none"})
    data["features"] = {"indices": [], "series": {"method": "maximum_ndvi"}}
    config = parse(data, Path())
    assert config.acquired_bands == ("B02", "B08", "B04")
    assert config.needing("B08") == ["features.series.method: maximum_ndvi"]


@pytest.mark.parametrize(
    ("features", "line"),
    [
        ({"families": []}, "features.families: at least one family is needed."),
        ({"families": ["series", "series"]}, "features.families: series is named more than once."),
        ({"families": ["textures"]}, "features.families[0]: 'textures' is not known. It is one of"),
        (
            {"texture": {"window": 7}},
            "features.texture: this family is not among features.families",
        ),
        (
            {"families": ["texture"], "texture": {"window": 4}},
            "features.texture.window: 4 pixels have none in their middle. Give an odd number, 3 or",
        ),
        (
            {"families": ["texture"], "texture": {"of": ["NDVI", "B99"]}},
            "features.texture.of: B99 is not among the features' bands and indices",
        ),
        (
            {"families": ["texture"], "texture": {"limits": {"B08": [0, 1]}}},
            "features.texture.limits: B08 is not among the bands and indices that texture is made",
        ),
        (
            {"families": ["texture"], "texture": {"limits": {"NDVI": [1, 0]}}},
            "features.texture.limits: the first of NDVI (1) must be below the second (0)",
        ),
        (
            {"families": ["texture"], "texture": {"measures": ["entropy", "entropy"]}},
            "features.texture.measures: one of them is there twice, so that two features would",
        ),
        (
            {"families": ["texture"], "texture": {"measures": []}},
            "features.texture.measures: there is none. Give at least one, such as entropy",
        ),
        ({"harmonics": {"order": 1}}, "features.harmonics: this family is not among features.fam"),
        (
            {"families": ["statistics"], "statistics": {"percentiles": [50, 50]}},
            "features.statistics.percentiles: one of them is there twice, so that two features",
        ),
        (
            {"families": ["statistics"], "statistics": {"percentiles": [101]}},
            "features.statistics.percentiles[0]: 101 is above 100.",
        ),
        (
            {"families": ["statistics"], "statistics": {"percentiles": [], "measures": []}},
            "features.statistics: there is nothing in it.",
        ),
        (
            {"families": ["harmonics"], "harmonics": {"of": ["NDVI", "NDVI"]}},
            "features.harmonics.of: NDVI is named more than once, so that two features would have",
        ),
        (
            {"families": ["phenology"], "indices": ["EVI"]},
            "features.phenology.of: NDVI is not among the features' bands and indices",
        ),
        (
            {"series": {"method": "whittaker", "envelope": ["NDVY"]}},
            "features.series.envelope: NDVY is not among the features' bands and indices",
        ),
        ({"series": {"smoothing": 5}}, "features.series.smoothing: is for method whittaker, and"),
        ({"series": {"dates": ["02-29"]}}, "features.series.dates: 02-29 is no date of every year"),
        ({"series": {"dates": ["07-01", "04-01"]}}, "features.series.dates: dates must follow"),
        ({"families": ["harmonics"], "harmonics": {"order": 9}}, "features.harmonics.order: 9 is"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_key(features: Any, line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        configured(**features)
    assert line in str(raised.value)
