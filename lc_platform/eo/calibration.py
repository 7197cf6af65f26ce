"""Probabilities that are what they say: of the pixels that are 80 % sure, 80 % are right.

Calibrators are fitted on probabilities of pixels that the classifier was not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize_scalar

from lc_platform.eo.probabilities import check_labelled

Method = Literal["curve", "temperature", "isotonic"]

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures within which the best is looked for."""
LEAST = 1e-7
"""A probability below this is taken as this: its logarithm is a number."""
_RISE = np.float32(1e-2)
"""Slope that a curve has at least, so that no two probabilities become one."""
_TOGETHER = 1 << 14
"""Pixels that are worked on at once, so that they stay in the cache."""


class Calibrator(Protocol):
    """What turns a classifier's probabilities into calibrated ones."""

    def apply(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrate.

        probabilities  (pixel, class), 0 to 1, NaN without data
        Returns the same shape; each pixel's sum to 1, or are NaN.
        """

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, of which ``calibrator`` makes it again."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """All logits divided by one number (Guo et al. 2017, "On calibration of modern neural
    networks"). The order of the classes stays."""

    value: float
    """Above 1 where the classifier is too sure of itself."""

    def apply(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Calibrator``."""
        result = np.empty(probabilities.shape, np.float32)
        for first in range(0, len(result), _TOGETHER):
            part = slice(first, first + _TOGETHER)
            # Class by class: a sum over an axis of ten numbers is slow.
            logits = np.maximum(probabilities[part].T, np.float32(LEAST), order="C")
            np.log(logits, out=logits)
            logits *= np.float32(1 / self.value)
            logits -= logits.max(axis=0)
            np.exp(logits, out=logits)
            logits /= logits.sum(axis=0)
            result[part] = logits.T
        return result

    def to_dict(self) -> dict[str, Any]:
        """See ``Calibrator``."""
        return {"method": "temperature", "temperature": self.value}


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """All classes by one function that always rises, then scaled to sum to 1, then a temperature
    (after Zhang, Kailkhura and Han 2020, "Mix-n-match: ensemble and compositional methods for
    uncertainty calibration in deep learning"). The order of the classes stays, and a few pixels of
    which the classifier is sure and wrong do not decide for all."""

    given: NDArray[np.float64]
    """Probabilities of the classifier, ascending."""
    calibrated: NDArray[np.float64]
    """What they become; linear between."""
    temperature: Temperature
    """Of the scaled ones."""

    def apply(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Calibrator``."""
        return self.temperature.apply(_risen(probabilities, self.given, self.calibrated))

    def to_dict(self) -> dict[str, Any]:
        """See ``Calibrator``."""
        return {
            "method": "curve",
            "given": self.given.tolist(),
            "calibrated": self.calibrated.tolist(),
            "temperature": self.temperature.value,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Isotonic:
    """Each class by a function of its own that never falls, then scaled to sum to 1 (Zadrozny and
    Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates").
    The order of the classes may change."""

    given: tuple[NDArray[np.float64], ...]
    """By class: probabilities of the classifier, ascending."""
    calibrated: tuple[NDArray[np.float64], ...]
    """By class: what they become; linear between."""

    def apply(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Calibrator``. A pixel all of whose classes become 0 keeps what it had."""
        found = np.stack(
            [
                np.interp(column, given, calibrated)
                for column, given, calibrated in zip(
                    probabilities.T, self.given, self.calibrated, strict=True
                )
            ],
            axis=1,
        )
        sums = found.sum(axis=1, keepdims=True)
        empty = sums == 0
        return np.where(empty, probabilities, found / np.where(empty, 1, sums)).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """See ``Calibrator``."""
        return {
            "method": "isotonic",
            "given": [one.tolist() for one in self.given],
            "calibrated": [one.tolist() for one in self.calibrated],
        }


def calibrator(values: Mapping[str, Any]) -> Calibrator:
    """The calibrator that ``to_dict`` wrote down. Raises ValueError for another method."""
    if values["method"] == "curve":
        return Curve(
            np.array(values["given"], np.float64),
            np.array(values["calibrated"], np.float64),
            Temperature(float(values["temperature"])),
        )
    if values["method"] == "temperature":
        return Temperature(float(values["temperature"]))
    if values["method"] == "isotonic":
        given, calibrated = (
            tuple(np.array(one, np.float64) for one in values[name])
            for name in ("given", "calibrated")
        )
        return Isotonic(given, calibrated)
    raise ValueError(
        f"{values['method']!r} is no method of calibration: curve, temperature or isotonic."
    )


def fit(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    class_ids: Sequence[int],
    method: Method = "curve",
) -> Calibrator:
    """Fit a calibrator.

    probabilities  (pixel, class), 0 to 1, of pixels that the classifier was not trained on
    labels         (pixel,), class ids
    class_ids      (class,), in the order of the columns
    method         curve: one curve for all classes and a temperature. temperature: one number, the
                   likeliest. isotonic: a curve a class, which needs some thousand pixels; a class
                   without a pixel keeps its probabilities. A curve is never certain: each of its
                   levels is drawn towards the share of all as by one pixel more

    Raises ValueError as ``probabilities.check_labelled`` does.
    """
    columns = check_labelled(probabilities, labels, class_ids)
    if method == "curve":
        return _shared_curve(probabilities, columns)
    if method == "temperature":
        return Temperature(_temperature(probabilities, columns))
    curves = [_curve(probabilities[:, one], columns == one) for one in range(len(class_ids))]
    given, calibrated = zip(*curves, strict=True)
    return Isotonic(given, calibrated)


def _temperature(probabilities: NDArray[np.float32], columns: NDArray[np.int64]) -> float:
    logits = np.log(np.maximum(probabilities, LEAST), dtype=np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    true = logits[np.arange(len(columns)), columns].mean()

    def surprise(logarithm: float) -> float:
        """Mean negative log-likelihood; convex in 1 / temperature, so that it has one minimum."""
        cold = np.exp(-logarithm)
        return float(np.log(np.exp(logits * cold).sum(axis=1)).mean() - true * cold)

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    found = minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _shared_curve(probabilities: NDArray[np.float32], columns: NDArray[np.int64]) -> Curve:
    right = columns[:, None] == np.arange(probabilities.shape[1])
    given, calibrated = _curve(probabilities.ravel(), right.ravel())
    risen = _risen(probabilities, given, calibrated)
    return Curve(given, calibrated, Temperature(_temperature(risen, columns)))


def _risen(
    probabilities: NDArray[np.float32],
    given: NDArray[np.float64],
    calibrated: NDArray[np.float64],
) -> NDArray[np.float32]:
    found = np.empty(probabilities.shape)
    _raise(probabilities, given, calibrated, np.diff(calibrated) / np.diff(given), found)
    found /= found.sum(axis=1, keepdims=True)
    return found.astype(np.float32)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _raise(probabilities, given, calibrated, slopes, found):  # type: ignore[no-untyped-def]
    """Fill found (pixel, class) with what a curve makes of probabilities, as `numpy.interp` does,
    and what they rise by."""
    last = given.shape[0] - 1
    for pixel in range(probabilities.shape[0]):
        for k in range(probabilities.shape[1]):
            value = np.float64(probabilities[pixel, k])
            low, high = 0, last
            while high - low > 1:
                middle = (low + high) // 2
                above = given[middle] <= value
                low, high = (middle, high) if above else (low, middle)
            if last == 0 or value <= given[0]:
                level = calibrated[0]
            elif value >= given[last]:
                level = calibrated[last]
            elif value == given[low]:
                level = calibrated[low]
            else:
                level = slopes[low] * (value - given[low]) + calibrated[low]
            found[pixel, k] = level + np.float64(_RISE * probabilities[pixel, k])


def _curve(
    given: NDArray[np.float32], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not right.any():
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    values, where, times = np.unique(given, return_inverse=True, return_counts=True)
    share = np.bincount(where, weights=right) / times
    level = isotonic_regression(share, weights=times).x
    # No level is certain for having met no pixel of the class, or no other: each gets one more,
    # which is of the class as often as all are.
    group = np.cumsum(np.diff(level, prepend=level[0]) != 0)
    pixels = np.bincount(group, weights=times)
    counted = np.bincount(group, weights=times * level)
    drawn = (counted + right.mean()) / (pixels + 1)
    level = isotonic_regression(drawn, weights=pixels).x[group]
    # The ends of each level are enough, since it is linear between.
    ends = np.ones(len(level), np.bool_)
    ends[1:-1] = (level[1:-1] != level[:-2]) | (level[1:-1] != level[2:])
    return values[ends].astype(np.float64), np.clip(level[ends], 0, 1)


def calibrate_out_of_fold(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    class_ids: Sequence[int],
    folds: NDArray[np.integer[Any]],
    method: Method = "curve",
) -> NDArray[np.float32]:
    """Probabilities calibrated by what the other folds say, so that they can be judged.

    folds  (pixel,), the fold in which each was tested; see ``fit`` for the others
    Returns (pixel, class).

    Raises ValueError where there is one fold only, and as ``probabilities.check_labelled`` does.
    """
    names = np.unique(folds)
    if len(names) < 2:
        raise ValueError(f"Pixels of one fold only ({names.tolist()}): two are needed.")
    result = np.empty(probabilities.shape, np.float32)
    for name in names:
        own = folds == name
        others = fit(probabilities[~own], labels[~own], class_ids, method)
        result[own] = others.apply(probabilities[own])
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Pixels by how sure the classifier is of its class; add those of windows or patches."""

    pixels: NDArray[np.int64]
    """(bin,), in equal steps from 0 to 1, each with its upper bound."""
    confidence_sum: NDArray[np.float64]
    """(bin,), of the probability of the most probable class."""
    right: NDArray[np.int64]
    """(bin,), pixels whose most probable class is the true one."""

    def __add__(self, other: Reliability) -> Reliability:
        """Both together."""
        return Reliability(
            self.pixels + other.pixels,
            self.confidence_sum + other.confidence_sum,
            self.right + other.right,
        )

    @property
    def edges(self) -> NDArray[np.float64]:
        """(bin + 1,), bounds of the bins."""
        return np.linspace(0, 1, len(self.pixels) + 1)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(bin,), mean; NaN without a pixel."""
        return _divided(self.confidence_sum, self.pixels)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(bin,), share of the pixels that are right; NaN without one."""
        return _divided(self.right, self.pixels)

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of confidence and accuracy over the bins, by their pixels, 0 to 1 (Naeini
        et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning")."""
        return float(np.abs(self.confidence_sum - self.right).sum() / self.pixels.sum())


def reliability(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    class_ids: Sequence[int],
    bins: int = 15,
) -> Reliability:
    """How right pixels are by how sure the classifier is of them.

    See ``fit`` for the arrays. Raises ValueError as ``probabilities.check_labelled`` does.
    """
    columns = check_labelled(probabilities, labels, class_ids)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == columns
    return reliability_of(confidence, np.ones(len(right), np.int64), right, bins)


def reliability_of(
    confidence: NDArray[np.floating[Any]],
    pixels: NDArray[np.integer[Any]],
    right: NDArray[Any],
    bins: int = 15,
) -> Reliability:
    """How right a map is by how sure it is.

    confidence  (value,), 0 to 1, of the class that the map has
    pixels      (value,), how many are so sure
    right       (value,), how many of them have the true class
    """
    where = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)

    def binned(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(where, weights=values, minlength=bins).astype(np.float64)

    return Reliability(
        binned(pixels).astype(np.int64),
        binned(confidence * pixels),
        binned(right).astype(np.int64),
    )


def _divided(values: NDArray[Any], by: NDArray[np.int64]) -> NDArray[np.float64]:
    result = np.full(len(by), np.nan)
    np.divide(values, by, out=result, where=by > 0)
    return result
