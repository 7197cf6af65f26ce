"""The commented configuration that `lc-platform init` writes: every key that the schema has.

A source's file in `templates` holds what is chosen for it; descriptions, defaults and the other
keys, commented out, come from the schema.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lc_platform.config.sections import Config

EXAMPLES: Mapping[str, Any] = {
    "aoi.boundary": "border.geojson",
    "aoi.bbox": [14.46, 45.93, 14.56, 46.0],
    "aoi.country": "Slovenia",
    "aoi.natural_earth": "countries.gpkg",
    "aoi.split": [25, 17],
    "aoi.patch_size": 10000,
    "imagery.catalog": "earth-search",
    "imagery.data_type": "int16",
    "imagery.also.collection": "sentinel-1-grd",
    "imagery.also.bands": ["VV", "VH"],
    "imagery.also.name": "S1",
    "imagery.also.catalog": "catalog.json",
    "imagery.deployment": "cdse",
    "imagery.profile": "my-team",
    "imagery.requests_per_minute": 300,
    "imagery.budget.processing_units": 30000,
    "imagery.budget.requests": 10000,
    "reference.path": "reference.gpkg",
    "reference.attribute": "class_id",
    "reference.classes": [
        {"id": 1, "name": "cropland", "color": "gold", "values": [10, 11]},
        {"id": 2, "name": "forest", "color": "forestgreen", "values": [20]},
        {"id": 3, "name": "water", "color": "steelblue", "values": [30]},
    ],
    "reference.classes.color": "forestgreen",
    "reference.classes.attribute": "class_id",
    "features.series.dates": ["04-01", "05-15", "07-01", "08-15", "10-01"],
    "features.series.envelope": ["NDVI"],
    "features.statistics.of": ["NDVI"],
    "features.harmonics.of": ["NDVI"],
    "features.layers.name": "elevation",
    "features.layers.path": "terrain.tif",
    "features.layers.tile_index": "tiles.gpkg",
    "features.layers.year_attribute": "year",
    "features.layers.collection": "cop-dem-glo-30",
    "features.layers.catalog": "earth-search",
    "features.layers.datetime": "{year}",
    "features.layers.bands": [1],
    "features.layers.scale": 0.1,
    "features.layers.offset": 0,
    "features.layers.scale_path": "scales_{year}.tif",
    "features.layers.nodata": -9999,
    "features.layers.encoding": "alphaearth",
    "features.layers.terrain": ["slope", "aspect", "curvature"],
    "sampling.points.path": "points.gpkg",
    "sampling.points.layer": "points",
    "sampling.points.attribute": "class",
    "sampling.points.longitude": "x",
    "sampling.points.latitude": "y",
    "sampling.points.weight": "weight",
    "validation.block_size": 2000,
    "map.prediction_sets": 0.9,
    "mosaic_crs": "EPSG:3035",
    "areas.units": "municipalities.gpkg",
    "areas.unit_name": "name",
    "change.forbidden": {"built-up": ["forest", "cropland"]},
    "change.rotations": [["winter cereals", "summer crops"]],
    "operations.notify.slack": "${SLACK_WEBHOOK}",
    "operations.notify.email.host": "mail.example.org",
    "operations.notify.email.user": "maps",
    "operations.notify.email.password": "${MAIL_PASSWORD}",
    "operations.notify.email.sender": "maps@example.org",
    "operations.notify.email.to": ["team@example.org"],
    "operations.notify.ui": "https://dagster.example.org",
    "viewer.base_map.tiles": "https://tiles.example.org/{z}/{x}/{y}.png",
    "viewer.base_map.attribution": "(c) Example",
    "object_store.endpoint": "https://s3.example.org",
    "object_store.region": "eu-central-1",
    "object_store.path_style": True,
    "object_store.profile": "my-team",
}
"""Values of keys that are not given by default, as they may be written."""
_HEAD = """\
# Every key is here. What is commented out has its default value, or is an example of what may be
# given; relative paths are relative to this file.
"""
_COLUMN, _WIDTH = 36, 100
"""Where descriptions begin and end."""


def template(source: str) -> str:
    """Return the commented configuration of a source."""
    chosen = (resources.files("lc_platform") / "templates" / f"{source}.yaml").read_text("utf-8")
    given = yaml.safe_load(chosen)
    if source != "simulated":  # whose classes are its landscape's
        given["reference"]["classes"] = EXAMPLES["reference.classes"]
    head = "".join(re.findall(r"^#.*\n", chosen, re.MULTILINE))
    lines: list[str] = []
    for name, field in Config.model_fields.items():
        if not field.is_required() or _section(field) is not None:
            lines.append("")
        lines += _Entry(name, field, Config).lines(given)
    return head + _HEAD + "\n".join(lines) + "\n"


class _Entry:
    """A key of the schema, as it is written."""

    def __init__(self, name: str, field: FieldInfo, of: type[BaseModel], above: str = "") -> None:
        self._name, self._field = name, field
        self._path = f"{above}.{name}" if above else name
        self._section = _section(field)
        described = _descriptions(of).get(name)
        if described is None and self._section is not None:
            described = inspect.getdoc(self._section) or ""
        self._description = " ".join((described or "").partition("\n\n")[0].split())
        choices = _choices(field.annotation)
        if choices and not all(re.search(rf"\b{one}\b", self._description) for one in choices):
            self._description += f" One of {', '.join(choices)}."

    def lines(self, given: Any, indent: str = "", mark: str = "") -> Iterator[str]:
        """Yield the lines of a key.

        given   the section that it is in, where it is chosen
        indent  in front of the mark of a comment, and behind it where there is one
        """
        chosen = isinstance(given, Mapping) and self._name in given
        value = given[self._name] if chosen else None
        if not chosen and not mark:
            indent, mark = "", indent + "# "
        elif not chosen and self._nothing and not self._field.is_required():
            indent, mark = "", mark + indent + "# "
        if self._section is None:
            yield from self._leaf(value if chosen else self._usual, chosen, indent, mark)
        elif get_origin(self._field.annotation) is tuple:
            yield from self._list(value or EXAMPLES.get(self._path) or [{}], indent, mark)
        else:
            yield from _described(f"{mark}{indent}{self._name}:", self._description, mark)
            yield from self._keys(value, indent + "  ", mark)

    def _keys(self, given: Any, indent: str, mark: str) -> Iterator[str]:
        assert self._section is not None
        for name, field in self._section.model_fields.items():
            yield from _Entry(name, field, self._section, self._path).lines(given, indent, mark)

    def _list(self, items: Sequence[Any], indent: str, mark: str) -> Iterator[str]:
        """Yield the first section of a list with its keys described, the others in a line each."""
        yield from _described(f"{mark}{indent}{self._name}:", self._description, mark)
        first, *others = items
        keys = list(self._keys(first, indent + "    ", mark))
        start = len(mark) + len(indent) + 2
        yield keys[0][:start] + "- " + keys[0][start + 2 :]
        yield from keys[1:]
        yield from (f"{mark}{indent}  - {_written(one)}" for one in others)

    def _leaf(self, value: Any, chosen: bool, indent: str, mark: str) -> Iterator[str]:
        description = self._description
        default = self._default
        if chosen and default not in (None, (), "") and _written(value) != _written(default):
            description += f" {_written(default)} by default."
        yield from _described(
            f"{mark}{indent}{self._name}: {_written(value)}".rstrip(), description, mark
        )

    @property
    def _default(self) -> Any:
        return None if self._field.is_required() else self._field.get_default(
            call_default_factory=True, validated_data={}
        )  # fmt: skip

    @property
    def _nothing(self) -> bool:
        """Whether nothing is given by default."""
        return self._default in (None, (), "")

    @property
    def _usual(self) -> Any:
        return EXAMPLES.get(self._path, self._default) if self._nothing else self._default


def _described(line: str, description: str, mark: str) -> Iterator[str]:
    """Yield a line and its description beside it, going on below."""
    if not description:
        yield line
        return
    column = max(_COLUMN, len(line) + 2)
    first, *rest = textwrap.wrap(
        description,
        max(_WIDTH - column - 2, 30),
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield f"{line:{column}}# {first}"
    if rest:
        for more in textwrap.wrap(
            " ".join(rest), _WIDTH - _COLUMN - 2, break_long_words=False, break_on_hyphens=False
        ):
            yield f"{mark:{_COLUMN}}# {more}"


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section that a key has, or has a list of."""
    found: list[Any] = [field.annotation]
    while found:
        annotation = found.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        found += get_args(annotation)
    return None


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(one) for one in get_args(annotation)]
    return [one for part in get_args(annotation) for one in _choices(part)]


@cache
def _descriptions(of: type[BaseModel]) -> Mapping[str, str]:
    """Return the strings under the keys of a section."""
    module = ast.parse(inspect.getsource(sys.modules[of.__module__]))
    (body,) = (n.body for n in module.body if isinstance(n, ast.ClassDef) and n.name == of.__name__)
    return {
        key.target.id: text.value.value.replace("`", "")
        for key, text in pairwise(body)
        if isinstance(key, ast.AnnAssign)
        and isinstance(key.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _written(value: Any) -> str:
    """Return a value as YAML, on one line."""
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_unset=True)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.10g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_written, value)) + "]"
    try:
        plain = yaml.safe_load(f"[{value}]") == [value]
    except yaml.YAMLError:
        plain = False
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
