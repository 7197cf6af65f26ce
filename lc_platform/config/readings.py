"""What YAML makes of a value that is not written in the plain way.

YAML reads 010 as 8, 1:20 as 80, no as false and 2024-01-01 as a date. Such a value keeps how it is
written, so that it can be refused with it where it matters, and it is the number or the truth value
everywhere else.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Self

import yaml

_PLAIN_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*)?|-?\.[0-9]+")
_PLAIN_TRUTH = ("true", "false")


class _Reading:
    """A number that keeps how it is written, and what YAML reads."""

    written: str
    read: Any

    @classmethod
    def of(cls, written: str, value: Any) -> Self:
        reading = cls(value)  # type: ignore[call-arg]
        reading.written, reading.read = written, value
        return reading


class WholeReading(_Reading, int):
    """A whole number that is not written in decimal digits alone, or a truth value in words."""


class NumberReading(_Reading, float):
    """A number that is not written in decimal digits and a point alone."""


class DateReading:
    """A date or a time, whether there is such a day or not."""

    def __init__(self, written: str) -> None:
        self.written = written
        self.read = "a date"

    def __repr__(self) -> str:
        return self.written


def as_read(value: Any) -> Any:
    """Return a value, or all values of a mapping or a list, as YAML reads them."""
    if isinstance(value, WholeReading | NumberReading):
        return value.read
    if isinstance(value, dict):
        return {as_read(key): as_read(one) for key, one in value.items()}
    return [as_read(one) for one in value] if isinstance(value, list) else value


def reading(value: Any) -> tuple[str, str] | None:
    """Return how a value is written and what YAML reads, in words; None of what is written
    plainly."""
    if isinstance(value, date):
        return value.isoformat(), "a date"
    if isinstance(value, bool):
        return str(value).lower(), "a truth value"
    if isinstance(value, DateReading):
        return value.written, value.read
    if not isinstance(value, WholeReading | NumberReading):
        return None
    if isinstance(value.read, bool):
        return value.written, str(value.read).lower()
    return value.written, f"{value.read}{_base(value.written)}"


def is_truth(value: Any) -> bool:
    return isinstance(value.read if isinstance(value, WholeReading) else value, bool)


def is_whole(value: Any) -> bool:
    return isinstance(value, WholeReading) and not is_truth(value)


def changes_the_number(value: Any) -> bool:
    """Return whether the decimal digits that are written are not the number that YAML reads."""
    if not isinstance(value, WholeReading | NumberReading):
        return False
    try:
        return float(value.written) != float(value)
    except ValueError:
        return True


def _base(written: str) -> str:
    """Return why a number is another one than a person may expect."""
    digits = written.lstrip("+-").lower()
    if ":" in digits:
        return " (to the base of sixty, as hours and minutes)"
    if digits.startswith("0x"):
        return " (hexadecimal)"
    if digits.startswith("0b"):
        return " (binary)"
    return " (octal, as it begins with 0)" if re.fullmatch(r"0[0-7_]+", digits) else ""


class Loader(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, and not silently the last one, and
    whose scalars keep how they are written where that is not plain."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value} is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def _whole(self, node: Any) -> Any:
        try:
            value = self.construct_yaml_int(node)
        except ValueError:  # more digits than Python takes
            return str(node.value)
        plain = _PLAIN_WHOLE.fullmatch(node.value)
        return value if plain else WholeReading.of(node.value, value)

    def _number(self, node: Any) -> Any:
        value = self.construct_yaml_float(node)
        plain = _PLAIN_NUMBER.fullmatch(node.value)
        return value if plain else NumberReading.of(node.value, value)

    def _truth(self, node: Any) -> Any:
        value = self.construct_yaml_bool(node)
        plain = node.value.lower() in _PLAIN_TRUTH
        return value if plain else WholeReading.of(node.value, value)

    def _date(self, node: Any) -> Any:
        return DateReading(node.value)


Loader.add_constructor("tag:yaml.org,2002:int", Loader._whole)
Loader.add_constructor("tag:yaml.org,2002:float", Loader._number)
Loader.add_constructor("tag:yaml.org,2002:bool", Loader._truth)
Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader._date)
