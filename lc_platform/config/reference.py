"""The section `reference`: the reference map and its classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator, model_validator

from lc_platform.config.fields import Section, Text, Whole, no_truth_value
from lc_platform.config.problems import shown


def _reference_value(value: Any) -> int | str:
    no_truth_value(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int | str):
        return value
    raise ValueError(f"{value!r} is no value of a class. Write a whole number or text")


ReferenceValue = Annotated[int | str, PlainValidator(_reference_value)]


def _color(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError(
            f'{shown(value)} is no colour. Write red, green and blue in quotes, such as "#ffcc00" '
            "(without quotes, YAML takes # for the start of a comment)"
        )
    return value


class LandCoverClass(Section):
    """One class of the map."""

    id: Whole = Field(ge=1, le=255)
    name: Text = Field(min_length=1)
    color: Annotated[str, PlainValidator(_color)]
    values: tuple[ReferenceValue, ...] = ()
    attribute: Text | None = None
    """The attribute that `values` are of, where it is not the reference's."""

    @model_validator(mode="before")
    @classmethod
    def _values_default_to_the_id(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "values" not in data and "id" in data:
            return {**data, "values": [data["id"]]}
        return data


class Reference(Section):
    """The reference map and its classes."""

    path: Text | None = None
    attribute: Text | None = None
    classes: tuple[LandCoverClass, ...] = Field(min_length=1)
    ignore: tuple[ReferenceValue, ...] = ()
    """Values of the attribute that mean no label."""

    @model_validator(mode="after")
    def _each_value_has_one_class(self) -> Self:
        named: list[tuple[str, list[Any]]] = [
            ("id", [c.id for c in self.classes]),
            ("name", [c.name for c in self.classes]),
        ]
        for what, seen in named:
            for i, value in enumerate(seen):
                if value in seen[:i]:
                    raise ValueError(
                        f"classes[{i}].{what}: {value} is also that of classes"
                        f"[{seen.index(value)}]. Give every class its own"
                    )
        # As text, because 7 in a configuration and "7" in a file are one value.
        ignored = {str(value) for value in self.ignore}
        owner: dict[tuple[str | None, str], int] = {}
        for i, one in enumerate(self.classes):
            if not one.values:
                raise ValueError(
                    f"classes[{i}].values: {one.name} has no value of the reference. Give at least "
                    "one, or remove the class"
                )
            for value in one.values:
                key = (one.attribute or self.attribute, str(value))
                if owner.get(key) == i:
                    raise ValueError(f"classes[{i}].values: {value} is given twice. Give it once")
                if key in owner:
                    raise ValueError(
                        f"classes[{i}].values: {value} is also in classes[{owner[key]}] "
                        f"({self.classes[owner[key]].name}). A reference value can belong to one "
                        "class only"
                    )
                if str(value) in ignored:
                    raise ValueError(
                        f"classes[{i}].values: {value} is also in ignore. Remove one of them"
                    )
                owner[key] = i
        return self


def is_raster(path: str) -> bool:
    return Path(path.split("?")[0]).suffix.lower() in {".tif", ".tiff", ".vrt", ".jp2", ".img"}
