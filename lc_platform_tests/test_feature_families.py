"""A map of features that have no date, through the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lc_platform.products.features import FeatureStack
from lc_platform_tests.graphs import Platform, configured, why


@pytest.mark.proof
@pytest.mark.slow
def test_a_map_is_made_of_the_season_alone(tmp_path: Path) -> None:
    platform = Platform(
        configured(
            tmp_path,
            2,
            1,
            features={
                "families": ["statistics", "harmonics", "phenology", "texture"],
                "indices": ["NDVI", {"EVI2": "2.5 * (B08 - B04) / (B08 + 2.4 * B04 + 1)"}],
                "statistics": {"percentiles": [10, 90]},
                "harmonics": {"order": 1, "of": ["EVI2"]},
            },
            imagery={"source": "simulated", "max_cloud_cover": 40},
        )
    )
    for results in platform.all_jobs().values():
        assert [why(one) for one in results if not one.success] == []
    stack: FeatureStack = platform.opened("features", platform.patches[0])
    card = platform.opened("model").card
    assert card["features"] == list(stack.names)
    assert {"EVI2_p10", "EVI2_cos1", "NDVI_start", "NDVI_entropy"} <= set(stack.names)
    assert not any(name.endswith("_001") for name in stack.names)
    classes = platform.classes(platform.patches[0])
    seen = ~np.isnan(stack.read()).all(axis=0)
    np.testing.assert_array_equal(classes != 0, seen)
    assert seen.mean() > 0.9
    assert platform.materializations("report")
