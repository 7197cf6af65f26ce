"""The smallest configurations, and what a change of one gives or meets."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from lc_platform.config import Config, ConfigError, parse

SMALLEST = """
name: slovenia
storage: ./lc-data
years: [2017]
aoi: {boundary: border.geojson, crs: EPSG:32633, patch_size: 10000}
imagery: {source: stac, catalog: catalog.json}
reference:
  path: lulc.gpkg
  attribute: LULC_ID
  classes:
    - {id: 1, name: cultivated land, color: "#ffff00", values: [1100, 1180]}
    - {id: 2, name: forest, color: "#00ff00"}
"""
SIMULATED = """
name: demo
storage: ./data
years: [2023]
aoi: {bbox: [16.3, 46.9, 16.4, 47.0], patch_size: 2560}
imagery: {source: simulated}
"""


def merged(base: Any, change: Any) -> Any:
    """``base`` with what ``change`` says; a key that it gives as null is taken out."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    result = copy.deepcopy(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def configured(change: str = "{}", base: str = SMALLEST) -> Config:
    return parse(merged(yaml.safe_load(base), yaml.safe_load(change)))


def refusal(change: str, base: str = SMALLEST) -> list[str]:
    """The lines of the error that a change of the configuration meets."""
    with pytest.raises(ConfigError) as caught:
        configured(change, base)
    return str(caught.value).splitlines()


def uncommented(text: str, times: int) -> str:
    """A template whose keys' marks of a comment are taken away, as a person does it."""
    lines = text.splitlines()
    mark = re.compile(r"^( {0,8})# ( {0,8}(- )?([a-z0-9_]+:( |$)|\{id|# ))")
    for _ in range(times):
        lines = [mark.sub(r"\1\2", line) for line in lines]
    return "\n".join(lines)
