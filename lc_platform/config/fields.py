"""What the values of the configuration are: text, whole numbers, numbers, and kinds of them."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def no_truth_value(value: Any) -> Any:
    # pydantic takes true for 1, and YAML reads yes, no, on and off as true and false.
    if isinstance(value, bool):
        raise ValueError(
            f"{str(value).lower()} is a truth value, which is not expected here. If the file says "
            "yes, no, on or off, put it in quotes"
        )
    return value


Text = Annotated[str, BeforeValidator(no_truth_value)]
Whole = Annotated[int, BeforeValidator(no_truth_value)]
Number = Annotated[float, BeforeValidator(no_truth_value)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Metres = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Counted = Annotated[Whole, Field(ge=1)]


def fraction(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100:
        raise ValueError(
            f"{value:g} is not a fraction between 0 and 1. For {value:g} %, write {value / 100:g}"
        )
    return value


def is_multiple(value: float, of: float) -> bool:
    return math.isclose(value / of, max(1, round(value / of)), rel_tol=1e-9)


def neighbours(value: float, of: float) -> str:
    """The multiples of ``of`` on either side of ``value``, in words."""
    below = math.floor(value / of) * of
    return f"{below:g} or {below + of:g}" if below else f"{of:g}"


def _projected(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"EPSG:{value}"
    if not isinstance(value, str) or value == "utm":
        return value
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        crs = CRS.from_user_input(value)
    except CRSError as error:
        raise ValueError(
            f"{value} is no CRS that is known. Write for example EPSG:32633"
        ) from error
    if not crs.is_projected or any(a.unit_name != "metre" for a in crs.axis_info):
        unit = crs.axis_info[0].unit_name if crs.axis_info else "no unit"
        raise ValueError(
            f"{value} ({crs.name}) is in {unit}s; a projected CRS in metres is needed. "
            "Write for example EPSG:32633"
        )
    return value


ProjectedCrs = Annotated[Text, BeforeValidator(_projected)]
