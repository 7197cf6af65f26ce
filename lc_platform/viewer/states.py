"""``/api/states``: how each patch's artefact stands, asked again every few seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from lc_platform.artefacts.layout import EVERY_ASSET, PATCH, YEAR, Partition, dimensions
from lc_platform.commands.asset_status import AssetStatus
from lc_platform.reading.errors import NotFoundError, nearest
from lc_platform.storage.errors import UnavailableError
from lc_platform.viewer.answers import Tagged, tagged
from lc_platform.viewer.caches import CurrentCaches
from lc_platform.viewer.dagster_links import key_pattern, link_pattern
from lc_platform.viewer.parameters import Year
from lc_platform.viewer.patches import order_of
from lc_platform.viewer.status_board import YearStatus
from lc_platform.viewer.view import CurrentView, View

router = APIRouter(prefix="/api")

_TOLD = 100
"""Patches of which it is said why they are not current."""
LETTERS: Mapping[str, str] = {
    "current": "c",
    "running": "r",
    "failed": "f",
    "stale": "s",
    "missing": "m",
}


class Links(BaseModel):
    """Where a patch's partition is in Dagster's UI."""

    partition: str | None
    """The page, with ``{partition}`` to be replaced by the partition's key, escaped for a URL; None
    where there is no UI."""
    key: str
    """The partition's key, with ``{patch}`` to be replaced by the patch's."""


class States(BaseModel):
    """How the patches' artefacts of an asset and a year stand."""

    asset: str
    year: int | None
    """None where the asset is of no year."""
    at: str
    """When they were looked at."""
    order: str
    """Names the patches in their order: that of `/api/patches` where it says the same."""
    states: str
    """A letter a patch, in their order: current, running, failed, stale, missing by its first."""
    counts: dict[str, int]
    why: dict[str, str]
    """Why patches are not current, by their key: at most 100, the failed ones first."""
    links: Links
    message: str | None
    """What is not known, and what to do."""


@router.get("/states", response_model=States)
def states(
    request: Request,
    view: CurrentView,
    caches: CurrentCaches,
    asset: Annotated[str, Query(max_length=100)],
    year: Year | None = None,
) -> Response:
    """How each patch's artefact of an asset and a year stands: current, running (or in the queue),
    failed, stale, or missing."""
    if asset not in EVERY_ASSET or PATCH not in dimensions(asset):
        known = [one for one in EVERY_ASSET if PATCH in dimensions(one)]
        raise NotFoundError(f"{asset}: is no asset with patches; {nearest(asset, known)}")
    yearly, years = YEAR in dimensions(asset), view.reader.years
    looked_at = view.reader.artefacts.year(year if yearly or not years else years[-1])
    found = caches.status.of(looked_at)
    of_year = looked_at if yearly else None
    return tagged(request, found.answer(asset, lambda: _answer(found, asset, of_year, view)))


def _answer(found: YearStatus, asset: str, year: int | None, view: View) -> Tagged:
    row = found.rows.get(asset)
    if row is None:
        view.reader.patches  # noqa: B018 - raises where there is no grid yet
        raise UnavailableError(f"{asset}: is not looked at yet. Ask again in some seconds")
    keys = [str(where.patch) for where in row.states]
    kinds = [_kind(row, where) for where in row.states]
    counts = Counter(kinds)
    told = States(
        asset=asset,
        year=year,
        at=found.at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        order=order_of(keys),
        states="".join(map(LETTERS.__getitem__, kinds)),
        counts={kind: counts[kind] for kind in LETTERS},
        why=dict(islice(_reasons(row), _TOLD)),
        links=Links(partition=link_pattern(view.dagster, asset), key=key_pattern(asset, year)),
        message=found.message or None,
    )
    return Tagged.of(told.model_dump_json().encode(), "application/json")


def _kind(row: AssetStatus, where: Partition) -> str:
    if where in row.running:
        return "running"
    return "failed" if where in row.failed else row.states[where].kind


def _reasons(row: AssetStatus) -> Iterator[tuple[str, str]]:
    """Yield patches and why they are not current: those that failed, the stale, the missing."""
    for where, why in row.failed.items():
        if where not in row.running:
            yield str(where.patch), why
    for where, state in row.states.items():
        if state.kind == "stale" and where not in row.failed:
            yield str(where.patch), state.why
    for where, why in row.not_reached.items():
        if row.states[where].kind == "missing" and where not in row.failed:
            yield str(where.patch), why
