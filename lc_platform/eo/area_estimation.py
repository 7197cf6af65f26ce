"""Areas of classes and accuracy of a map from a stratified random sample of points, each with its
standard error.

The estimators are those of Stehman (2014, "Estimating area and map accuracy for stratified random
sampling when the strata are different from the map classes", Int. J. Remote Sensing 35); where the
strata are the map's classes they are those of Olofsson et al. (2014, "Good practices for estimating
area and assessing accuracy of land change", Remote Sensing of Environment 148). They hold for a
probability sample only: within a stratum every pixel must have had the same chance.

Intervals are not value +- 1.96 standard errors, which hold the area of a rare class too seldom: a
large stratum in which the sample happens to have no point of it adds nothing to its standard error.
They are put together from the strata's Wilson limits (Zou, Huang and Zhang 2009, "A note on
confidence interval estimation for a linear function of binomial proportions", Computational
Statistics & Data Analysis 53; with correlation as in Zou and Donner 2008, Statistics in Medicine
27; of ratios as by Fieller), and are the same where the sample is large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Estimated quantities, of one shape and in one unit; NaN where the sample says nothing."""

    value: Float
    standard_error: Float
    margin: Float
    """1.96 standard errors at a confidence of 0.95: what Olofsson et al. (2014) give after +-."""
    low: Float
    """Lower bound of the interval, not below 0."""
    high: Float

    def times(self, factor: float) -> Estimate:
        """The same in another unit, which is ``factor`` times as small."""
        return Estimate(
            self.value * factor,
            self.standard_error * factor,
            self.margin * factor,
            self.low * factor,
            self.high * factor,
        )


@dataclass(frozen=True, slots=True, eq=False)
class SampleCounts:
    """Judged points of a stratified random sample, counted."""

    class_ids: tuple[int, ...]
    strata: tuple[int, ...]
    """Their ids."""
    weights: Float
    """(stratum,), shares of the area, together 1."""
    sampled: Float
    """(stratum,), share of its pixels that are in the sample; 0 where that is to be neglected."""
    points: NDArray[np.int64]
    """(stratum, 1 + map class, reference class), points within the ground that is asked about;
    those for which the map has no data come first, then the classes in the order of the ids."""
    judged: NDArray[np.int64]
    """(stratum,), all points with a reference class, within that ground or not."""
    not_judged: NDArray[np.int64]
    """(stratum,), points that nobody could judge. They are taken to be like the others of their
    stratum."""


@dataclass(frozen=True, slots=True, eq=False)
class AreaEstimates:
    """Areas and accuracies; the classes are in the order of the sample's ids."""

    class_ids: tuple[int, ...]
    area: Estimate
    """(class,), of the reference's classes, in the unit of the area that was given."""
    overall_accuracy: Estimate
    """(), 0 to 1; accuracies are of the ground where the map has data."""
    users_accuracy: Estimate
    """(map class,), the share of the class on the map that is right: 1 - commission."""
    producers_accuracy: Estimate
    """(reference class,), the share of the class on the ground that is mapped: 1 - omission."""
    shares: Estimate
    """(1 + map class, reference class), the error matrix in shares of the area, together 1; the
    first row is what the map leaves without data."""


def count_points(
    identities: NDArray[np.integer[Any]],
    strata: NDArray[np.integer[Any]],
    mapped: NDArray[np.integer[Any]],
    reference: NDArray[np.integer[Any]],
    *,
    pixels: Mapping[int, int],
    class_ids: Sequence[int],
    inside: NDArray[np.bool_] | None = None,
) -> SampleCounts:
    """Count the points of a stratified random sample.

    identities  (point,), what tells points apart, for example the number of the pixel
    strata      (point,), the stratum that a point was drawn from, whatever the map says now
    mapped      (point,), class ids of the map that is judged, 0 where it has no data
    reference   (point,), class ids that were found on the ground, 0 where it could not be judged
    pixels      by stratum: how many it has, of which its points were drawn
    class_ids   all classes there may be
    inside      (point,), False for points outside the ground that is asked about, such as an
                administrative unit; they still count as points of their stratum. All where None

    Raises ValueError for a point that is there twice; a stratum that ``pixels`` does not have, that
    has fewer than two judged points (one of one pixel is enough), more points than pixels or a
    negative number of them; a class that is not among ``class_ids``; and where the shapes differ.
    """
    columns: dict[str, NDArray[Any]] = {"strata": strata, "mapped": mapped, "reference": reference}
    if inside is not None:
        columns["inside"] = inside
    for name, values in columns.items():
        if values.shape != identities.shape or identities.ndim != 1:
            raise ValueError(
                f"identities (point,) {identities.shape} and {name} (point,) {values.shape} do not "
                "agree."
            )
    unique, times = np.unique(identities, return_counts=True)
    if (times > 1).any():
        raise ValueError(
            f"Point {unique[times > 1][0]} is in the sample {times.max()} times. A point counts "
            "once: remove the others."
        )
    sizes = _sizes(pixels)
    stratum = _positions(strata, tuple(sizes), "The points have stratum {}; the strata are {}.")
    row = _positions(mapped, (0, *class_ids), "The map has class {}; the classes are {}.")
    column = _positions(
        reference, (0, *class_ids), "The reference has class {}; the classes are {}."
    )
    known = column > 0
    judged = np.bincount(stratum[known], minlength=len(sizes))
    not_judged = np.bincount(stratum[~known], minlength=len(sizes))
    totals = np.array(list(sizes.values()), np.int64)
    _check_strata(tuple(sizes), judged, not_judged, totals)
    shape = (len(sizes), 1 + len(class_ids), len(class_ids))
    counted = known if inside is None else known & inside
    cells = np.ravel_multi_index(
        (stratum[counted], row[counted], column[counted] - 1), shape
    )  # a point that was judged has a class, so that the column is never before the first
    return SampleCounts(
        tuple(class_ids),
        tuple(sizes),
        totals / totals.sum(),
        judged / totals,
        np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape),
        judged,
        not_judged,
    )


def count_error_matrix(
    matrix: NDArray[np.integer[Any]], mapped_area: Sequence[float], class_ids: Sequence[int]
) -> SampleCounts:
    """The counts of a sample whose strata are the map's classes, from its error matrix.

    matrix       (map class, reference class), points; mind that a row is a class of the map
    mapped_area  (map class,), in any unit, or as shares; each much more than its points, whose
                 share of it is neglected as by Olofsson et al.
    class_ids    of the rows and of the columns

    Raises ValueError where the shapes differ, and for a negative number, a class with points that
    is not on the map, and one on the map with fewer than two points.
    """
    count = len(class_ids)
    if matrix.shape != (count, count) or len(mapped_area) != count:
        raise ValueError(
            f"An error matrix (map class, reference class) {matrix.shape} and "
            f"{len(mapped_area)} mapped areas do not agree with {count} classes."
        )
    for position, class_id in enumerate(class_ids):
        if (matrix[position] < 0).any():
            raise ValueError(
                f"Class {class_id}: {matrix[position].min()} points; a number of points cannot be "
                "negative."
            )
    sizes = _sizes(dict(zip(class_ids, mapped_area, strict=True)))
    present = np.array([class_id in sizes for class_id in class_ids])
    judged = matrix.sum(axis=1)
    absent = np.array(class_ids)[~present & (judged > 0)]
    if absent.size:
        raise ValueError(f"Class {absent[0]} has points and no area on the map.")
    judged = judged[present].astype(np.int64)
    nothing = np.zeros(len(sizes), np.int64)
    _check_strata(tuple(sizes), judged, nothing, None)
    points = np.zeros((len(sizes), 1 + count, count), np.int64)
    points[np.arange(len(sizes)), 1 + np.flatnonzero(present)] = matrix[present]
    total = np.array(list(sizes.values()), np.float64)
    return SampleCounts(
        tuple(class_ids),
        tuple(sizes),
        total / total.sum(),
        np.zeros(len(sizes)),
        points,
        judged,
        nothing,
    )


def estimate(counts: SampleCounts, area: float, *, confidence: float = 0.95) -> AreaEstimates:
    """Areas of the classes and accuracy of the map, with standard errors.

    area        of the ground that is asked about (``inside`` of the points), in the unit that the
                areas are wanted in
    confidence  of margins and intervals, between 0 and 1

    The areas are shares of that ground, which are ratios of two estimates where it is a part of
    the strata. Equations 2, 25, 27 and 28 of Stehman (2014); where the strata are the classes they
    are equations 4 to 11 of Olofsson et al. (2014).

    Raises ValueError where no point lies on that ground, and for a confidence out of its range.
    """
    if not counts.points.any():
        raise ValueError("No judged point lies on the ground whose areas are asked for.")
    means = counts.points / counts.judged[:, np.newaxis, np.newaxis]
    return _estimate(counts.class_ids, means, _Design.of(counts, confidence), area)


def anticipate(
    matrix: Float,
    points: Sequence[int],
    mapped_area: Sequence[float],
    class_ids: Sequence[int],
    area: float,
    *,
    confidence: float = 0.95,
) -> AreaEstimates:
    """What a sample would tell if the map were as right as is expected: the standard errors that
    allocations of points are compared by. The strata are the map's classes.

    matrix       (map class, reference class), of each class of the map the share that is of each
                 class on the ground; rows sum to 1
    points       (map class,), how many would be judged, at least two
    mapped_area  (map class,), in any unit, or as shares
    class_ids    of the rows and of the columns
    area         of all the ground, in the unit that the areas are wanted in

    Raises ValueError where a row does not sum to 1, and as ``count_error_matrix`` does.
    """
    sums = matrix.sum(axis=1)
    off = np.abs(sums - 1) > 1e-6
    if off.any():
        position = int(off.argmax())
        raise ValueError(
            f"Class {class_ids[position]}: its shares sum to {sums[position]:g}; they must sum "
            "to 1."
        )
    # As many points as there will be, wherever: only how many a stratum has counts.
    design = count_error_matrix(np.diag(np.asarray(points, np.int64)), mapped_area, class_ids)
    present = [design.class_ids.index(one) for one in design.strata]
    means = np.zeros(design.points.shape)
    means[np.arange(len(present)), 1 + np.array(present)] = matrix[present]
    return _estimate(design.class_ids, means, _Design.of(design, confidence), area)


@dataclass(frozen=True, slots=True, eq=False)
class _Design:
    weights: Float
    """(stratum,), shares of the area."""
    fewness: Float
    """(stratum,), p * (1 - p) times this is the variance of a share p of the stratum's points."""
    quantile: float
    """Standard errors on either side."""

    @classmethod
    def of(cls, counts: SampleCounts, confidence: float) -> _Design:
        if not 0 < confidence < 1:
            raise ValueError(f"A confidence of {confidence} is not between 0 and 1.")
        # A sample of all pixels has no error, also where there is but one.
        fewness = (1 - counts.sampled) / np.maximum(counts.judged - 1, 1)
        return cls(counts.weights, fewness, NormalDist().inv_cdf((1 + confidence) / 2))


def _estimate(
    class_ids: tuple[int, ...], means: Float, design: _Design, area: float
) -> AreaEstimates:
    """means  (stratum, 1 + map class, reference class), shares of a stratum's points"""
    mapped = means[:, 1:]
    right = np.diagonal(mapped, axis1=1, axis2=2)
    row, claimed, true = means.sum(axis=2), mapped.sum(axis=2), mapped.sum(axis=1)
    has_data, everything = claimed.sum(axis=1), row.sum(axis=1)
    return AreaEstimates(
        class_ids,
        _ratio(design, means.sum(axis=1), everything[:, np.newaxis], everything, everything).times(
            area
        ),
        _ratio(design, right.sum(axis=1), has_data, has_data, has_data),
        _ratio(design, right, claimed, claimed, claimed),
        _ratio(design, right, true, claimed, has_data),
        _ratio(design, means, everything[:, np.newaxis, np.newaxis], row, everything),
    )


def _ratio(
    design: _Design, part: Float, whole: Float, part_where: Float, rest_where: Float
) -> Estimate:
    """Of a yes-or-no quantity to another that is yes wherever the first is.

    part, whole             (stratum, ...), share of the stratum's points
    part_where, rest_where  the first axes of these, not 0 where a stratum may have such ground
                            although none of its points shows it: what the map says is known of a
                            stratum, what the ground is can only be seen
    Returns (...,).
    """
    along = (slice(None), *(np.newaxis for _ in range(part.ndim - 1)))
    weights, fewness = design.weights[along], design.fewness[along]
    part_possible, rest_possible = (
        one.reshape(one.shape + (1,) * (part.ndim - one.ndim)) > 0
        for one in (part_where, rest_where)
    )
    total = (weights * whole).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.asarray((weights * part).sum(axis=0) / total)
        # A point's residual is 1 - value where it is of the part, -value where it is of the rest of
        # the whole, and 0 elsewhere.
        rest = whole - part
        spread = (1 - value) ** 2 * part * (1 - part) + value**2 * rest * (1 - rest)
        spread += 2 * (1 - value) * value * part * rest
        error = np.sqrt((weights**2 * fewness * spread).sum(axis=0)) / total
        share = part * rest / ((1 - part) * (1 - rest))
    correlation = np.sqrt(np.clip(np.nan_to_num(share, posinf=0.0), 0, 1))
    bounds = []
    for side in (-1, 1):
        of_part = part_possible * _to_limit(part, fewness, side * design.quantile)
        of_rest = rest_possible * _to_limit(rest, fewness, -side * design.quantile)
        near, far = value, np.where(np.isnan(value), np.nan, (1 + side) / 2)
        # The bound is the share whose residuals' interval just holds 0, as Fieller's is.
        for _ in range(30):
            middle = (near + far) / 2
            one, other = (1 - middle) * of_part, middle * of_rest
            square = one**2 + other**2 + 2 * correlation * one * other
            held = (weights**2 * square).sum(axis=0) >= (total * (value - middle)) ** 2
            near, far = np.where(held, middle, near), np.where(held, far, middle)
        bounds.append(far)
    return Estimate(value, error, error * design.quantile, *bounds)


def _to_limit(share: Float, fewness: Float, quantile: float) -> Float:
    """How far Wilson's (1927) limit is from the share: the upper one, or the lower one where the
    quantile is negative."""
    square = quantile**2 * fewness
    half = np.abs(quantile) * np.sqrt(fewness * (np.maximum(share * (1 - share), 0) + square / 4))
    limit = (share + square / 2 + np.sign(quantile) * half) / (1 + square)
    return np.asarray(np.abs(limit - share))


def _sizes(sizes: Mapping[int, float]) -> dict[int, float]:
    for one, size in sizes.items():
        if not size >= 0:
            raise ValueError(f"Stratum {one} has a size of {size}; it cannot be below 0.")
    present = {one: size for one, size in sizes.items() if size}
    if not present:
        raise ValueError("No stratum has any area: there is nothing to estimate.")
    return present


def _positions(
    values: NDArray[np.integer[Any]], ids: tuple[int, ...], refusal: str
) -> NDArray[np.int64]:
    """Of values among ids. Raises ValueError for one that is not there."""
    order = np.argsort(ids)
    ordered = np.array(ids)[order]
    found = np.minimum(np.searchsorted(ordered, values), len(ids) - 1)
    unknown = values[ordered[found] != values]
    if unknown.size:
        raise ValueError(refusal.format(unknown[0], ids))
    return np.asarray(order[found], np.int64)


def _check_strata(
    strata: tuple[int, ...],
    judged: NDArray[np.int64],
    not_judged: NDArray[np.int64],
    pixels: NDArray[np.int64] | None,
) -> None:
    """pixels  (stratum,), where known"""
    for position, one in enumerate(strata):
        points, size = int(judged[position]), None if pixels is None else int(pixels[position])
        drawn = points + int(not_judged[position])
        if size is not None and drawn > size:
            raise ValueError(f"Stratum {one} has {drawn} points and {size} pixels.")
        if points < 2 and points != size:
            raise ValueError(
                f"Stratum {one} has {points or 'no'} judged point{'' if points else 's'} "
                f"(of {drawn}); two are needed for its areas and their standard error. Judge more "
                "of its points, draw more, or join it with another stratum."
            )
