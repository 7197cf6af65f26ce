"""A map with rasters that have no season among its features, through the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lc_platform.eo import terrain as shape
from lc_platform.products.features import FeatureStack
from lc_platform.sources.simulated.terrain import terrain
from lc_platform_tests.graphs import METRES, Platform, configured, why
from lc_platform_tests.seams import SIDE, SOUTH, WEST, differences, ground, made, model_of
from lc_platform_tests.sources.layers.rasters import raster


@pytest.mark.proof
@pytest.mark.slow
def test_a_map_is_made_with_the_terrain_and_a_raster_of_half_of_the_area(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        2,
        1,
        features={
            "interval": 90,
            "layers": [
                {"name": "elevation", "terrain": ["slope", "aspect"]},
                {"name": "soil", "path": "soil.tif", "resampling": "nearest"},
            ],
        },
        imagery={"source": "simulated", "max_cloud_cover": 40},
    )
    platform = Platform(config)
    soil = np.full((1, 40, 32), 5, np.uint8)
    raster(tmp_path / "soil.tif", soil, west=METRES * 1720, north=METRES * 16251 + 40)
    for results in platform.all_jobs().values():
        assert [why(one) for one in results if not one.success] == []
    west, east = (platform.opened("features", patch) for patch in sorted(platform.patches))
    both: list[FeatureStack] = [west, east]
    names = west.names
    assert platform.opened("model").card["features"] == list(names)
    at = {name: names.index(name) for name in ("elevation", "elevation_slope", "soil")}
    rows, columns = west.geobox.shape
    ground = GeoBox((rows, 2 * columns), west.geobox.affine, west.geobox.crs)
    wide = terrain(ground.pad(1), 42)[0]
    found = np.concatenate([one.read() for one in both], axis=2)
    seen = ~np.isnan(found).all(axis=0)
    expected_of = {"elevation": wide[1:-1, 1:-1], "elevation_slope": shape.slope(wide, 10)}
    for name, expected in expected_of.items():
        np.testing.assert_array_equal(found[at[name]][seen], expected[seen])
    np.testing.assert_array_equal(np.isnan(found[at["soil"]][seen]), np.nonzero(seen)[1] >= columns)
    missing = platform.opened("model").card["missing_layers"]
    assert missing["elevation"] == {}
    assert 0 < max(missing["soil"].values()) <= 1


@pytest.mark.slow
@pytest.mark.proof
def test_patches_one_by_one_have_the_layers_of_one_patch(tmp_path: Path) -> None:
    """Of the simulated terrain, and of a coarse model with holes in another CRS, also in the margin
    that smoothing reads."""
    to_laea = Transformer.from_crs(32633, 3035, always_xy=True).transform
    west, north = to_laea(WEST - 300, SOUTH + SIDE + 300)
    numbers = np.random.default_rng(1).normal(500, 9, (1, 90, 90)).astype(np.float32)
    numbers[0, 40:43, 30:50] = -9999
    raster(tmp_path / "dem.tif", numbers, pixel=25, west=west, north=north, crs="EPSG:3035",
           nodata=-9999)  # fmt: skip
    terrain_of = ["slope", "aspect", "curvature"]
    layers = [
        {"name": "elevation", "terrain": terrain_of},
        {
            "name": "coarse",
            "path": str(tmp_path / "dem.tif"),
            "resampling": "cubic",
            "terrain": terrain_of,
        },
        {"name": "mean", "path": str(tmp_path / "dem.tif"), "resampling": "average"},
    ]
    sections = {
        "features": {"min_valid_fraction": 0, "layers": layers},
        "map": {"smoothing": "bayes", "smoothing_window": 5},
    }
    one, several = (made(ground(tmp_path / str(size), size, **sections)) for size in (960, 320))
    (whole,) = one.patches
    stack: FeatureStack = one.opened("features", whole)
    missing = np.isnan(stack.read()).mean(axis=(1, 2))
    assert stack.margin > 0
    assert 0 < missing[stack.names.index("coarse")] < missing[stack.names.index("coarse_slope")] < 1
    model = model_of(stack)
    for of in (one, several):
        of.map_with(model)
    assert len(several.patches) == 9
    assert list(differences(one, several)) == []
