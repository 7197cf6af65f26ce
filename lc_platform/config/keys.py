"""Every key of the configuration, with what the schema says of it.

The template that `init` writes, the JSON Schema of editors and `lc-platform config` are made of it.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

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
    "imagery.simulation.changes.since": 2020,
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
_LIMITS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
_TYPES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
}
_UNITS = {
    "metres": "m",
    "percent": "%",
    "hectares": "ha",
    "pixels": "pixels",
    "seconds": "s",
    "hours": "h",
    "days": "days",
    "degrees": "degrees",
    "share": "share, 0 to 1",
    "fraction": "share, 0 to 1",
    "probability": "probability, 0 to 1",
    "processing units": "processing units",
}
"""By the word of a description's first clause that names it."""


@dataclass(frozen=True)
class Key:
    """A key of the configuration."""

    path: str
    """In full, without the places in lists: ``reference.classes.color``."""
    name: str
    field: FieldInfo
    of: type[BaseModel]
    """The section that it is in."""

    @cached_property
    def section(self) -> type[BaseModel] | None:
        """The section that the key has, or has a list of."""
        found: list[Any] = [self.field.annotation]
        while found:
            annotation = found.pop()
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                return annotation
            found += get_args(annotation)
        return None

    @property
    def is_list(self) -> bool:
        """Whether it is a list of sections."""
        return self.section is not None and get_origin(self.field.annotation) is tuple

    @cached_property
    def description(self) -> str:
        """What it is, on one line; of a section's, what the section is."""
        described = _descriptions(self.of).get(self.name)
        if described is None and self.section is not None:
            described = (inspect.getdoc(self.section) or "").replace("`", "")
        return " ".join((described or "").partition("\n\n")[0].split())

    @cached_property
    def choices(self) -> list[str]:
        """The words that it may be; none where it is not one of several."""
        return _choices(self.field.annotation)

    @property
    def is_required(self) -> bool:
        return self.field.is_required()

    @property
    def default(self) -> Any:
        """Its value where it is not given; None of what has to be given."""
        return None if self.is_required else self.field.get_default(
            call_default_factory=True, validated_data={}
        )  # fmt: skip

    @property
    def has_nothing(self) -> bool:
        """Whether nothing is given by default."""
        return self.default in (None, (), "")

    @property
    def example(self) -> Any:
        """A value as it may be written, of what has none by default; None where the default says
        it."""
        return EXAMPLES.get(self.path) if self.has_nothing else None

    @cached_property
    def type(self) -> str:
        """What its values are, in words."""
        if self.section is not None:
            return "list of sections" if self.is_list else "section"
        return _in_words(self.field.annotation)

    @cached_property
    def limits(self) -> str:
        """The bounds of a number, in words; empty where there are none."""
        found = [
            f"{words} {value:g}"
            for one in self._metadata
            for bound, words in _LIMITS.items()
            if (value := getattr(one, bound, None)) is not None
        ]
        return " and ".join(dict.fromkeys(found))

    @property
    def _metadata(self) -> Iterator[Any]:
        found: list[Any] = [*self.field.metadata, self.field.annotation]
        while found:
            one = found.pop(0)
            if isinstance(one, FieldInfo):
                found += one.metadata
            elif get_origin(one) is Annotated or get_origin(one) in (Union, UnionType):
                found += get_args(one)
            else:
                yield one

    @cached_property
    def unit(self) -> str:
        """The unit of a number, as its description says; empty where it has none."""
        if "number" not in self.type:
            return ""
        clause = re.split(r"[,;:.](?:\s|$)", self.description.lower())[0]
        if found := re.search(r"\bin (degrees|metres)\b", self.description):
            return _UNITS[found[1]]
        words = re.search(rf"\b({'|'.join(_UNITS)})\b", f"{clause} {self.name.replace('_', ' ')}")
        return _UNITS[words[1]] if words else ""

    @property
    def keys(self) -> Iterator[Key]:
        """The keys of its section, if it has one."""
        if self.section is not None:
            yield from keys_of(self.section, self.path)


def keys_of(section: type[BaseModel] = Config, above: str = "") -> Iterator[Key]:
    """Yield the keys of a section, those of the whole configuration if none is given."""
    for name, field in section.model_fields.items():
        yield Key(f"{above}.{name}" if above else name, name, field, section)


@cache
def every_key() -> Mapping[str, Key]:
    """Return every key by its path, sections before what is in them."""
    found: dict[str, Key] = {}
    left = list(keys_of())
    while left:
        key = left.pop(0)
        found[key.path] = key
        left[:0] = key.keys
    return found


def written(value: Any, *, exact: bool = False) -> str:
    """Return a value as YAML, on one line; empty where it is nothing.

    exact  whether 1.0 stays apart from 1, as where no schema says which of them it is
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_unset=True)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value, exact)
    if isinstance(value, Mapping):
        inner = (f"{written(k)}: {_item(v, exact)}" for k, v in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_item(one, exact) for one in value) + "]"
    try:
        plain = yaml.safe_load(f"[{value}]") == [value]
    except yaml.YAMLError:
        plain = False
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def _item(value: Any, exact: bool) -> str:
    return "null" if value is None else written(value, exact=exact)


def _number(value: float, exact: bool) -> str:
    if value.is_integer() and abs(value) < 1e15 and not exact:
        return str(int(value))
    digits, exponent, power = repr(value).partition("e")
    # YAML takes a power for a number only behind a point.
    return f"{digits}.0e{power}" if exponent and "." not in digits else repr(value)


def _in_words(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _in_words(inner[0])
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (Union, UnionType):
        kinds = [_in_words(one) for one in inner if one is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if origin is tuple:
        one = _in_words(inner[0]).removeprefix("one of ")
        several = f"list of {one}" if get_origin(_plain(inner[0])) is Literal else f"list of {one}s"
        return several.replace("texts", "text") if Ellipsis in inner else f"{len(inner)} {one}s"
    if origin is dict or annotation is dict:
        return "mapping"
    return _TYPES.get(annotation, "text")


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


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
