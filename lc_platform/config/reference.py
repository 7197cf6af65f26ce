"""The section `reference`: the reference map and its classes."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator, field_validator, model_validator

from lc_platform.config.colors import chosen, hexadecimal
from lc_platform.config.fields import Section, Text, Whole, quoted
from lc_platform.config.problems import shown
from lc_platform.config.readings import is_whole, reading


def _reference_value(value: Any) -> int | str:
    found = reading(value)
    if found is not None:
        written, read = found
        words = "yes, no, on or off" if isinstance(value, bool) else written
        also = f"; if {value.read} is meant, write {value.read}" if is_whole(value) else ""
        raise ValueError(
            f"{written} is read as {read} where it is not in quotes. If the reference has {words}, "
            f"put it in quotes, as in {quoted(written)}{also}"
        )
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int | str):
        return value
    if value is None:
        raise ValueError(
            "nothing is no value of a class; null, ~ and an empty entry are read as nothing. Write "
            "a whole number, or text in quotes"
        )
    raise ValueError(f"{shown(value)} is no value of a class. Write a whole number or text")


ReferenceValue = Annotated[
    int | str, PlainValidator(_reference_value, json_schema_input_type=int | str)
]


def plain_text(value: int | str) -> str:
    """Return a value without blanks at its ends, in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", str(value)).strip()


def difference_in_writing(one: int | str, other: int | str) -> str | None:
    """Return how two values differ that look alike, in words; None where they differ otherwise, or
    are equal."""
    first, second = str(one), str(other)
    if first == second or plain_text(first) != plain_text(second):
        return None
    if first.strip() == second.strip():
        return "only by blanks at its ends"
    if unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second):
        return "only by how its letters are composed in Unicode (NFC or NFD)"
    return "only by blanks at its ends and by how its letters are composed in Unicode (NFC or NFD)"


class LandCoverClass(Section):
    """One class of the map."""

    id: Whole = Field(ge=1, le=255)
    """The number in the map, 1 to 255."""
    name: Text = Field(min_length=1)
    """The name in pictures and reports."""
    color: Annotated[str, PlainValidator(hexadecimal, json_schema_input_type=str)] = ""
    """A CSS name, or red, green and blue in hexadecimal digits; chosen where it is not given."""
    values: tuple[ReferenceValue, ...] = ()
    """Values of the attribute (or of the raster); the id where none are given. In quotes where they
    are no plain numbers."""
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
    """A vector file or a raster that GDAL reads."""
    layer: Text | None = None
    """The layer of a file that has several; by default all that have the attribute."""
    attribute: Text | None = None
    """The attribute of a vector file that holds the class."""
    classes: tuple[LandCoverClass, ...] = Field(min_length=1)
    """The classes of the map."""
    ignore: tuple[ReferenceValue, ...] = ()
    """Values of the attribute that mean no label; of a raster also ranges, such as 0-30."""

    @field_validator("classes")
    @classmethod
    def _each_has_a_color(cls, classes: tuple[LandCoverClass, ...]) -> tuple[LandCoverClass, ...]:
        colors = chosen([one.color or None for one in classes])
        return tuple(
            one if one.color else one.model_copy(update={"color": color})
            for one, color in zip(classes, colors, strict=True)
        )

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
                for j, other in enumerate(seen[:i]):
                    if how := difference_in_writing(value, other):
                        raise ValueError(
                            f"classes[{i}].{what}: {value!r} differs from {other!r} of "
                            f"classes[{j}] {how}. Give every class its own"
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
                    raise ValueError(f"classes[{i}].values: {value!r} is given twice. Give it once")
                if key in owner:
                    raise ValueError(
                        f"classes[{i}].values: {value!r} is also in classes[{owner[key]}] "
                        f"({self.classes[owner[key]].name}). A reference value can belong to one "
                        "class only"
                    )
                if str(value) in ignored:
                    raise ValueError(
                        f"classes[{i}].values: {value!r} is also in ignore. Remove one of them"
                    )
                owner[key] = i
        self._check_writing()
        return self

    def _check_writing(self) -> None:
        """Raises ValueError where values of two classes, or of a class and `ignore`, look alike and
        are not; those of one class may, as a reference has them."""
        named = [(f"classes[{i}]", c.attribute, v) for i, c in enumerate(self.classes)
                 for v in c.values]  # fmt: skip
        seen: dict[tuple[str | None, str], tuple[str, Any]] = {}
        for where, attribute, value in [*named, *(("ignore", None, v) for v in self.ignore)]:
            attributes = {a for _, a, _ in named} if where == "ignore" else {attribute}
            for one in attributes:
                there, other = seen.setdefault((one, plain_text(value)), (where, value))
                if there != where and (how := difference_in_writing(value, other)):
                    key = where if where == "ignore" else f"{where}.values"
                    raise ValueError(
                        f"{key}: {value!r} differs from {other!r} of {there} {how}. Write both as "
                        "the reference has them, in one class; or remove one of them"
                    )


def is_raster(path: str) -> bool:
    return Path(path.split("?")[0] if "://" in path else path).suffix.lower() in {
        ".tif",
        ".tiff",
        ".vrt",
        ".jp2",
        ".img",
    }


def nearest_values(value: int | str, others: Iterable[int | str]) -> list[str]:
    """Return the one of other values that a value may be meant to be; none where none is near.

    Numbers are not compared by their digits: 12 is no misspelt 11.
    """
    words = [str(other) for other in others]
    same = [other for other in words if difference_in_writing(value, other)]
    if same or re.fullmatch(r"-?[0-9.]+", str(value)):
        return same[:1]
    folded = {other.casefold(): other for other in words}
    close = difflib.get_close_matches(str(value).casefold(), list(folded), n=1, cutoff=0.6)
    return [folded[one] for one in close]


def resembling(value: int | str, others: Iterable[int | str]) -> str:
    """Return a hint at what a value may be meant to be, of those that there are; empty where none
    is near."""
    for other in nearest_values(value, others):
        how = difference_in_writing(value, other)
        return f" It differs from {other!r}, which is there, {how}." if how else (
            f" Did you mean {other!r}?"
        )  # fmt: skip
    return ""
