"""``/api/transitions``: what has become of what from one year to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from lc_platform.cube import Legend
from lc_platform.storage.errors import MissingArtefactError
from lc_platform.viewer.class_model import OfClass, class_fields
from lc_platform.viewer.parameters import Year
from lc_platform.viewer.view import CurrentView

router = APIRouter(prefix="/api")


class Transition(BaseModel):
    """Pixels that were of one class and are of another, or of the same."""

    before: OfClass
    after: OfClass
    is_change: bool
    """Whether it counts as a change: not where the class stays, or where crops rotate."""
    pixels: int
    hectares: float
    """Of its pixels, which are wrong by as much as the maps are."""
    confirmed_pixels: int
    """Those of a change that other years confirm."""
    estimate: float | None
    """Hectares by the points that people have judged; None where there are none."""
    low: float | None
    """The estimate's 95 % interval."""
    high: float | None


class Transitions(BaseModel):
    """The change from one year to the next."""

    year: int
    from_year: int | None
    """None where no change is made of the year, as all that follows of it."""
    transitions: list[Transition]
    changed_pixels: int | None
    changed_hectares: float | None
    changed_percent: float | None
    """Of the pixels that have a class in both years."""
    message: str | None
    """Why there is no change, or why no area is estimated, where it is so."""


@router.get("/transitions")
def transitions(view: CurrentView, year: Year) -> Transitions:
    """The change of a year against the one before: a row a transition, staying among them. Where
    none is made, that is said."""
    try:
        found = view.reader.artefacts.value("change", year).content
    except MissingArtefactError as error:
        return Transitions(
            year=year, from_year=None, transitions=[], changed_pixels=None, changed_hectares=None,
            changed_percent=None, message=str(error),
        )  # fmt: skip
    legend = view.reader.artefacts.legend
    changed = found["changed"]
    return Transitions(
        year=found["year"],
        from_year=found["from_year"],
        transitions=[_transition(one, legend) for one in found["transitions"]],
        changed_pixels=changed["pixels"],
        changed_hectares=changed["mapped_hectares"],
        changed_percent=changed["percent"],
        message=found["no_estimate_because"],
    )


def _transition(told: Mapping[str, Any], legend: Legend) -> Transition:
    estimate = told["hectares"] or {}
    before, after = (
        OfClass(**class_fields(legend, told[one]) | {"name": told[f"{one}_name"]})
        for one in ("from", "to")
    )
    return Transition(
        before=before,
        after=after,
        is_change=told["is_change"],
        pixels=told["pixels"],
        hectares=told["mapped_hectares"],
        confirmed_pixels=told["confirmed_pixels"],
        estimate=estimate.get("value"),
        low=estimate.get("low"),
        high=estimate.get("high"),
    )
