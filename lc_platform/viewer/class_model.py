"""A class of the map in an answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lc_platform.cube import Legend
from lc_platform.reading.story import name_of

_UNKNOWN = "#808080"


class OfClass(BaseModel):
    """Something that is of a class."""

    model_config = ConfigDict(populate_by_name=True)

    class_: int = Field(alias="class")
    """The class's id, 0 where there is no data."""
    name: str
    color: str
    """``#rrggbb``; that of no data is transparent."""


def class_fields(legend: Legend, class_id: int | None) -> dict[str, Any]:
    """Return the fields of `OfClass` of a class, also of one that is no longer among them; None
    is no data."""
    if not class_id:
        return {"class": 0, "name": "no data", "color": "#00000000"}
    color = legend.get(class_id, ("", _UNKNOWN))[1]
    return {"class": class_id, "name": name_of(legend, class_id), "color": color}
