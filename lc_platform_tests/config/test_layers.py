"""The section `features.layers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lc_platform.config import ConfigError, parse
from lc_platform.config.layers import FeatureLayer
from lc_platform_tests.graphs import settings

DEM = {"name": "elevation", "path": "dem.tif"}


def refused(*layers: dict[str, Any], **features: Any) -> str:
    with pytest.raises(ConfigError) as found:
        parse(settings(features={"layers": list(layers), **features}), Path())
    return str(found.value)


def test_features_are_named_after_their_layer_and_its_bands() -> None:
    terrain = FeatureLayer(**DEM, terrain=("slope", "aspect", "curvature"))
    assert terrain.known_features == (
        "elevation", "elevation_slope", "elevation_aspect_sin", "elevation_aspect_cos",
        "elevation_profile_curvature", "elevation_plan_curvature",
    )  # fmt: skip
    soil = FeatureLayer(name="soil", path="s.tif", bands=(2, "ph 0-5cm"))
    assert soil.known_features == ("soil_b2", "soil_ph_0-5cm")


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"name": "B04"}, "layers[0].name: B04 is named like a feature of B04"),
        ({"name": "NDVI_max"}, "NDVI_max is named like a feature of NDVI"),
        ({"name": "soil_121"}, "soil_121 ends like a feature of a day of the year"),
        ({"tile_index": "t.gpkg"}, "path and tile_index are given, and one is read"),
        ({"datetime": "2020"}, "datetime: is of a collection, and there is none"),
        ({"terrain": ["slope"], "bands": [1, 2]}, "terrain: is of one band, the elevation"),
        ({"terrain": ["hillshade"]}, "terrain[0]: "),
        ({"bands": [0]}, "0 is no band. Write its number, from 1, or its name"),
        ({"bands": [1, 1]}, "two of them would be the feature elevation_b1. Name each once"),
        ({"bands": [1, 2], "scale": [1, 2, 3]}, "scale: there are 3 for 2 bands"),
        ({"encoding": "alphaearth", "scale": 2}, "scale: encoding alphaearth says it already"),
        ({"scale_path": "s.tif", "scale": 2}, "scale_path: is of a layer with a path and without"),
        ({"resampling": "lanczos"}, "resampling"),
    ],
)
def test_a_layer_that_cannot_be_meant_is_refused(layer: dict[str, Any], words: str) -> None:
    assert words in refused({**DEM, **layer})


def test_two_features_with_one_name_are_refused() -> None:
    assert "elevation would be a feature of features.layers[0] too" in refused(DEM, DEM)
    slope = {"name": "elevation_slope", "path": "slope.tif"}
    assert "elevation_slope would be a feature of features.layers[0] too" in refused(
        {**DEM, "terrain": ["slope"]}, slope
    )
    band = {"name": "soil_b2", "path": "other.tif"}
    assert "soil_b2 and the bands of features.layers[0] (soil) would have one name" in refused(
        {"name": "soil", "path": "soil.tif"}, band
    )


def test_a_collection_needs_its_assets_and_a_catalog() -> None:
    collection = {"name": "elevation", "collection": "cop-dem-glo-30"}
    assert "bands: this key is missing. Name the assets" in refused(collection)
    words = refused({**collection, "bands": ["data"]})
    assert "layers[0].catalog: this key is missing. Give the STAC catalog that has cop-" in words


def test_layers_are_stored_and_only_the_simulated_archive_brings_its_own(tmp_path: Path) -> None:
    assert "Remove stored: false" in refused(DEM, stored=False)
    config = parse(settings(features={"layers": [{"name": "elevation"}]}), tmp_path)
    assert config.features.layers[0].is_simulated
