"""The configuration file: what it takes, what it refuses, and how it says so."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lc_platform import config
from lc_platform.config import ConfigError, load, parse
from lc_platform.eo import csmask
from lc_platform_tests.config.configurations import SIMULATED, SMALLEST, configured, refusal

CONTRACT = """
name: slovenia
storage: ./lc-data
years: [2018, 2017]
aoi:
  boundary: border.geojson
  buffer: 5000
  crs: EPSG:32633
  split: [25, 17]
  resolution: 10
imagery:
  source: stac
  collection: sentinel-2-l1c
  catalog: https://example.org/stac
  bands: [B02, B03, B04, B08, B11, B12]
  max_cloud_cover: 80
  also: []
clouds:
  method: s2cloudless
  threshold: 0.4
  average_over: 4
  dilation: 2
  resolution: 80
reference:
  path: lulc.gpkg
  attribute: LULC_ID
  classes:
    - {id: 1, name: cultivated land, color: "#ffff00", values: [1100, 1180]}
features:
  indices: [NDVI, NDWI, NORM]
  interval: 16
  min_valid_fraction: 0
sampling: {pixels_per_patch: 40000, erosion: 1, test_fraction: 0.2, seed: 42}
model: {}
"""
CLASS = '{id: 1, name: x, color: "#000000"'


# What it takes


def test_every_key_of_the_contract_is_taken() -> None:
    given, taken = yaml.safe_load(CONTRACT), parse(yaml.safe_load(CONTRACT)).model_dump()

    def holds(given: Any, taken: Any) -> None:
        if isinstance(given, dict):
            for key in given:
                holds(given[key], taken[key])
        elif isinstance(given, list):
            for one, other in zip(given, taken, strict=True):
                holds(one, other)
        else:
            assert given == taken

    given["years"] = [2017, 2018]
    holds(given, taken)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = configured()
    contract = parse(yaml.safe_load(CONTRACT))
    for section in ("clouds", "features", "sampling"):
        assert getattr(settings, section) == getattr(contract, section)
    assert settings.imagery.bands == contract.imagery.bands
    assert settings.imagery.collection == "sentinel-2-l1c"
    assert settings.imagery.max_cloud_cover == 80
    assert (settings.aoi.resolution, settings.aoi.buffer) == (10, 0)
    assert settings.reference.classes[1].values == (2,)


@pytest.mark.parametrize(
    "place",
    [
        "{boundary: border.geojson}",
        "{boundary: null, bbox: [13.3, 45.4, 16.6, 46.9]}",
        "{boundary: null, country: Slovenia}",
        "{boundary: null, country: Slovenia, natural_earth: countries.gpkg}",
    ],
)
def test_the_area_is_a_boundary_a_box_or_a_country(place: str) -> None:
    assert configured(f"{{aoi: {place}}}").aoi.patch_size == 10_000


def test_a_crs_may_be_its_epsg_number() -> None:
    settings = configured("{aoi: {crs: 32633}, mosaic_crs: 3035}")
    assert (settings.aoi.crs, settings.mosaic_crs) == ("EPSG:32633", "EPSG:3035")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{aoi: {crs: EPSG:32633}}", "{aoi: {crs: epsg:32633}}"),
        ("{aoi: {crs: EPSG:32633}}", "{aoi: {crs: 32633}}"),
        ("{years: [2017, 2018]}", '{years: ["2018", 2017, 2018]}'),
        ("{imagery: {bands: [B04, B08]}}", "{imagery: {bands: [red, NIR]}}"),
        ("{aoi: {patch_size: 10000}}", "{aoi: {patch_size: 1.0e+4}}"),
        ("{model: {num_iterations: 7}}", "{model: {n_estimators: 7}}"),
    ],
)
def test_settings_of_equal_meaning_are_equal(one: str, other: str) -> None:
    # What artefacts' versions are made of, so that nothing is stale for how a value is written.
    assert configured(one).model_dump_json() == configured(other).model_dump_json()


def test_a_section_whose_keys_are_all_commented_out_has_its_defaults() -> None:
    text = SMALLEST + "clouds:\nfeatures:\nsampling:\nmodel:\nprocessing:\n"
    assert parse(yaml.safe_load(text)) == configured()


def test_a_resolution_that_is_no_binary_fraction_divides_its_multiples() -> None:
    settings = configured("{aoi: {resolution: 0.1, patch_size: 0.3}, clouds: {resolution: 0.7}}")
    assert settings.aoi.patch_size == 0.3


def test_bands_are_known_by_their_catalog_names_too() -> None:
    settings = configured(
        "{imagery: {bands: [blue, B03, red, nir, nir08, swir16]}, "
        "features: {indices: [{NDRE: [nir08, rededge1]}]}}"
    )
    assert settings.imagery.bands == ("B02", "B03", "B04", "B08", "B8A", "B11")
    assert settings.features.indices == ({"NDRE": ("B8A", "B05")},)


def test_the_bands_to_acquire_are_those_of_features_indices_and_ndvi() -> None:
    settings = configured(
        "{imagery: {bands: [B02]}, features: {indices: [NDBI, {NDRE: [B8A, B05]}]}}"
    )
    assert settings.acquired_bands == ("B02", "B11", "B08", "B8A", "B05", "B04")


def test_the_norm_is_of_the_features_bands() -> None:
    (norm,) = configured("{imagery: {bands: [B04, B08]}, features: {indices: [NORM]}}").indices
    assert (norm.bands, norm.kind) == (("B04", "B08"), "norm")


def test_lightgbm_parameters_go_by_their_main_names_over_the_defaults() -> None:
    parameters = configured("{model: {n_estimators: 50, eta: 0.05}}").model_parameters
    assert parameters["num_iterations"] == 50
    assert parameters["learning_rate"] == 0.05
    assert parameters["num_leaves"] == config.LIGHTGBM_DEFAULTS["num_leaves"]
    assert not {"n_estimators", "eta"} & set(parameters)


def test_a_methods_parameters_are_over_its_own_defaults() -> None:
    forest = configured("{model: {method: random_forest, max_depth: 12, max_features: log2}}")
    assert forest.model_parameters == config.PARAMETERS["random_forest"].defaults | {
        "max_depth": 12, "max_features": "log2"
    }  # fmt: skip
    assert configured("{model: {method: discriminant}}").model_parameters == {}


def test_what_is_combined_by_default_may_be_written_out() -> None:
    usual, written = configured(), configured("{model: {of: {lightgbm: 1, discriminant: 1}}}")
    assert written.model_members == usual.model_members == {}
    assert written.model_parameters == usual.model_parameters
    other = configured("{model: {of: {extra_trees: {weight: 2, max_depth: 9}, discriminant: 1}}}")
    trees = config.PARAMETERS["extra_trees"].defaults
    assert other.model_members == {
        "extra_trees": {**trees, "weight": 2, "max_depth": 9},
        "discriminant": {"weight": 1},
    }
    assert other.model_parameters == {}


def test_lightgbm_tells_all_its_parameters_and_their_aliases() -> None:
    # From https://lightgbm.readthedocs.io/en/latest/Parameters.html: the list comes from a part
    # of LightGBM that it does not promise to keep.
    known = config.lightgbm_parameters()
    documented = {
        "n_estimators": "num_iterations",
        "num_boost_round": "num_iterations",
        "eta": "learning_rate",
        "min_child_samples": "min_data_in_leaf",
        "colsample_bytree": "feature_fraction",
        "reg_lambda": "lambda_l2",
        "random_state": "seed",
        "n_jobs": "num_threads",
    }
    assert {alias: known[alias] for alias in documented} == documented
    for name in (*config.LIGHTGBM_DEFAULTS, *config.LIGHTGBM_FIXED):
        assert known[name] == name


def test_the_simulated_archive_brings_its_own_reference_and_ten_classes() -> None:
    settings = configured(base=SIMULATED)
    assert settings.reference.path is None
    assert settings.reference.attribute == "class_id"
    assert len(settings.class_names) == 10
    assert settings.class_names[8] == "water"
    assert {one.id: one.color for one in settings.reference.classes}[8] == "#2f6fd0"


def test_years_are_in_order_and_each_once() -> None:
    assert configured("{years: [2019, 2017, 2019]}").years == (2017, 2019)


# Paths and secrets


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "maps" / "lc.yaml"
    file.parent.mkdir()
    file.write_text(SMALLEST)
    settings = load(file)
    assert settings.folder == file.parent
    assert settings.storage_url == str(file.parent / "lc-data")
    assert settings.located("../border.geojson") == str(tmp_path / "border.geojson")
    assert settings.located("/data/border.geojson") == "/data/border.geojson"


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "memory://x", "/vsicurl/http://a/b.tif"])
def test_urls_are_left_as_they_are(url: str) -> None:
    assert configured().located(url) == url


def test_environment_variables_are_read_when_used_and_are_no_part_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LC_TEST_PLACE", raising=False)
    settings = configured('{storage: "s3://${LC_TEST_PLACE}/maps"}')
    monkeypatch.setenv("LC_TEST_PLACE", "secret-bucket")
    assert settings.storage_url == "s3://secret-bucket/maps"
    assert "secret-bucket" not in repr(settings) + str(settings.model_dump())


def test_a_variable_that_is_not_set_is_named_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LC_TEST_PLACE", raising=False)
    settings = configured('{storage: "${LC_TEST_PLACE}/maps"}')
    with pytest.raises(ConfigError) as caught:
        _ = settings.storage_url
    assert str(caught.value) == (
        "storage: ${LC_TEST_PLACE}/maps needs the environment variable LC_TEST_PLACE, which is "
        "not set. Set it, for example with `export LC_TEST_PLACE=...`"
    )


# What it refuses: (change, the one line that says so: key, what is wrong, what to do)

REFUSED = [
    # unknown and missing keys
    ("{yeers: [2017]}", "yeers: this key is not known. Did you mean years?"),
    ("{aoi: {resolutoin: 10}}", "aoi.resolutoin: this key is not known. Did you mean resolution?"),
    ("{clouds: {strength: 3}}", "clouds.strength: this key is not known."),
    ("{clouds: {zzz: 3}}", "Keys here are method, threshold, average_over, dilation, resolution, "),
    ("{3: 4}", "3: this key is not known. Keys here are name, storage, season, years"),
    ("{name: null}", "name: this key is missing. Give it."),
    ("{aoi: null}", "aoi: this key is missing. Give it."),
    ("{imagery: {source: null}}", "imagery.source: this key is missing. Give it."),
    ("{imagery: {catalog: null}}", "imagery.catalog: this key is missing. Source stac needs the"),
    ("{reference: {path: null}}", "reference.path: this key is missing. Give the reference map's"),
    ("{reference: {attribute: null}}", "reference.attribute: this key is missing. Name the"),
    # wrong types
    ("{years: 2017}", "years: 2017 is not a list. Write [2017]."),
    ("{years: [two]}", "years[0]: 'two' is not a whole number. Write one."),
    ("{years: [2017.5]}", "years[0]: 2017.5 is not a whole number. Write one."),
    ("{years: []}", "years: [] has 0. Give at least one entry."),
    ("{years: [1066]}", "years[0]: 1066 is below 1972. Give a number that is at least 1972."),
    ("{years: [true]}", "years[0]: true is a truth value, which is not expected here."),
    ("{name: 3}", 'name: 3 is not text. Put it in quotes: "3".'),
    ("{name: my map}", "name: 'my map' is not allowed. Take letters, digits, _ and -."),
    ("{storage: [a]}", "storage: ['a'] is not text"),
    ("{aoi: here}", "aoi: 'here' is not a section of keys and values. Its keys are boundary,"),
    ("{aoi: {buffer: wide}}", "aoi.buffer: 'wide' is not a number. Write one."),
    ("{aoi: {resolution: .nan}}", "aoi.resolution: nan is not a finite number. Write one."),
    ("{aoi: {boundary: null, country: no}}", "put it in quotes"),
    ("{aoi: {split: 25}}", "aoi.split: 25 is not a list of 2 numbers. Write for example [25, 17]."),
    ("{aoi: {split: [25]}}", "aoi.split: [25] has 1. Give 2 numbers."),
    ("{aoi: {split: [2, 3, 4]}}", "aoi.split: [2, 3, 4] has 3. Give 2 numbers."),
    ("{aoi: {bbox: [1, 2, 3]}}", "aoi.bbox: [1, 2, 3] has 3. Give 4 numbers."),
    ("{imagery: {bands: B04}}", "imagery.bands: 'B04' is not a list. Write [B04]."),
    ("{imagery: {bands: [4]}}", 'imagery.bands[0]: 4 is not text. Put it in quotes: "4".'),
    ("{clouds: {dilation: 1.5}}", "clouds.dilation: 1.5 is not a whole number. Write one."),
    ("{features: {interval: 16 days}}", "features.interval: '16 days' is not a whole number."),
    ("{processing: {probabilities: sure}}", "processing.probabilities: 'sure' is not true or"),
    ("{model: 3}", "model: 3 is not a section of keys and values."),
    # wrong values and units
    ("{aoi: {buffer: -5}}", "aoi.buffer: -5 is below 0. Give a number that is at least 0."),
    ("{aoi: {resolution: 0}}", "aoi.resolution: 0 is not above 0. Give a number that is above 0."),
    (
        "{aoi: {patch_size: 10005}}",
        "aoi.patch_size: 10005 m is not a multiple of resolution (10 m). Take 10000 or 10010.",
    ),
    ("{aoi: {patch_size: 5}}", "aoi.patch_size: 5 m is not a multiple of resolution (10 m). Take "),
    ("{aoi: {crs: EPSG:99999}}", "aoi.crs: EPSG:99999 is no CRS that is known. Write for example"),
    ("{aoi: {crs: EPSG:4326}}", "aoi.crs: EPSG:4326 (WGS 84) is in degrees; a projected CRS in"),
    (
        "{aoi: {crs: +proj=laea +lat_0=46}}",
        "aoi.crs: +proj=laea +lat_0=46 has no authority's code.",
    ),
    ("{mosaic_crs: EPSG:4326}", "mosaic_crs: EPSG:4326 (WGS 84) is in degrees; a projected CRS"),
    ("{mosaic_crs: utm}", "mosaic_crs: utm is many CRSs, and one map has one. Write for example"),
    ("{imagery: {max_cloud_cover: 0.8}}", "is taken as a fraction, and this is in percent. Write"),
    ("{imagery: {max_cloud_cover: 180}}", "imagery.max_cloud_cover: 180 is above 100. Give a"),
    ("{clouds: {threshold: 40}}", "clouds.threshold: 40 is not a fraction between 0 and 1. For"),
    ("{features: {min_valid_fraction: 80}}", "For 80 %, write 0.8."),
    ("{sampling: {test_fraction: 20}}", "For 20 %, write 0.2."),
    ("{sampling: {test_fraction: 1}}", "sampling.test_fraction: 1 is not below 1. Give a number"),
    ("{clouds: {resolution: 45}}", "clouds.resolution: 45 m is not a multiple of aoi.resolution"),
    ("{processing: {window: 300}}", "processing.window: 300 is above 256 and no multiple of it."),
    ("{imagery: {source: s3}}", "imagery.source: 's3' is not known. It is one of sentinel_hub, "),
    ("{imagery: {source: STAC}}", "simulated. Did you mean stac?"),
    (
        "{clouds: {temporal: true, resolution: 10}}",
        "clouds.temporal: true takes a grid coarser than the map's, and clouds.resolution is that "
        "of the map (10 m). Give a multiple, such as clouds.resolution: 20.",
    ),
    ("{clouds: {shadow_reach: 0}}", "clouds.shadow_reach: "),
    ("{clouds: {method: sen2cor}}", "It is one of s2cloudless, unet, scl, fmask, provider."),
    (
        "{clouds: {method: unet, threshold: 0.5}}",
        "clouds.threshold: the network of method: unet says which class is the most probable, and "
        "no threshold is asked for. Remove the key",
    ),
    (
        "{clouds: {method: unet}, imagery: {collection: landsat-c2-l2}}",
        "clouds.method: unet has networks for reflectance at the top of the atmosphere (L1C) and "
        "of the surface (L2A), and landsat-c2-l2 says neither in its name. Take "
        "imagery.collection: sentinel-2-l1c or sentinel-2-l2a",
    ),
    (
        "{clouds: {method: unet}, imagery: {collection: HLSS30_2.0}}",
        "clouds.method: unet does not fit HLSS30_2.0: ",
    ),
    ("{clouds: {method: fmask}}", "clouds.method: fmask does not fit sentinel-2-l1c: fmask reads"),
    (
        "{imagery: {collection: HLSS30_2.0}}",
        "clouds.method: s2cloudless does not fit HLSS30_2.0: fmask reads the band Fmask of HLS",
    ),
    (
        "{imagery: {source: sentinel_hub, catalog: null, resampling: cubic}}",
        "imagery.resampling: is for source stac, and the source is sentinel_hub. Remove it, or",
    ),
    ("{sampling: {class_weights: balance}}", "Did you mean balanced?"),
    ("{sampling: {class_weights: {water: 0}}}", "water: the weight 0 is no number above 0."),
    ("{sampling: {class_weights: {watr: 2}}}", "sampling.class_weights: watr is no class of"),
    ("{sampling: {class_erosion: {watr: 2}}}", "sampling.class_erosion: watr is no class of"),
    ("{sampling: {core_fraction: 50}}", "For 50 %, write 0.5."),
    (
        "{sampling: {pixels_per_class: 9}}",
        "pixels_per_class: is for strategy balanced, and the strategy is uniform. Remove it",
    ),
    (
        "{sampling: {core_fraction: 0.5}, reference: {path: map.tif}}",
        "sampling.core_fraction: asks for the polygon that each pixel lies in, and map.tif is a",
    ),
    # combinations
    ("{aoi: {country: Slovenia}}", "aoi: exactly one of boundary, bbox and country says where;"),
    ("{aoi: {boundary: null}}", "none of them is given."),
    ("{aoi: {split: [2, 2]}}", "aoi: exactly one of split (columns x rows) and patch_size"),
    ("{aoi: {patch_size: null}}", "neither is given."),
    ("{aoi: {crs: utm, patch_size: null, split: [2, 2]}}", "with crs: utm give patch_size."),
    (
        "{imagery: {collection: sentinel-2-l2a}}",
        "clouds.method: s2cloudless needs ten L1C bands, B10 among them, and sentinel-2-l2a is "
        "L2A, which has no B10. Take clouds.method: scl, or imagery.collection: sentinel-2-l1c.",
    ),
    ("{clouds: {method: scl}}", "clouds.method: scl reads the scene classification of L2A"),
    (
        "{imagery: {catalog: earth-search}, clouds: {method: provider}}",
        "clouds.method: provider takes the masks of source sentinel_hub, or of a catalog that has "
        "CLM and CLP, and earth-search has none. Take s2cloudless for L1C, scl for L2A.",
    ),
    ("{imagery: {simulation: {seed: 1}}}", "imagery.simulation: is for source simulated, and the"),
    # bands and indices
    ("{imagery: {bands: []}}", "imagery.bands: at least one band is needed. Write for example"),
    ("{imagery: {bands: [B04, red]}}", "imagery.bands: B04 is named more than once. Name it once."),
    ("{features: {indices: [NDV]}}", "features.indices[0]: NDV is not known; known are NDVI, NDWI"),
    ("{features: {indices: NDVI}}", "features.indices: 'NDVI' is not a list. Write [NDVI]."),
    ("{features: {indices: [NORM, 3]}}", "features.indices[1]: 3 is not one index. Write a name,"),
    ("{features: {indices: [{A: [B04]}]}}", "features.indices[0].A: ['B04'] is not a pair of"),
    ("{features: {indices: [{A: [red, B04]}]}}", "A normalized difference needs two different"),
    ("{features: {indices: [{A: [B04, B08], B: [B03, B08]}]}}", "is not one index."),
    ('{features: {indices: [{"a b": [B04, B08]}]}}', "'a b' is no name of an index. Take letters,"),
    ("{features: {indices: [{NDVI: [B03, B08]}]}}", "NDVI has its bands already. Take another"),
    (
        "{features: {indices: [EVI, {EVI2: 2.5 * (B08 - B4)}]}}",
        "features.indices[1]: EVI2: character 14 ('B4)'): B4 is neither a band nor a constant that "
        "is given. Did you mean B04? Bands are B01, ",
    ),
    ("{features: {indices: [{X: {formula: 3}}]}}", "indices[0].X: 3 is no expression. Write text"),
    ("{features: {indices: [{SAVI: {L: a}}]}}", "SAVI: 'a' is no value of a constant. Write a"),
    ("{features: {indices: [NIRvP]}}", "NIRvP: PAR has no usual value. Give it: {NIRvP: {PAR: 50"),
    ("{features: {indices: [EVI, {EVI: [B08, B03]}]}}", "indices: EVI is named more than once."),
    ("{features: {indices: [NDVI, NDVI]}}", "features.indices: NDVI is named more than once."),
    ("{features: {indices: [{B04: [B03, B08]}]}}", "B04 is also a band of imagery.bands. Take"),
    # classes
    ("{reference: {classes: []}}", "reference.classes: [] has 0. Give at least one entry."),
    ("{reference: {classes: {1: forest}}}", "reference.classes: {1: 'forest'} is not a list."),
    (
        f"{{reference: {{classes: [{CLASS}, nam: y}}]}}}}",
        "nam: this key is not known. Did",
    ),
    (
        '{reference: {classes: [{id: 0, name: x, color: "#000000"}]}}',
        "[0].id: 0 is below 1.",
    ),
    (
        "{reference: {classes: [{id: 1, name: x, color: dark blue}]}}",
        "classes[0].color: 'dark blue' is no colour. Did you mean darkblue?",
    ),
    (f"{{reference: {{classes: [{CLASS}, values: 3}}]}}}}", "values: 3 is not a list. Write [3]."),
    (
        f"{{reference: {{classes: [{CLASS}, values: [{{}}]}}]}}}}",
        "{} is no value of a class.",
    ),
    (
        f"{{reference: {{classes: [{CLASS}, values: []}}]}}}}",
        "x has no value of the reference.",
    ),
    (f"{{reference: {{classes: [{CLASS}, values: [7, 7]}}]}}}}", "7 is given twice. Give it once."),
    (
        f"{{reference: {{classes: [{CLASS}}}, {CLASS}}}]}}}}",
        "reference.classes[1].id: 1 is also that of classes[0]. Give every class its own.",
    ),
    (
        f"{{reference: {{classes: [{CLASS}}}, {{id: 2, name: x, color: '#000000'}}]}}}}",
        "reference.classes[1].name: x is also that of classes[0]. Give every class its own.",
    ),
    (
        f"{{reference: {{classes: [{CLASS}, values: ['7']}}, "
        "{id: 2, name: y, color: '#000000', values: [7]}]}}",
        "reference.classes[1].values: 7 is also in classes[0] (x). A reference value can belong to "
        "one class only.",
    ),
    ("{reference: {ignore: ['1100']}}", "classes[0].values: 1100 is also in ignore. Remove one"),
    # LightGBM
    ("{model: {method: combind}}", "model.method: 'combind' is none of lightgbm, random_forest, "),
    (
        "{model: {method: discriminant, num_leaves: 3}}",
        "model.num_leaves: is of LightGBM, which method: discriminant does without. Remove it",
    ),
    ("{model: {num_leavs: 3}}", "model.num_leavs: is no parameter of LightGBM. Did you mean num_"),
    ("{model: {seed: 3}}", "model.seed: is set by the platform. Remove it."),
    ("{model: {random_state: 3}}", "model.random_state: is set by the platform. Remove it."),
    ("{model: {eta: 1, learning_rate: 1}}", "model.learning_rate: is another name of eta. Give"),
    ("{model: {num_leaves: many}}", "model.num_leaves: LightGBM refuses 'many' ("),
    ("{model: {max_bin: 1}}", "model.max_bin: LightGBM refuses 1 ("),
    (
        "{model: {early_stopping_rounds: 5, boosting: dart}}",
        "model.early_stopping_round: boosting: dart goes on changing its trees, so that no round",
    ),
    (
        "{model: {method: lightgbm, early_stopping_round: 5, metric: None}}",
        "model.early_stopping_round: metric: None leaves nothing to stop by. Remove one of them.",
    ),
    (
        "{model: {early_stopping_round: soon}}",
        "model.early_stopping_round: LightGBM refuses 'soon' (",
    ),
    # Networks
    ("{model: {method: tempcnn, epochs: 0}}", "model.epochs: TempCNN refuses 0 (it is a whole num"),
    (
        "{model: {method: ltae, heads: 7}}",
        "model.channels: 128 channels cannot be dealt to 7 heads",
    ),
    ("{model: {method: ltae, filters: 7}}", "model.filters: is no parameter of L-TAE."),
    (
        "{model: {of: {lightgbm: 1, ltae: {dropout: 1}}}}",
        "model.of.ltae.dropout: L-TAE refuses 1 (it is from 0 to below 1). Give another",
    ),
    (
        "{model: {method: tempcnn}, features: {families: [statistics]}}",
        "model.method: tempcnn reads bands and indices on dates, and features.families ([statisti",
    ),
    # A model that was trained elsewhere
    ("{model: {path: model.txt}}", "model.card: there is none. Give the path of its card, with"),
    ("{model: {card: card.yaml}}", "model.path: there is none. Give the path of the model's file."),
    (
        "{model: {path: model.pkl, card: card.yaml}}",
        "model.path: model.pkl is none of .txt, .json, .onnx. A pickle runs what is in it, and is",
    ),
    (
        "{model: {path: a.txt, card: a.yaml, num_leaves: 3}}",
        "model.num_leaves: the model of path is trained already. Remove one of them.",
    ),
    (
        "{model: {path: a.onnx, card: a.yaml}, map: {prediction_sets: 0.9}}",
        "map.prediction_sets: needs classifiers that are trained on a part of the ground each, and",
    ),
    (
        "{model: {path: a.onnx, card: a.yaml}, validation: {calibration: isotonic}}",
        "validation.calibration: needs classifiers that are trained on a part of the ground each",
    ),
    # scikit-learn
    (
        "{model: {method: random_forest, n_estimater: 9}}",
        "model.n_estimater: is no parameter of scikit-learn's RandomForestClassifier. Did you mean "
        "n_estimators?",
    ),
    (
        "{model: {method: extra_trees, n_estimators: 0}}",
        "model.n_estimators: scikit-learn's ExtraTreesClassifier refuses 0 (",
    ),
    (
        "{model: {method: random_forest, num_leaves: 9}}",
        "model.num_leaves: is of LightGBM, which method: random_forest does without. Remove it",
    ),
    ("{model: {method: random_forest, n_jobs: 2}}", "model.n_jobs: is set by the platform. Remove"),
    ("{model: {method: logistic, C: -1}}", "model.C: scikit-learn's LogisticRegression refuses -1"),
    # Several methods
    (
        "{model: {of: {lightgbm: 1}}}",
        "model.of: {'lightgbm': 1} is not two methods or more with a weight each. Write of: ",
    ),
    (
        "{model: {of: {lightgbm: 1, logistik: 1}}}",
        "model.of.logistik: is none of lightgbm, random_forest, extra_trees, discriminant, ",
    ),
    ("{model: {regions: zones.gpkg}}", "model.regions: 'zones.gpkg' is no mapping. Write regions"),
    (
        "{model: {regions: {path: zones.gpkg}}}",
        "model.regions.attribute: there is none. Give the attribute that names a region",
    ),
    (
        "{model: {regions: {path: zones.gpkg, atribute: name}}}",
        "model.regions.atribute: is not known. Did you mean attribute?",
    ),
    (
        "{model: {regions: {path: zones.gpkg, attribute: name, blend: 0}}}",
        "model.regions.blend: 0 is no number of metres from 1 to 1000000",
    ),
    (
        "{model: {path: m.txt, card: c.json, regions: {path: z.gpkg, attribute: name}}}",
        "model.regions: the model of path is trained already. Remove one of them",
    ),
    ("{model: {of: {lightgbm: 1, logistic: 0}}}", "model.of.logistic: the weight 0 is no number"),
    (
        "{model: {of: {lightgbm: {num_leavs: 7}, logistic: 1}}}",
        "model.of.lightgbm.num_leavs: is no parameter of LightGBM. Did you mean num_leaves?",
    ),
    (
        "{model: {num_leaves: 7, of: {lightgbm: 1, logistic: 1}}}",
        "model.num_leaves: where of is given, parameters stand in it",
    ),
    (
        "{model: {method: logistic, of: {lightgbm: 1, discriminant: 1}}}",
        "model.of: belongs to method: combined, and the method is logistic",
    ),
]


@pytest.mark.parametrize(("change", "line"), REFUSED, ids=[change for change, _ in REFUSED])
def test_what_does_not_fit_is_refused_in_one_line_with_its_key_and_what_to_do(
    change: str, line: str
) -> None:
    found = [one for one in refusal(change) if line in one]
    assert len(found) == 1, refusal(change)
    assert re.match(r"[a-z_]+(\.[A-Za-z_]+|\[\d\])*: |3: ", found[0])
    assert found[0].endswith((".", "?"))
    assert ".." not in found[0]
    assert "?." not in found[0]


@pytest.mark.parametrize("change", [change for change, _ in REFUSED])
def test_no_error_speaks_of_the_validation_library(change: str) -> None:
    text = "\n".join(refusal(change)).lower()
    for jargon in (
        "tuple",
        "input should",
        "dictionary",
        "instance",
        "parse",
        "pydantic",
        "valueerr",
    ):
        assert jargon not in text


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            "{imagery: {bands: [B99]}}",
            "imagery.bands: the simulated archive has no B99; it",
        ),
        (
            "{imagery: {collection: x}}",
            "imagery.collection: the simulated archive is sentinel",
        ),
        ("{imagery: {catalog: a.json}}", "imagery.catalog: is for source stac, and the source is"),
        (
            "{imagery: {simulation: {cloudiness: -1}}}",
            "imagery.simulation.cloudiness: -1 is below",
        ),
        ("{imagery: {simulation: {mistakes: {shifted: 2}}}}", "mistakes.shifted: 2 is above 1."),
        ("{features: {indices: [{A: [B99, B04]}]}}", "features.indices: A needs B99, and the"),
    ],
)
def test_what_the_simulated_archive_cannot_give_is_refused(change: str, line: str) -> None:
    assert line in "\n".join(refusal(change, SIMULATED))


def test_every_problem_has_a_line_and_no_problem_has_two() -> None:
    lines = refusal(
        "{years: [x], name: a b, clouds: {threshold: x, method: y}, aoi: {bufer: 3}, "
        "features: {indices: [3]}}"
    )
    assert [line.partition(":")[0] for line in lines] == [
        "name",
        "years[0]",
        "aoi.bufer",
        "clouds.method",
        "clouds.threshold",
        "features.indices[0]",
    ]


def test_a_long_value_is_shortened_in_its_error() -> None:
    (line,) = refusal("{years: " + "x" * 500 + "}")
    assert len(line) < 700
    (line,) = refusal("{aoi: [" + ", ".join(["1"] * 300) + "]}")
    assert len(line) < 250


# Files


def written(folder: Path, text: str) -> Path:
    file = folder / "lc.yaml"
    file.write_text(text)
    return file


def error_of(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value)


def test_a_file_that_is_not_there_is_named_with_what_writes_one(tmp_path: Path) -> None:
    message = error_of(tmp_path / "lc.yaml")
    assert message.startswith(f"{tmp_path}/lc.yaml: cannot be read (No such file or directory). ")
    assert "`lc-platform init DIR` writes a configuration" in message


def test_a_file_with_a_problem_is_named_above_the_lines(tmp_path: Path) -> None:
    file = written(tmp_path, SMALLEST + "yeers: [3]\n")
    assert error_of(file) == f"{file}:\nyeers: this key is not known. Did you mean years?"


def test_a_file_that_is_no_yaml_is_refused_with_the_line(tmp_path: Path) -> None:
    file = written(tmp_path, "name: a\nyears: [2017\naoi: {}\n")
    message = error_of(file)
    assert message.startswith(f"{file}: is no valid YAML. Line 3, column ")
    assert message.endswith("Mend that line, or the one before it")


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "just words\n"])
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, text: str) -> None:
    message = error_of(written(tmp_path, text))
    assert "the configuration is not a mapping of keys to values. `lc-platform init" in message


def test_a_key_that_is_given_twice_is_refused_and_not_the_last_taken(tmp_path: Path) -> None:
    message = error_of(written(tmp_path, SMALLEST + "years: [2018]\n"))
    assert "Line 13, column 1: the key years is given twice. Mend" in message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lc.yaml"
    file.write_bytes(b"name: \xff\xfe\n")
    assert f"{file}: is not text in UTF-8" in error_of(file)


@pytest.mark.parametrize("source", config.SOURCES)
def test_the_template_of_every_source_is_a_valid_configuration(source: str) -> None:
    settings = parse(yaml.safe_load(config.template(source)))
    assert settings.imagery.source == source


# The configuration that Dagster takes


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(config.ENVIRONMENT_VARIABLE, raising=False)
    return tmp_path


def test_dagster_takes_the_file_that_the_variable_names(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(config.ENVIRONMENT_VARIABLE, str(written(empty_folder, SMALLEST)))
    assert config.current().name == "slovenia"


def test_dagster_takes_the_demo_that_has_been_left(empty_folder: Path) -> None:
    folder = empty_folder / config.DEMO_FOLDER
    folder.mkdir()
    (folder / config.FILE_NAME).write_text(SIMULATED.replace("demo", "left"))
    settings = config.current()
    assert (settings.name, settings.folder) == ("left", folder)


def test_dagster_takes_the_file_of_its_folder_before_the_demo(empty_folder: Path) -> None:
    for name, folder in (("left", empty_folder / config.DEMO_FOLDER), ("own", empty_folder)):
        folder.mkdir(exist_ok=True)
        (folder / config.FILE_NAME).write_text(SIMULATED.replace("demo", name))
    assert config.current().name == "own"


def test_dagster_takes_what_the_demo_would_write_and_writes_nothing(empty_folder: Path) -> None:
    settings = config.current()
    assert settings.imagery.source == "simulated"
    assert settings.reference.path is None
    assert settings.storage_url.startswith(str(empty_folder / config.DEMO_FOLDER))
    assert os.listdir(empty_folder) == []  # noqa: PTH208


def test_networks_that_are_not_installed_are_asked_for_when_the_file_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csmask, "lacking", lambda: ["ukis-csmask", "onnxruntime"])
    (line,) = [one for one in refusal("{clouds: {method: unet}}") if "clouds.method" in one]
    assert "ukis-csmask and onnxruntime, which is not installed: `pip install 'lc-pl" in line
    monkeypatch.setattr(csmask, "lacking", list)
    assert configured("{clouds: {method: unet}}").clouds.resolution == 30
    assert configured("{clouds: {method: unet, resolution: 20}}").clouds.resolution == 20
    assert configured().clouds.resolution == 80
