"""``/api/areas``: the area of each class of a year's map."""

from __future__ import annotations

from fastapi import APIRouter

from lc_platform.viewer.class_model import OfClass, class_fields
from lc_platform.viewer.parameters import OptionalBox, Year
from lc_platform.viewer.view import CurrentView

router = APIRouter(prefix="/api")


class ClassArea(OfClass):
    """The area of a class."""

    pixels: int
    hectares: float
    """Of its pixels, which are wrong by as much as the map is."""
    share: float
    """Of the pixels that have a class, 0 to 1."""
    estimate: float | None
    """Hectares by the points that people have judged; None where there are none."""
    low: float | None
    """The estimate's 95 % interval."""
    high: float | None
    approximate: bool
    """Whether it was counted in the map's overviews, since the box is large."""


@router.get("/areas")
def areas(view: CurrentView, year: Year, bbox: OptionalBox = None) -> list[ClassArea]:
    """The area of each class of a year's map, or of what of it lies in a box: of the whole map as
    the area statistics have it where they are made, with their estimates."""
    found = view.reader.areas(year, None if bbox is None else bbox.parts)
    total = max(sum(one.pixels for one in found.classes), 1)
    return [
        ClassArea(
            **class_fields(found.legend, one.class_id),
            pixels=one.pixels,
            hectares=one.hectares,
            share=one.pixels / total,
            estimate=(one.estimate or {}).get("value"),
            low=(one.estimate or {}).get("low"),
            high=(one.estimate or {}).get("high"),
            approximate=not found.is_exact,
        )
        for one in found.classes
    ]
