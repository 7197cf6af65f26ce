"""From a YAML file to a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lc_platform.config.problems import ConfigError, problems
from lc_platform.config.readings import Loader
from lc_platform.config.sections import Config

ENVIRONMENT_VARIABLE = "LC_PLATFORM_CONFIG"
FILE_NAME = "lc-platform.yaml"
DEMO_FOLDER = "lc-demo"


def parse(data: Any, folder: Path | None = None) -> Config:
    """Return a configuration from what a YAML file holds; `folder` is what relative paths start
    from.

    Raises ConfigError with a line for every problem.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(
            "the configuration is not a mapping of keys to values. `lc-platform init DIR` writes "
            "one to start from"
        )
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(problems(error, Config))) from None
    config._folder = (folder or Path.cwd()).resolve()
    return config


def load(path: str | Path) -> Config:
    """Return the configuration in a YAML file.

    Raises ConfigError naming the file, and the keys, where it is missing, no YAML or not valid.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text in UTF-8 ({error}). Save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). `lc-platform init DIR` writes a "
            "configuration to start from"
        ) from error
    try:
        data = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no valid YAML. {_mistake(error)}") from error
    try:
        return parse(data, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}:\n{error}") from None


def _mistake(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"{error}. Mend it, or write text in quotes"
    mark = error.problem_mark
    return (
        f"Line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}. Mend "
        "that line, or the one before it"
    )


def file_here() -> Path | None:
    """Return the configuration's file in the folder one is in; None where it has none."""
    here = Path(FILE_NAME)
    return here if here.is_file() else None


def current() -> Config:
    """Return the configuration for Dagster: the file that LC_PLATFORM_CONFIG names, or
    ./lc-platform.yaml, or the demo's.

    The demo's is ./lc-demo/lc-platform.yaml where `lc-platform demo` has left one, and what that
    would write otherwise.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return load(named)
    if (here := file_here()) is not None:
        return load(here.absolute())
    demo = Path.cwd() / DEMO_FOLDER / FILE_NAME
    if demo.is_file():
        return load(demo)
    from lc_platform.config.template import template

    data = yaml.safe_load(template("simulated"))
    data.get("reference", {}).pop("path", None)
    return parse(data, demo.parent)
