"""The configuration that `init` writes has every key of the schema, and loads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from lc_platform.config import SOURCES, Config, load, parse, template
from lc_platform_tests.config.configurations import uncommented


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from sections(part)


def keys_of(section: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every key of the schema, in full."""
    for name, field in section.model_fields.items():
        yield above + name
        for inner in sections(field.annotation):
            yield from keys_of(inner, f"{above}{name}.")


def keys_in(data: Any, above: str = "") -> Iterator[str]:
    """Every key of a configuration, in full."""
    for one in data if isinstance(data, list) else [data]:
        if isinstance(one, dict):
            for name, value in one.items():
                yield above + name
                yield from keys_in(value, f"{above}{name}.")


@pytest.mark.parametrize("source", SOURCES)
def test_every_key_of_the_schema_is_in_the_template(source: str) -> None:
    written = set(keys_in(yaml.safe_load(uncommented(template(source), 3))))
    assert set(keys_of(Config)) - written == set()


@pytest.mark.parametrize("source", SOURCES)
def test_the_template_loads_and_has_the_source_that_is_asked_for(
    source: str, tmp_path: Path
) -> None:
    file = tmp_path / "lc.yaml"
    file.write_text(template(source), encoding="utf-8")
    assert load(file).imagery.source == source


def by_default(section: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    """(key in full, its default) of what is no section and is given by default."""
    for name, field in section.model_fields.items():
        inner = list(sections(field.annotation))
        if get_origin(field.annotation) is tuple and inner:
            continue
        for one in inner:
            yield from by_default(one, f"{above}{name}.")
        default = field.get_default(call_default_factory=True, validated_data={})
        if not inner and not field.is_required() and default not in (None, (), ""):
            yield above + name, default


def at(data: Any, key: str) -> Any:
    for part in key.split("."):
        data = data[part]
    return list(data) if isinstance(data, tuple) else data


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_commented_out_has_its_default_value(source: str) -> None:
    text = template(source)
    given, all_of_it = yaml.safe_load(text), yaml.safe_load(uncommented(text, 3))
    checked = 0
    for key, default in by_default(Config):
        if key in set(keys_in(given)):
            continue
        expected = list(default) if isinstance(default, tuple) else default
        assert at(all_of_it, key) == expected, key
        checked += 1
    assert checked > 20


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("section", ["processing", "operations", "object_store", "sampling"])
def test_a_section_may_be_taken_out_of_its_comment_as_it_stands(source: str, section: str) -> None:
    given = yaml.safe_load(template(source))
    once = yaml.safe_load(uncommented(template(source), 1))
    parse(given | {section: once[section]})


@pytest.mark.parametrize("source", SOURCES)
def test_every_key_says_what_it_is(source: str) -> None:
    bare = [
        line
        for line in template(source).splitlines()
        if (found := re.match(r"^[\s#]*(?:- )?[a-z_]+:.*$", line)) and " # " not in found[0][20:]
    ]
    assert bare == []


@pytest.mark.parametrize("source", SOURCES)
def test_no_line_is_too_long_to_read(source: str) -> None:
    assert max(map(len, template(source).splitlines())) <= 110
