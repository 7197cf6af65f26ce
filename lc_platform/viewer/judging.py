"""``/api/samples``: people judge the points of a reference sample, one after the other.

Whoever judges sees neither the map's class nor what others said, unless it is asked for: neither is
in the answer then, and the order and the names of points tell nothing of their strata.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any

import pandas
from fastapi import APIRouter, Path, Query, Request, Response

from lc_platform.config.reference import plain_text
from lc_platform.eo.polygons import transformer
from lc_platform.errors import DataError
from lc_platform.products.judgements import (
    Judgement,
    Opinion,
    Withdrawal,
    class_of,
    now,
)
from lc_platform.reading.errors import NotFoundError
from lc_platform.storage.errors import MissingArtefactError
from lc_platform.viewer import sample_review
from lc_platform.viewer.judging_answers import (
    ClassToChoose,
    Given,
    Next,
    Observed,
    Person,
    PointToJudge,
    Review,
    Sample,
    Seen,
    Undone,
    Withdrawn,
)
from lc_platform.viewer.problems import ConflictError, Problem, RequestError
from lc_platform.viewer.sample_points import Point, SampleNow, Samples
from lc_platform.viewer.sample_review import class_shown, given_shown
from lc_platform.viewer.view import CurrentView, View
from lc_platform.viewer.writes import Writing, person

router = APIRouter(prefix="/api/samples")
writing = APIRouter(prefix="/api/samples", route_class=Writing)

_KEYS = "1234567890abdefghijklnopqtvwyz"
"""The keys of classes, in their order; the letters that are left out are the page's own."""
_DIGITS = 4
_SENT = ("point", "opinion", "class_id", "before_id", "confidence", "remark", "replaces")

Year = Annotated[int, Path(ge=1, le=9999)]
Code = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]
Blind = Annotated[
    bool, Query(description="Leave out the map's class and what others said of the point.")
]


_REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "Nobody is logged in."},
    403: {"model": Problem, "description": "It comes from another site's page."},
    409: {"model": Problem, "description": "It does not fit what there is meanwhile."},
    411: {"model": Problem, "description": "It does not say its length."},
    413: {"model": Problem, "description": "It is too large."},
}


@router.get("/{year}")
def sample(request: Request, view: CurrentView, year: Year) -> Sample:
    """How far the points of a year are judged, by whom, and how far two people agree."""
    of = _samples(request).of(year)
    strata = sample_review.strata_of(of)
    user = view.user(request)
    opinions: tuple[Opinion, ...] = ("first", "second", "consensus")
    given = [of.decisions[code].opinions for code in of.points if code in of.decisions]
    count: dict[str, int] = {}
    for one in (one for opinions_of_point in given for one in opinions_of_point):
        count[one.who] = count.get(one.who, 0) + 1
    return Sample(
        year=year,
        points=len(of.points),
        judged=sum(one.judged for one in strata),
        differ=sum(one.differ for one in strata),
        cannot_be_judged=sum(one.cannot_be_judged for one in strata),
        by_hand=sum(bool(point.by_hand) for point in of.points.values()),
        waiting={one: len(of.waiting(user or "", one)) for one in opinions},
        strata=strata,
        people=[Person(name=who, judged=n) for who, n in sorted(count.items())],
        agreement=sample_review.agreements(of),
        classes=[
            ClassToChoose(id=one, name=name, color=color, key=_KEYS[i] if i < len(_KEYS) else None)
            for i, (one, (name, color)) in enumerate(of.legend.items())
        ],
        asks_before=year - 1 if of.asks_before else None,
        mosaic_version=of.sample.design.mosaic_version,
        user=user,
        messages=sample_review.messages(view.reader, of),
    )


@router.get("/{year}/next")
def following(
    request: Request,
    view: CurrentView,
    year: Year,
    after: Annotated[str | None, Query(pattern="^[0-9a-f]{12}$")] = None,
    opinion: Opinion = "first",
    blind: Blind = True,
    stratum: Annotated[int | None, Query(ge=1, le=255)] = None,
) -> Next:
    """The point that who asks judges next: after another one, in an order of one's own."""
    samples = _samples(request)
    of = samples.of(year)
    if stratum is not None and blind:
        raise RequestError(
            "stratum: is a class of the map, which who judges blind does not know. Leave it out, "
            "or ask with blind=false"
        )
    who = view.user(request) or ""
    waiting = of.waiting(who, opinion, stratum)
    if not waiting:
        return Next(point=None, waiting=0, message=_NONE_WAITS[opinion])
    point = samples.choose((year, opinion), waiting, after, who)
    return Next(
        point=_shown(view, of, point, who, opinion, blind=blind), waiting=len(waiting), message=None
    )


_NONE_WAITS = {
    "first": "Every point has an opinion.",
    "second": "No point waits for a second opinion of yours.",
    "consensus": "There is no point whose opinions differ.",
}


@router.get("/{year}/points/{code}")
def one_point(
    request: Request,
    view: CurrentView,
    year: Year,
    code: Code,
    opinion: Opinion = "first",
    blind: Blind = True,
) -> PointToJudge:
    """A point of the sample, for example one that is to be judged again."""
    of = _samples(request).of(year)
    who = view.user(request) or ""
    return _shown(view, of, _point(of, code), who, opinion, blind=blind)


@router.get("/{year}/review")
def review(request: Request, view: CurrentView, year: Year) -> Review:
    """The map's classes and those that hold, up to now. It is not blind."""
    return sample_review.review(view.reader, _samples(request).of(year))


@writing.post("/{year}/judgements", status_code=201, responses=_REFUSED)
def judge(request: Request, response: Response, view: CurrentView, year: Year, seen: Seen) -> Given:
    """Give a judgement. One that was sent before, with the same id, is not given again. A first
    opinion is recorded as the second where somebody else has judged the point meanwhile."""
    who = person(view, request)
    of = _samples(request).of(year)
    point = _point(of, seen.point)
    class_name, before_name = _names(of, seen)
    record = Judgement(
        id=seen.id,
        who=who,
        when=now(),
        point=seen.point,
        longitude=round(point.longitude, 7),
        latitude=round(point.latitude, 7),
        mosaic_version=of.sample.design.mosaic_version,
        opinion=seen.opinion,
        blind=seen.blind,
        class_id=seen.class_id,
        class_name=class_name,
        before_id=seen.before_id,
        before_name=before_name,
        confidence=seen.confidence,
        remark=plain_text(seen.remark),
        replaces=seen.replaces,
    )
    own = of.own(record.point, who, record.opinion)
    if own is not None:
        record = replace(record, opinion=own.opinion)
    known = of.records.of(who, seen.id)
    if isinstance(known, Judgement) and _same(known, record):
        response.status_code = 200
        return given_shown(known)
    if known is not None:
        raise ConflictError(
            f"{seen.id}: was sent before with something else. Send a judgement under an id of its "
            "own"
        )
    if seen.mosaic_version != of.sample.design.mosaic_version:
        raise ConflictError(
            "The sample was drawn from another map meanwhile. Load the page again, and look at the "
            "point once more"
        )
    _expect_free(of, record)
    if record.opinion == "first" and own is None and not _is_first(of, record):
        record = replace(record, opinion="second")
    of.log.append(record)
    return given_shown(record)


@writing.post("/{year}/withdrawals", status_code=201, responses=_REFUSED)
def undo(
    request: Request, response: Response, view: CurrentView, year: Year, undone: Undone
) -> Withdrawn:
    """Take a judgement of one's own back. The record of it stays."""
    who = person(view, request)
    of = _samples(request).of(year)
    given = of.records.of(who, undone.withdraws)
    if not isinstance(given, Judgement):
        raise NotFoundError(
            f"{undone.withdraws}: is no judgement of {who}. Who gave a judgement takes it back"
        )
    record = Withdrawal(undone.id, who, now(), given.id)
    known = of.records.of(who, undone.id)
    if isinstance(known, Withdrawal) and known.withdraws == given.id:
        response.status_code = 200
        record = known
    elif known is not None:
        raise ConflictError(
            f"{undone.id}: was sent before with something else. Send a withdrawal under an id of "
            "its own"
        )
    elif given not in of.records.standing:
        raise ConflictError(
            f"{given.id}: is taken back already, or another judgement is in its place. Look at the "
            "point once more"
        )
    else:
        of.log.append(record)
    return Withdrawn(id=record.id, withdraws=given.id, point=given.point, when=record.when)


def _samples(request: Request) -> Samples:
    samples: Samples = request.app.state.samples
    return samples


def _point(of: SampleNow, code: str) -> Point:
    if code not in of.points:
        raise NotFoundError(
            f"{code}: is no point of the sample of {of.year}, or not any more. Ask for the next one"
        )
    return of.points[code]


def _names(of: SampleNow, seen: Seen) -> tuple[str, str]:
    """Return the names of the classes that were seen. Raises RequestError where the map has no such
    class, or the year before is not asked for, or alone."""
    try:
        class_name = class_of(seen.class_id, of.legend) if seen.class_id is not None else ""
        before_name = class_of(seen.before_id, of.legend) if seen.before_id is not None else ""
    except DataError as error:
        raise RequestError(str(error)) from error
    if seen.before_id is not None and (seen.class_id is None or not of.asks_before):
        why = "the sample does not ask for it" if not of.asks_before else "class_id is not given"
        raise RequestError(f"before_id: {why}. Leave it out")
    return class_name, before_name


def _same(known: Judgement, record: Judgement) -> bool:
    """Whether a judgement is the one that was sent before."""
    return all(
        getattr(known, name) == getattr(record, name)
        for name in (
            "point",
            "opinion",
            "class_id",
            "before_id",
            "confidence",
            "remark",
            "replaces",
        )
    )


def _is_first(of: SampleNow, record: Judgement) -> bool:
    """Whether nobody else has judged a point: two may have looked at it at the same time."""
    decision = of.decisions.get(record.point)
    return not (decision and decision.opinions) and of.log.is_first(record, of.records)


def _expect_free(of: SampleNow, record: Judgement) -> None:
    """Raises ConflictError where a judgement would silently be put in the place of another."""
    own = of.own(record.point, record.who, record.opinion)
    in_its_place = own.id if own else ""
    if in_its_place == record.replaces:
        return
    if own is None:
        raise ConflictError(
            f"{record.replaces}: does not stand any more, so that nothing can be put in its place. "
            "Look at the point once more"
        )
    seen = f"as {own.class_name}" if own.class_name else "as one that cannot be judged"
    by = "you" if own.who == record.who else own.who
    raise ConflictError(
        f"The point was judged already by {by}, {seen}, at {own.when}. Take that back, or say that "
        f"this one replaces {own.id}"
    )


def _shown(
    view: View, of: SampleNow, point: Point, who: str, opinion: Opinion, *, blind: bool
) -> PointToJudge:
    decision = of.decisions.get(point.code)
    own = of.own(point.code, who, opinion)
    given = decision.all if decision else []
    observations, missing = _observations(view, of.year, point)
    # A consensus is of who knows what others said; of the map's class also then only by choice.
    others = [one for one in given if one.who != who or opinion == "consensus"]
    return PointToJudge(
        id=point.code,
        year=of.year,
        longitude=point.longitude,
        latitude=point.latitude,
        outline=_outline(of, point),
        metres=_metres(of, point),
        opinion=opinion,
        blind=blind,
        mosaic_version=of.sample.design.mosaic_version,
        observations=observations,
        missing=missing,
        own=given_shown(own) if own else None,
        others=None if blind and opinion != "consensus" else [given_shown(one) for one in others],
        map=None if blind else class_shown(of, point.stratum),
    )


def _observations(view: View, year: int, point: Point) -> tuple[list[Observed], list[str]]:
    """Return what acquisitions show of a point, and what is not there of it."""
    try:
        table = view.reader.at(point.longitude, point.latitude, year)
    except (MissingArtefactError, NotFoundError) as error:
        return [], [str(error)]
    own = ("acquisition", "data", "valid", "cloud", "cloud_probability", "used")
    values = [name for name in table.columns if name not in own]
    found = []
    for time, row in zip(table.index, table.to_dict("records"), strict=True):
        found.append(
            Observed(
                time=time.isoformat().replace("+00:00", "Z"),
                acquisition=str(row["acquisition"]),
                data=bool(row["data"]),
                valid=_known(row["valid"]),
                cloud=_known(row["cloud"]),
                values={name: _number(row[name]) for name in values},
            )
        )
    return found, []


def _known(value: Any) -> bool | None:
    """Return a yes or no; None where a mask that is not made yet would say it."""
    return None if value is pandas.NA else bool(value)


def _number(value: float) -> float | None:
    return round(float(value), _DIGITS) if math.isfinite(value) else None


def _outline(of: SampleNow, point: Point) -> list[tuple[float, float]]:
    half = of.pixel / 2
    xs = [point.x + half * d for d in (-1, 1, 1, -1, -1)]
    ys = [point.y + half * d for d in (1, 1, -1, -1, 1)]
    degrees = transformer(of.sample.design.crs, "EPSG:4326")
    longitudes, latitudes = degrees.transform(xs, ys)
    return [(round(x, 8), round(y, 8)) for x, y in zip(longitudes, latitudes, strict=True)]


def _metres(of: SampleNow, point: Point) -> float:
    """Return the side of a pixel on the ground, of which the map's CRS may be no measure."""
    from pyproj import Geod

    (west, north), (east, _), *_ = _outline(of, point)
    return round(float(Geod(ellps="WGS84").inv(west, north, east, north)[2]), 2)
