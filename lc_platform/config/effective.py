"""The effective configuration: every key with its value, as YAML that loads again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from lc_platform.config.environment import names_in
from lc_platform.config.keys import Key, keys_of, written
from lc_platform.config.model import LIGHTGBM_DEFAULTS, MODEL_METHOD, model_method
from lc_platform.config.sections import Config
from lc_platform.config.validation import Validation

_COLUMN = 44
"""Where it is said that a value is the default."""


def effective(config: Config) -> dict[str, Any]:
    """Return every key of a configuration with its value, sections within sections, as the file
    may have them.

    Environment variables stay ``${NAME}``, and relative paths relative.
    """
    return {key.name: _plain(key, config) for key in keys_of()}


def effective_yaml(config: Config) -> str:
    """Return every key of a configuration with its value as YAML that loads again, from the same
    folder; ``# default`` is beside what has its default, and what has nothing is a comment."""
    lines: list[str] = []
    for key in keys_of():
        if not key.is_required or key.section is not None:
            lines.append("")
        lines += _lines(key, config, "")
    return "\n".join(lines) + "\n"


def _value(key: Key, within: BaseModel) -> Any:
    """Return the value of a key; what other keys make of it, where they do."""
    if isinstance(within, Config) and key.name == "model":
        return _model(within)
    if isinstance(within, Validation) and key.name == "calibration":
        return within.calibrated_by
    return getattr(within, key.name)


def _model(config: Config) -> dict[str, Any]:
    if config.trained_elsewhere:
        return dict(config.model)
    named = {"method": model_method(config.model)}
    members = config.model_members
    return {**named, "of": members} if members else {**named, **config.model_parameters}


def _is_default(key: Key, within: BaseModel) -> bool:
    if isinstance(within, Config) and key.name == "model":
        return _model(within) == {"method": MODEL_METHOD, **LIGHTGBM_DEFAULTS}
    return not key.is_required and bool(_value(key, within) == key.default)


def _plain(key: Key, within: BaseModel) -> Any:
    value = _value(key, within)
    if isinstance(value, BaseModel):
        return {inner.name: _plain(inner, value) for inner in key.keys}
    if key.is_list:
        return [{inner.name: _plain(inner, one) for inner in key.keys} for one in value]
    return _as_lists(value)


def _as_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _as_lists(one) for name, one in value.items()}
    return [_as_lists(one) for one in value] if isinstance(value, list | tuple) else value


def _lines(key: Key, within: BaseModel, indent: str) -> Iterator[str]:
    value = _value(key, within)
    if isinstance(value, BaseModel):
        inside = [line for one in key.keys for line in _lines(one, value, indent + "  ")]
        nothing = all(line.lstrip().startswith("#") for line in inside)
        yield f"{indent}{key.name}: {{}}" if nothing else f"{indent}{key.name}:"
        yield from inside
    elif key.is_list and value:
        yield f"{indent}{key.name}:"
        for one in value:
            given = {k.name: v for k in key.keys if (v := _plain(k, one)) is not None}
            yield f"{indent}  - {written(given)}"
    else:
        usual = _is_default(key, within)
        # What is nothing by default is not written: of a section it would be refused.
        line = f"{indent}{'# ' if usual and value is None else ''}{key.name}: "
        line += (
            ("" if usual else "null")
            if value is None
            else written(value, exact=key.name == "model")
        )
        line = line.rstrip()
        yield f"{line:{_COLUMN}}  # default" if usual else line


def defaults(config: Config) -> list[str]:
    """Return the paths of all keys that have their default, of those that are no sections."""
    return list(_defaults(keys_of(), config))


def _defaults(keys: Iterable[Key], within: BaseModel) -> Iterator[str]:
    for key in keys:
        value = _value(key, within)
        if isinstance(value, BaseModel):
            yield from _defaults(key.keys, value)
        elif _is_default(key, within):
            yield key.path


def unset_variables(config: Config) -> list[str]:
    """Return a sentence for each environment variable that a configuration reads and that is not
    set."""
    return [
        f"{path}: the environment variable {name} is not set. It is read when the value is used"
        for path, value in _leaves("", effective(config))
        if isinstance(value, str)
        for name in names_in(value)
        if name not in os.environ
    ]


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _leaves(f"{path}.{name}" if path else str(name), one)
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _leaves(f"{path}[{i}]", one)
    else:
        yield path, value
