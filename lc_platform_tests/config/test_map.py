"""The section `map`: what is refused, and why."""

from __future__ import annotations

from typing import Any

import pytest

from lc_platform.config import ConfigError, Map, parse
from lc_platform_tests.graphs import settings


def refused(**keys: Any) -> str:
    with pytest.raises(ConfigError) as error:
        parse({**settings(), "map": keys})
    return str(error.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"smoothing_window": 4},
            "map.smoothing_window: 4 is even, and the pixel is in the middle. Take 3 or 5.",
        ),
        ({"mode_window": 2}, "map.mode_window: 2 is even"),
        ({"minimum_unit": -1}, "map.minimum_unit: -1 is below 0"),
        (
            {"minimum_unit": 3},
            "map.minimum_unit: 3 ha at 10 m are 300 pixels, for which each patch would need 598 "
            "pixels around it. Give at most 2.5.",
        ),
        ({"smoothing_variance": -2}, "map.smoothing_variance: -2 is no variance"),
        (
            {"smoothing_variance": {"water": "much"}},
            "map.smoothing_variance.water: 'much' is not a number",
        ),
        (
            {"smoothing_variance": {"forrest": 20}},
            "map.smoothing_variance: forrest is no class of reference.classes, which are winter "
            "cropland,",
        ),
        ({"segment_size": 1}, "map.segment_size: 1 is a pixel by itself. Take 2 or more, or 0"),
        ({"segment_size": -3}, "map.segment_size: -3 is below 0"),
        ({"segment_size": 46}, "map.segment_size: 46 is above 45"),
        ({"segment_size": 5.5}, "map.segment_size"),
        ({"segment_size": 5, "segment_compactness": -1}, "map.segment_compactness: -1 is below 0"),
        (
            {"segment_size": 5, "objects": "parcels.gpkg"},
            "map.segment_size: segments are for ground whose parcels are not known, and objects "
            "(parcels.gpkg) are given",
        ),
        (
            {"segment_size": 5, "prediction_sets": 0.9},
            "map.prediction_sets: sets are of what a pixel itself shows, and map.segment_size (5) "
            "mixes it with what is around. Remove one of them",
        ),
        ({"smoothing": "baies"}, "map.smoothing: 'baies' is not known. It is one of none, bayes."),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(keys: dict[str, Any], words: str) -> None:
    assert words in refused(**keys)


def test_a_class_that_is_not_named_has_the_usual_variance() -> None:
    section = Map.model_validate({"smoothing_variance": {"water": 5}})
    assert section.variances({1: "forest", 7: "water"}) == {1: 20, 7: 5}
    assert Map.model_validate({"smoothing_variance": 3}).variances({1: "forest"}) == {1: 3}
