"""The settings of a configuration that differ from the defaults, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lc_platform.config.sections import Config

_NOT_OF_THE_MAP = ("name", "storage", "object_store", "operations", "processing", "years")
"""Sections that say where and how the work is done, not of what the map is made."""


def differing(config: Config) -> dict[str, str]:
    """Return each setting that the map depends on and that is not the default: its value as YAML
    has it on one line, by its path."""
    return _settings(config, exclude_defaults=True)


def settings_that_differ(configs: Sequence[Config]) -> list[dict[str, str]]:
    """Return of each configuration the settings that the map depends on and that are not the same
    in all: its value as YAML has it on one line, empty where it is not there, by its path."""
    flat = [_settings(config, exclude_defaults=False) for config in configs]
    paths = {path: None for one in flat for path in one}
    differ = [path for path in paths if len({one.get(path) for one in flat}) > 1]
    return [{path: one.get(path, "") for path in differ} for one in flat]


def _settings(config: Config, *, exclude_defaults: bool) -> dict[str, str]:
    data = config.model_dump(exclude_defaults=exclude_defaults, mode="json", warnings=False)
    return {
        path: value
        for name, section in data.items()
        if name not in _NOT_OF_THE_MAP
        for path, value in _flat(name, section)
    }


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if path == "reference.classes":
        for one in value:
            about = {k: v for k, v in one.items() if k not in ("name", "id", "color")}
            yield f"{path}: {one['id']} {one['name']}", json.dumps(about, ensure_ascii=False)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}", inner)
    else:
        words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield path, words
