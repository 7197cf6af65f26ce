"""The types of the configuration's values: text, whole numbers, numbers, and kinds of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from lc_platform.config.readings import (
    DateReading,
    WholeReading,
    as_read,
    changes_the_number,
    is_truth,
    reading,
)

if TYPE_CHECKING:
    from pyproj import CRS


def quoted(written: str) -> str:
    return f'"{written}"'


def as_text(value: Any) -> Any:
    """Return a value where text is expected. Raises ValueError where YAML reads something else."""
    found = reading(value)
    if found is not None:
        written, read = found
        if isinstance(value, bool):
            raise ValueError(_truth(written))
        raise ValueError(
            f"{written} without quotes is read as {read}. Put it in quotes: {quoted(written)}"
        )
    if value is None:
        raise ValueError(
            "nothing is given, and text is expected; null, ~ and an empty value are read as "
            "nothing. Write text, in quotes if it is one of these"
        )
    return value


def as_whole(value: Any) -> Any:
    """Return a value where a whole number is expected. Raises ValueError where it is not written as
    one, so that 010 is not 8."""
    found = reading(value)
    if found is None:
        return value
    written, read = found
    if is_truth(value):
        raise ValueError(_truth(written))
    if isinstance(value, WholeReading):
        raise ValueError(
            f"{written} is read as {read}. Write the number in plain digits: {_plain(value)}"
        )
    raise ValueError(f"{written} is read as {read}. Write a whole number")


def as_number(value: Any) -> Any:
    """Return a value where a number is expected. Raises ValueError where YAML reads another one
    than the digits say, so that 010 is not 8."""
    if is_truth(value):
        found = reading(value)
        raise ValueError(_truth(found[0] if found else str(value)))
    if isinstance(value, DateReading) or changes_the_number(value):
        written, read = reading(value) or ("", "")
        plain = f": {_plain(value)}" if isinstance(value, WholeReading) else ""
        raise ValueError(f"{written} is read as {read}. Write the number in plain digits{plain}")
    return as_read(value)


def _plain(value: WholeReading) -> str:
    """Return what may be meant by a whole number that is written in another way."""
    digits = value.written.replace("_", "").lstrip("+")
    decimal = str(int(digits)) if re.fullmatch(r"-?[0-9]+", digits) else str(value.read)
    return decimal if decimal == str(value.read) else f"{decimal} or {value.read}"


def _truth(written: str) -> str:
    # pydantic takes true for 1, and YAML reads yes, no, on and off as true and false.
    return f"{written} is a truth value, which is not expected here. " + (
        f"Put it in quotes if it is a word: {quoted(written)}"
        if written.lower() not in ("true", "false")
        else "If the file says yes, no, on or off, put it in quotes"
    )


Text = Annotated[str, BeforeValidator(as_text)]
Whole = Annotated[int, BeforeValidator(as_whole)]
Number = Annotated[float, BeforeValidator(as_number)]
Truth = Annotated[bool, BeforeValidator(as_read)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Metres = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
PositiveWhole = Annotated[Whole, Field(ge=1)]


def fraction(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100:
        raise ValueError(
            f"{value:g} is not a fraction between 0 and 1. For {value:g} %, write {value / 100:g}"
        )
    return value


def check_named_once(names: Sequence[str], key: str = "") -> None:
    """Raises ValueError where a name is there several times.

    key  that the message begins with, where it is not that of the field
    """
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        before = f"{key}: " if key else ""
        raise ValueError(f"{before}{', '.join(twice)} is named more than once. Name it once")


def check_multiple(key: str, value: float, of_key: str, of: float) -> None:
    """Raises ValueError naming the nearest multiples where a length is no multiple of another.

    key, of_key  of the two lengths
    value, of    metres
    """
    if math.isclose(value / of, max(1, round(value / of)), rel_tol=1e-9):
        return
    below = math.floor(value / of) * of
    nearest = f"{below:g} or {below + of:g}" if below else f"{of:g}"
    raise ValueError(f"{key}: {value:g} m is not a multiple of {of_key} ({of:g} m). Take {nearest}")


def projected_crs(text: str) -> CRS:
    """Return the projected CRS in metres that a text names. Raises ValueError where there is
    none."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise ValueError(f"{text} is no CRS that is known. Write for example EPSG:32633") from error
    if not crs.is_projected or any(a.unit_name != "metre" for a in crs.axis_info):
        unit = crs.axis_info[0].unit_name if crs.axis_info else "no unit"
        raise ValueError(
            f"{text} ({crs.name}) is in {unit}s; a projected CRS in metres is needed. "
            "Write for example EPSG:32633"
        )
    return crs


def _projected(value: Any) -> Any:
    if isinstance(value, WholeReading):
        as_whole(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"EPSG:{value}"
    if not isinstance(value, str) or value == "utm":
        return value
    if re.fullmatch(r"\s*epsg:\d+\s*", value, re.IGNORECASE):
        value = value.strip().upper()  # so that equal settings are written alike
    projected_crs(value)
    return value


ProjectedCrs = Annotated[Text, BeforeValidator(_projected, json_schema_input_type=str | int)]
