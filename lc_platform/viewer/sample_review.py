"""What the judgements of a sample say, up to now: of the map, and of each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from lc_platform.artefacts.layout import Partition
from lc_platform.artefacts.records import Records
from lc_platform.config.reference import plain_text
from lc_platform.eo import area_estimation
from lc_platform.eo.agreement import agreement
from lc_platform.products.judgements import Judgement
from lc_platform.reading.reader import Reader
from lc_platform.viewer.judging_answers import (
    Agreement,
    Contradiction,
    Estimated,
    Given,
    MapClass,
    Review,
    Stratum,
)
from lc_platform.viewer.sample_points import Point, SampleNow

_LISTED = 500
"""Points that an answer lists."""


def review(reader: Reader, of: SampleNow) -> Review:
    """Return what holds of the points, class by class of the map."""
    pixels = of.sample.design.pixels
    holding = {code: of.class_at(point) for code, point in of.points.items()}
    rows = sorted(pixels)
    columns = sorted({*of.legend, *pixels})
    matrix = np.zeros((len(rows), len(columns) + 1), np.int64)
    for code, point in of.points.items():
        column = columns.index(holding[code]) + 1 if holding[code] in columns else 0
        matrix[rows.index(point.stratum), column] += 1
    points = list(of.points.values())
    wrong = [p for p in points if holding[p.code] not in (0, p.stratum)]
    open_points = [p for p in points if _decides(of, p) and of.decisions[p.code].needs_consensus]
    return Review(
        year=of.year,
        rows=[class_shown(of, one) for one in rows],
        columns=[class_shown(of, one) for one in columns],
        matrix=matrix[:, 1:].tolist(),
        not_judged=matrix[:, 0].tolist(),
        overall_accuracy=_overall(of, holding, columns),
        agreement=agreements(of),
        differ=[_contradiction(of, p, None) for p in open_points[:_LISTED]],
        errors=[_contradiction(of, p, holding[p.code]) for p in wrong[:_LISTED]],
        messages=messages(reader, of),
    )


def class_shown(of: SampleNow, one: int) -> MapClass:
    name, color = of.legend.get(one, (f"class {one}", "#808080"))
    return MapClass(id=one, name=name, color=color)


def given_shown(one: Judgement) -> Given:
    names = Given.model_fields
    return Given(**{name: getattr(one, name) for name in names})


def _decides(of: SampleNow, point: Point) -> bool:
    """Whether what holds of a point is decided here, and not in the file."""
    return point.by_hand is None and point.code in of.decisions


def strata_of(of: SampleNow) -> list[Stratum]:
    strata = {
        one: Stratum(
            **class_shown(of, one).model_dump(),
            points=0,
            judged=0,
            two_opinions=0,
            differ=0,
            cannot_be_judged=0,
        )
        for one in sorted(of.sample.design.pixels)
    }
    for point in of.points.values():
        counted = strata[point.stratum]
        counted.points += 1
        counted.judged += of.class_at(point) > 0
        if not _decides(of, point):
            continue
        decision = of.decisions[point.code]
        counted.two_opinions += len(decision.opinions) > 1
        counted.differ += decision.needs_consensus
        counted.cannot_be_judged += decision.state == "cannot be judged"
    return list(strata.values())


def agreements(of: SampleNow) -> list[Agreement]:
    """Return how far each two people agree, of all points that both have judged."""
    said: dict[str, dict[str, int]] = {}
    ids = {plain_text(name): one for one, (name, _) in of.legend.items()}
    for code in of.points:
        for one in of.decisions[code].opinions if code in of.decisions else ():
            seen = 0 if one.class_id is None else ids.get(plain_text(one.class_name))
            if seen is not None:
                said.setdefault(one.who, {})[code] = seen
    found = []
    for first, second in combinations(sorted(said), 2):
        both = sorted(said[first].keys() & said[second].keys())
        if not both:
            continue
        told = agreement(*(np.array([said[who][p] for p in both]) for who in (first, second)))
        kappa = None if math.isnan(told.kappa) else told.kappa
        found.append(
            Agreement(first=first, second=second, points=len(both), share=told.share, kappa=kappa)
        )
    return found


def _overall(of: SampleNow, holding: Mapping[str, int], columns: Sequence[int]) -> Estimated | None:
    points = list(of.points.values())
    strata = np.array([p.stratum for p in points], np.int64)
    reference = np.array([holding[p.code] for p in points], np.int64)
    reference[~np.isin(reference, columns)] = 0
    pixels = of.sample.design.pixels
    if any(((strata == one) & (reference > 0)).sum() < min(2, n) for one, n in pixels.items()):
        return None
    counts = area_estimation.count_points(
        np.arange(len(points)), strata, strata, reference, pixels=pixels, class_ids=columns
    )
    found = area_estimation.estimate(counts, 1.0).overall_accuracy
    return Estimated(value=float(found.value), low=float(found.low), high=float(found.high))


def _contradiction(of: SampleNow, point: Point, holds: int | None) -> Contradiction:
    decision = of.decisions.get(point.code)
    return Contradiction(
        id=point.code,
        longitude=point.longitude,
        latitude=point.latitude,
        map=class_shown(of, point.stratum),
        holds=class_shown(of, holds) if holds else None,
        given=[given_shown(one) for one in decision.all] if decision else [],
    )


def messages(reader: Reader, of: SampleNow) -> list[str]:
    said = [*of.sample.warnings, *of.records.damaged]
    recorded = Records(reader.store).of("mosaic", Partition(year=of.year))
    if recorded is not None and recorded.data != of.sample.design.mosaic_version:
        said.append(
            "The sample was drawn from an earlier map. It serves the map of now by the general "
            "estimator (Stehman 2014), with that map's classes as strata; `lc-platform sample "
            "--again` complements it"
        )
    gone = sorted(
        {
            one.class_name
            for code in of.points
            if code in of.decisions and of.decisions[code].state == "class is gone"
            for one in of.decisions[code].opinions
        }
    )
    if gone:
        said.append(
            f"Points were judged as {', '.join(gone)}, which the map does not have any more. They "
            "wait for another judgement"
        )
    elsewhere = sum(code not in of.points for code in of.decisions)
    if elsewhere:
        said.append(
            f"{elsewhere} points that were judged are not in the sample any more; what was said of "
            "them is kept"
        )
    return said
