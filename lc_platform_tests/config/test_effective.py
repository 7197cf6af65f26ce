"""The effective configuration."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lc_platform import assets
from lc_platform.config import Config, parse, template
from lc_platform.config.effective import defaults, effective, effective_yaml, unset_variables
from lc_platform.config.keys import every_key, written
from lc_platform.config.readings import Loader
from lc_platform.platform import Platform
from lc_platform_tests.config.configurations import SIMULATED, configured

CHANGES = [
    "{}",
    "{validation: {folds: 0}}",
    "{viewer: {address: null}}",
    "{statistics: {index: none}}",
    "{aoi: {boundary: null, bbox: [14.123456789012, 45.1, 15, 46]}}",
    "{features: {indices: [{NDRE: [B8A, B05]}, {SAVI: {L: 0.25}}]}}",
    "{imagery: {also: [landsat-c2-l2]}}",
    "{model: {method: tempcnn, weight_decay: 0.000001}}",
    "{model: {method: combined, of: {lightgbm: {num_leaves: 7}, logistic: 2.0}}}",
    "{name: 'no', reference: {ignore: ['no', '010', 'a: b', ' c ']}}",
    "{operations: {notify: {slack: '${HOOK}'}}}",
]


def fingerprint(config: Config) -> str:
    return Platform(config, [asset.recipe for asset in assets.ALL]).versions.fingerprint


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_printed_loads_as_the_same_configuration(change: str) -> None:
    before = configured(change)
    after = parse(yaml.load(effective_yaml(before), Loader))
    assert {k: v for k, v in after if k not in ("model", "validation")} == {
        k: v for k, v in before if k not in ("model", "validation")
    }
    # What is left out of it has its default there, and an artefact has the same version.
    assert fingerprint(after) == fingerprint(before)
    assert after.model_parameters == before.model_parameters


@pytest.mark.parametrize("source", ["stac"])
def test_every_key_is_there_and_those_by_default_are_marked(source: str) -> None:
    config = parse(yaml.safe_load(template(source)))
    printed = effective_yaml(config)
    plain = yaml.safe_load(printed)
    for path, key in every_key().items():
        if "." not in path:
            assert key.name in plain or f"\n# {key.name}:" in printed, path
    by_default = [line for line in printed.splitlines() if line.endswith("# default")]
    assert len(by_default) == len(defaults(config))
    assert any(line.startswith("  threshold: 0.4 ") for line in by_default)
    assert not any("patch_size" in line for line in by_default)


def test_what_is_given_is_no_default_and_what_equals_it_is() -> None:
    found = defaults(configured("{clouds: {dilation: 3, average_over: 4}}", SIMULATED))
    assert "clouds.average_over" in found
    assert "clouds.dilation" not in found
    assert "years" not in found


def test_a_calibration_that_there_cannot_be_is_none() -> None:
    assert effective(configured("{validation: {folds: 0}}"))["validation"]["calibration"] == "none"


def test_a_secret_stays_a_name_and_is_told_of_where_it_is_not_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK", "https://secret.example.org")
    monkeypatch.delenv("AREA", raising=False)
    config = configured("{operations: {notify: {slack: '${HOOK}'}}, aoi: {boundary: '${AREA}/a'}}")
    assert "slack: ${HOOK}" in effective_yaml(config) or 'slack: "${HOOK}"' in effective_yaml(
        config
    )
    assert "secret" not in effective_yaml(config)
    assert unset_variables(config) == [
        "aoi.boundary: the environment variable AREA is not set. It is read when the value is used"
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-6, "1.0e-06"),
        (14.123456789012, "14.123456789012"),
        (80.0, "80"),
        ("no", '"no"'),
        ("2020-01-01", '"2020-01-01"'),
        ([None, 1], "[null, 1]"),
        ({"a": [1, 2]}, "{a: [1, 2]}"),
        ("", '""'),
    ],
)
def test_a_value_is_written_so_that_it_is_read_as_it_is(value: Any, text: str) -> None:
    assert written(value) == text
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        ("imagery.max_cloud_cover", "%"),
        ("aoi.patch_size", "m"),
        ("aoi.bbox", "degrees"),
        ("features.interval", "days"),
        ("map.minimum_unit", "ha"),
        ("clouds.threshold", "probability, 0 to 1"),
        ("map.prediction_sets", ""),
        ("imagery.retries", ""),
        ("operations.acquisitions.seconds", "s"),
    ],
)
def test_a_number_has_the_unit_that_its_description_names(key: str, unit: str) -> None:
    assert every_key()[key].unit == unit
