"""What editors are told of the configuration."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from lc_platform.config import SOURCES, ConfigError, parse, template
from lc_platform.config.json_schema import json_schema, stored_schema
from lc_platform.config.keys import every_key
from lc_platform_tests.config.configurations import SIMULATED, SMALLEST, merged, uncommented
from lc_platform_tests.rooms import PROJECT

SCHEMA = Draft7Validator(json.loads(stored_schema()))


def refused(data: Any) -> list[str]:
    """The keys that an editor marks, with the keys that there are not."""
    return [
        ".".join([*map(str, one.absolute_path), *re.findall(r"\('(\w+)' was", one.message)])
        for one in SCHEMA.iter_errors(data)
    ]


def test_the_schema_of_the_package_is_that_of_the_sections() -> None:
    assert json.loads(stored_schema()) == json_schema(), (
        "write it again: python -m lc_platform.config.json_schema"
    )


def test_it_is_a_schema_of_the_draft_that_the_language_server_reads() -> None:
    Draft7Validator.check_schema(SCHEMA.schema)
    assert SCHEMA.schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert not re.search(r'"(\$defs|prefixItems|ge|le)":', stored_schema())


def test_every_key_has_its_description_there() -> None:
    assert stored_schema().count('"description": ') >= len(
        [key for key in every_key().values() if key.description]
    )
    clouds = SCHEMA.schema["definitions"]["Clouds"]["properties"]
    assert clouds["threshold"]["description"].startswith("The cloud probability, between 0 and 1")
    assert (clouds["threshold"]["minimum"], clouds["threshold"]["maximum"]) == (0, 1)
    assert clouds["threshold"]["default"] == 0.4


@pytest.mark.parametrize("source", SOURCES)
def test_what_init_writes_is_accepted_also_with_every_example(source: str) -> None:
    text = template(source)
    assert refused(yaml.safe_load(text)) == []
    assert refused(yaml.safe_load(uncommented(text, 3))) == []


@pytest.mark.parametrize(
    "change",
    [
        "{}",
        "{clouds: null, sampling: null}",
        "{years: ['2018', 2017]}",
        "{aoi: {crs: 32633, boundary: null, bbox: [1, 2, 3, 4]}}",
        "{imagery: {also: [landsat-c2-l2, {collection: sentinel-1-grd, bands: [VV]}]}}",
        "{features: {indices: [EVI, {NDRE: [B8A, B05]}, {SAVI: {L: 0.25}}, {X: B08 - B04}]}}",
        "{statistics: {index: null}}",
        "{sampling: {class_weights: {forest: 0.5}, class_erosion: {forest: 0}}}",
        "{map: {smoothing: bayes, smoothing_variance: {forest: 5}}}",
        "{change: {forbidden: {forest: [cultivated land]}, rotations: [[a, b]]}}",
        "{model: {method: combined, of: {lightgbm: {weight: 2, num_leaves: 7}, logistic: 1}}}",
        "{model: {num_iterations: 20, boosting: dart}}",
        "{object_store: {verify: authorities.pem, endpoint: '${ENDPOINT}'}}",
        "{operations: {notify: {email: {host: a, sender: b, to: [c], password: '${P}'}}}}",
    ],
)
def test_what_loads_is_accepted(change: str) -> None:
    assert refused(merged(yaml.safe_load(SMALLEST), yaml.safe_load(change))) == []


def test_the_simulated_archive_needs_no_reference_and_others_do() -> None:
    assert refused(yaml.safe_load(SIMULATED)) == []
    without = merged(yaml.safe_load(SMALLEST), {"reference": None})
    assert refused(without) == [""]
    without["reference"] = {"path": "lulc.gpkg", "attribute": "a"}
    assert refused(without) == ["reference"]


def test_a_key_that_there_is_not_is_marked_in_every_section() -> None:
    every = yaml.safe_load(uncommented(template("stac"), 3))
    for key in (key for key in every_key().values() if key.section):
        data = copy.deepcopy(every)
        section = data
        for part in key.path.split("."):
            section = section[part]
            section = section[0] if isinstance(section, list) else section
        section["no_such_key"] = 1
        marked = refused(data)
        assert len(marked) == 1, key.path
        assert marked[0].startswith(key.path.split(".")[0])


@pytest.mark.parametrize(
    ("change", "marked"),
    [
        ({"clouds": {"methd": "scl"}}, "clouds"),
        ({"clouds": {"threshold": 40}}, "clouds"),
        ({"imagery": {"source": "landsat"}}, "imagery.source"),
        ({"imagery": {"max_cloud_cover": "much"}}, "imagery.max_cloud_cover"),
        ({"aoi": {"bbox": [1, 2, 3]}}, "aoi.bbox"),
        ({"name": "with blanks"}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_refused_on_load_is_marked(change: dict[str, Any], marked: str) -> None:
    data = merged(yaml.safe_load(SMALLEST), change)
    with pytest.raises(ConfigError):
        parse(data)
    assert marked in refused(data)


def test_the_configurations_of_the_documentation_are_accepted() -> None:
    seen = 0
    for page in (PROJECT / "docs").rglob("*.md"):
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            found = yaml.safe_load(block)
            if isinstance(found, dict) and {*found} <= {*SCHEMA.schema["properties"]}:
                assert refused(merged(yaml.safe_load(SMALLEST), found)) == [], page
                seen += 1
    assert seen
