"""The classes of a reference's features or pixels, by their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lc_platform.config.reference import difference_in_writing, nearest_values
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_options import ReferenceOptions

NO_VALUE = ""
_SHOWN = 20


@dataclass(frozen=True)
class ReferenceValues:
    """The values that a reference has, beside those that the configuration's classes take."""

    counts: Mapping[str, Mapping[str, int]]
    """Features, or pixels of a raster, by attribute and value; a raster's attribute is ``""``."""
    unknown: Mapping[str, Mapping[str, int]]
    """Those of features and pixels that no class takes and that are not to be ignored."""
    absent: Mapping[int, tuple[str, ...]]
    """Those of a class's values, or ranges, as they are configured, that the reference has none
    of; by class id, of the classes that have such."""
    unused: Mapping[int, tuple[str, ...]]
    """Likewise, of the classes of whose values the reference has none at all."""
    unit: str
    """What is counted: ``features`` or ``pixels``."""
    complete: bool = True
    """False where only a part of a large raster has been counted: what is named ``unknown`` is
    unknown, and of what is ``unused`` there may be some elsewhere."""


def word(value: Any) -> str:
    """Return a value as it compares: 3, 3.0 and "3" are one; nothing is the empty word."""
    if value is None or value != value:
        return NO_VALUE
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def listed(counts: Mapping[str, int], unit: str | None = None) -> str:
    """Return values in order, and the number of those that are not shown.

    unit  of the counts, in the singular, which stand beside the values; None where they do not
    """
    ordered = sorted(counts, key=_in_order)
    shown = [_quoted(value) + _counted(counts[value], unit) for value in ordered[:_SHOWN]]
    if rest := ordered[_SHOWN:]:
        shown.append(f"and {len(rest)} more" + _counted(sum(counts[v] for v in rest), unit))
    return ", ".join(shown)


def _quoted(value: str) -> str:
    """Return a value as it is seen whole, with the blanks at its ends."""
    return value if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) else repr(value)


def _counted(count: int, unit: str | None) -> str:
    return f" ({count:,} {unit}{'s' if count != 1 else ''})" if unit else ""


def _in_order(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return np.inf, value


class FeatureClasses:
    """The classes of features, by their attributes."""

    def __init__(self, options: ReferenceOptions, name: str) -> None:
        self.name = name
        self.ids = tuple(one.id for one in options.classes)
        self._names = {one.id: one.name for one in options.classes}
        self.ignored = {word(v) for v in options.ignore}
        self.by_attribute: dict[str, dict[str, int]] = {}
        for one in options.classes:
            attribute = one.attribute or options.attribute or ""
            known = self.by_attribute.setdefault(attribute, {})
            known.update({word(v): one.id for v in one.values})

    @property
    def attributes(self) -> list[str]:
        return list(self.by_attribute)

    def claims(self, words: Mapping[str, Sequence[str]]) -> list[tuple[int, int]]:
        """Return (feature, class id) of every class that a feature's words give it, by feature."""
        found = [
            (row, class_id)
            for attribute, known in self.by_attribute.items()
            for row, value in enumerate(words[attribute])
            if (class_id := known.get(value)) is not None
        ]
        return sorted(found, key=lambda claim: claim[0])

    def check_attributes(self, columns: Iterable[str]) -> None:
        """Raises SourceError where an attribute is missing."""
        there = list(columns)
        for attribute in self.by_attribute:
            if attribute not in there:
                raise SourceError(
                    f"reference.attribute: {self.name} has no attribute "
                    f"{attribute or '(none is named)'}. Name one that it has: "
                    f"{', '.join(there) or 'none'}"
                )

    def values(self, combinations: Mapping[tuple[str, ...], int]) -> ReferenceValues:
        """Return what the reference's values are.

        combinations  features by their words, which are in the order of ``attributes``
        """
        counts: dict[str, dict[str, int]] = {a: {} for a in self.by_attribute}
        unknown: dict[str, dict[str, int]] = {}
        for words, count in combinations.items():
            homed = any(
                value in known or value in self.ignored
                for value, known in zip(words, self.by_attribute.values(), strict=True)
            )
            for value, attribute in zip(words, self.by_attribute, strict=True):
                if value == NO_VALUE:
                    continue
                tally = counts[attribute]
                tally[value] = tally.get(value, 0) + count
                if not homed:
                    tally = unknown.setdefault(attribute, {})
                    tally[value] = tally.get(value, 0) + count
        there = [
            (owner, value, value in counts[attribute])
            for attribute, known in self.by_attribute.items()
            for value, owner in known.items()
        ]
        absent, unused = _absent(self.ids, there)
        return ReferenceValues(counts, unknown, absent, unused, "features")

    def check_values(self, combinations: Mapping[tuple[str, ...], int]) -> None:
        """Raises SourceError where a feature has a value, and no class has it."""
        values = self.values(combinations)
        unknown = values.unknown
        if not unknown:
            return
        features = sum(
            count
            for words, count in combinations.items()
            if any(words)
            and not any(
                value in known or value in self.ignored
                for value, known in zip(words, self.by_attribute.values(), strict=True)
            )
        )
        shown = "; ".join(f"{attribute} {listed(values)}" for attribute, values in unknown.items())
        raise SourceError(
            f"reference.classes: {self.name} has {features} features with values that no class "
            f"has: {shown}. Add them to a class's values, or to reference.ignore"
            + self._meant(values)
        )

    def _meant(self, values: ReferenceValues) -> str:
        """Return which values of classes are likely meant to be those that no class takes."""
        hints = []
        for attribute, unknown in values.unknown.items():
            there = values.counts[attribute]
            spare = {v: i for v, i in self.by_attribute[attribute].items() if v not in there}
            for value in sorted(unknown, key=_in_order)[:_SHOWN]:
                for other in nearest_values(value, spare):
                    how = difference_in_writing(value, other)
                    hints.append(
                        f"{value!r} differs from {other!r} of class {self._names[spare[other]]} "
                        + (how or "by a few letters")
                    )
        return "".join(f". {hint}" for hint in hints)


def _absent(
    ids: Sequence[int], values: Sequence[tuple[int, str, bool]]
) -> tuple[dict[int, tuple[str, ...]], dict[int, tuple[str, ...]]]:
    """Return the values by class that a reference has none of, and those of classes that have no
    other.

    values  (class id, value, whether there is any of it)
    """
    absent, unused = {}, {}
    for class_id in ids:
        own = [(value, there) for owner, value, there in values if owner == class_id]
        if missing := tuple(value for value, there in own if not there):
            absent[class_id] = missing
            if len(missing) == len(own):
                unused[class_id] = missing
    return absent, unused


_RANGE = re.compile(r"\s*(-?\d+)\s*[-\u2013]\s*(-?\d+)\s*")


class PixelClasses:
    """The classes of pixels, by their values: whole numbers, and ranges such as 0-30."""

    def __init__(self, options: ReferenceOptions) -> None:
        self.ids = tuple(one.id for one in options.classes)
        spans = [
            (*_span(value, key := f"reference.classes[{i}].values"), one.id, key, value)
            for i, one in enumerate(options.classes)
            for value in one.values
        ]
        key = "reference.ignore"
        spans += [(*_span(value, key), 0, key, value) for value in options.ignore]
        spans.sort(key=lambda span: span[:2])
        for before, after in pairwise(spans):
            if after[0] <= before[1]:
                raise SourceError(
                    f"{after[3]}: {after[4]} and {before[4]} in {before[3]} have values in common. "
                    "A value of the reference can belong to one class only"
                )
        self._spans = spans
        self._low = np.array([span[0] for span in spans], np.int64)
        self._high = np.array([span[1] for span in spans], np.int64)
        self._id = np.array([span[2] for span in spans], np.int64)

    UNKNOWN = -1

    def of(self, values: Any) -> Any:
        """Return the class ids of values, of the same shape: 0 of what is ignored, UNKNOWN of the
        others."""
        at = np.searchsorted(self._low, values, side="right") - 1
        inside = (at >= 0) & (values <= self._high[at])
        return np.where(inside, self._id[at], self.UNKNOWN)

    def values(self, counts: Mapping[int, int], complete: bool) -> ReferenceValues:
        """Return what the raster's values are, by the pixels of each."""
        found = np.array(sorted(counts), np.int64)
        of = self.of(found)
        unknown = {str(v): counts[int(v)] for v in found[of == self.UNKNOWN]}
        there = [
            (span[2], str(span[4]), bool(((found >= span[0]) & (found <= span[1])).any()))
            for span in self._spans
        ]
        absent, unused = _absent(self.ids, there)
        by_word = {str(v): counts[int(v)] for v in found}
        return ReferenceValues(
            {"": by_word}, {"": unknown} if unknown else {}, absent, unused, "pixels", complete
        )


def _span(value: int | str, key: str) -> tuple[int, int]:
    """Return the first and the last value of a number or a range."""
    try:
        return int(value), int(value)
    except ValueError:
        pass
    if (found := _RANGE.fullmatch(str(value))) is None:
        raise SourceError(
            f"{key}: {value} is no whole number, and the reference is a raster. Give the raster's "
            "values, or ranges of them such as 0-30"
        )
    low, high = int(found[1]), int(found[2])
    if low > high:
        raise SourceError(f"{key}: {value} ends before it begins. Write the smaller number first")
    return low, high
