"""At what resolution the cloud detector should run: its error, what it does to the features, and
its time, so that the configuration's defaults are chosen from these tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.cloud_scenes import PLACES, Scenes, Truth, cloudless, partly_cloudy, real, year_of
from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.cube import MAIN, LazyCube
from lc_platform.eo import clouds
from lc_platform.products import cloud_masks, features
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_options import FeatureOptions
from lc_platform.products.options import DetectionOptions
from lc_platform.products.raw_bands import DETECTOR, AcquisitionStack

SCENES = 8
"""Acquisitions of each place and kind."""
BORDER = 16
"""Pixels on either side of a cloud's border that count as near it."""


class Detector(NamedTuple):
    """How s2cloudless is run; the lengths are in pixels of its own grid."""

    resolution: int
    average_over: int
    dilation: int

    def __str__(self) -> str:
        return f"{self.resolution} m, {self.average_over}/{self.dilation}"


RESOLUTIONS = (10, 20, 40, 60, 80, 160)
IN_PIXELS = tuple(Detector(r, 4, 2) for r in RESOLUTIONS)
ON_THE_GROUND = tuple(Detector(r, round(320 / r), round(160 / r)) for r in RESOLUTIONS)
"""As near as whole pixels come to 320 m and 160 m, which 4 and 2 pixels are at 80 m."""
LESS = (Detector(80, 2, 1), Detector(80, 1, 1), Detector(80, 0, 1))
DETECTORS = tuple(sorted({*IN_PIXELS, *ON_THE_GROUND, *LESS}, key=lambda d: (d[0], -d[1], -d[2])))


@dataclass
class MaskError:
    """How masks differ from a reference, counted over all pixels that are added."""

    both: int = 0
    missed: int = 0
    false: int = 0
    neither: int = 0

    def add(self, reference: NDArray[np.bool_], found: NDArray[np.bool_]) -> None:
        self.both += int((reference & found).sum())
        self.missed += int((reference & ~found).sum())
        self.false += int((found & ~reference).sum())
        self.neither += int((~reference & ~found).sum())

    @property
    def cells(self) -> tuple[str, ...]:
        """Differing pixels, missed cloud, false cloud, intersection over union."""
        differing = self.missed + self.false
        return (
            _percent(differing, self.both + differing + self.neither),
            _percent(self.missed, self.both + self.missed),
            _percent(self.false, self.false + self.neither),
            f"{self.both / max(self.both + differing, 1):.3f}",
        )


MASK_COLUMNS = ("pixels that differ", "cloud missed", "clear called cloud", "IoU")


def run(settings: Settings) -> list[Table]:
    """Raises FileNotFoundError where the real imagery is missing."""
    scenes = real(settings.data)
    threads = max(settings.threads)
    size = min(settings.size, 512)
    partly = [_Detected(partly_cloudy(place, size, SCENES), threads) for place in PLACES]
    bare = [_Detected(cloudless(place, size, SCENES), threads) for place in PLACES]
    return [
        _speed(settings),
        _against_ten_metres(partly),
        _against_truth(partly, bare, _outcomes(min(settings.size, 256), threads)),
        _on_real_scenes(_Detected(scenes, threads)),
    ]


class _Detected:
    """What every detector finds in some scenes, on the patch's grid."""

    def __init__(self, scenes: Scenes, threads: int) -> None:
        self.scenes = scenes
        self.cloud: dict[Detector, NDArray[np.bool_]] = {}
        """(time, y, x)"""
        self.probability: dict[int, NDArray[np.float32]] = {}
        """By resolution, (time, y, x), NaN where there is no data."""
        for detector, masks, _ in _masks(scenes, threads):
            self.cloud[detector] = masks.cloud()
            self.probability[detector.resolution] = masks.probability()

    @property
    def count(self) -> int:
        return len(self.cloud[DETECTORS[0]])


def _masks(scenes: Scenes, threads: int) -> Iterator[tuple[Detector, CloudMasks, AcquisitionStack]]:
    """What each detector finds, one resolution after another."""
    for resolution in RESOLUTIONS:
        here = [d for d in DETECTORS if d.resolution == resolution]
        margin = max(clouds.detector_margin(d.average_over, d.dilation) for d in here)
        raw = scenes.stack(resolution, margin)
        for detector in here:
            yield detector, _detect(raw, detector, threads), raw


def _detect(raw: AcquisitionStack, detector: Detector, threads: int) -> CloudMasks:
    return CloudMasks(_lazily(raw, detector, threads).load())


def _lazily(
    raw: AcquisitionStack, detector: Detector, threads: int, threshold: float = 0.4
) -> LazyCube:
    return cloud_masks.detect(
        raw,
        DetectionOptions(
            threshold=threshold,
            average_over=detector.average_over,
            dilation=detector.dilation,
            threads=threads,
        ),
    )


def _near_borders(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels at most BORDER from the border of a mask (y, x)."""
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BORDER + 1, 2 * BORDER + 1))
    whole = mask.astype(np.uint8)
    near: NDArray[np.bool_] = cv2.dilate(whole, disk) > cv2.erode(whole, disk)
    return near


def _percent(part: float, of: float) -> str:
    return f"{100 * part / of:.2f} %" if of else "-"


def _speed(settings: Settings) -> Table:
    """Detection of a few acquisitions of a patch, all resolutions in turn."""
    year = partly_cloudy(PLACES[0], settings.size, 3)
    margin = clouds.detector_margin(4, 2)
    stacks = {d: year.stack(d.resolution, margin) for d in IN_PIXELS}
    megapixels = np.prod(year.patch.shape) / 1e6
    times: dict[tuple[Detector, int], list[float]] = {}
    for attempt in range(settings.pairs + 1):
        for threads in settings.threads:
            for detector, raw in stacks.items():
                began = perf_counter()
                for _ in _lazily(raw, detector, threads):
                    pass
                if attempt:  # the first one loads the model and compiles
                    taken = (perf_counter() - began) / len(raw) / megapixels
                    times.setdefault((detector, threads), []).append(taken)
    rows = []
    for detector, raw in stacks.items():
        grid = raw.cube.grids[DETECTOR if DETECTOR in raw.cube.grids else MAIN]
        stored = len(clouds.DETECTOR_BANDS) * 2 * np.prod(grid.shape) / 1e6
        middle = [median(times[detector, threads]) for threads in settings.threads]
        full = [median(times[IN_PIXELS[0], threads]) for threads in settings.threads]
        rows.append(
            (
                f"{detector.resolution} m",
                *(f"{taken:.4f} s" for taken in middle),
                *(f"{slow / taken:.1f}" for slow, taken in zip(full, middle, strict=True)),
                f"{stored / megapixels:.2f} MB",
            )
        )
    names = [f"{n} thread{'s' if n > 1 else ''}" for n in settings.threads]
    return Table(
        "detector-speed",
        "Cloud detection by resolution: time and data",
        (
            "detector",
            *(f"a megapixel and acquisition, {name}" for name in names),
            *(f"times as fast as at 10 m, {name}" for name in names),
            "ten bands, a megapixel and acquisition",
        ),
        rows,
        (
            f"A patch of {settings.size} x {settings.size} pixels, {len(raw)} acquisitions, median "
            f"of {settings.pairs}; detection alone, masks on the patch's grid included. The data "
            "are uncompressed, with the margin; at 10 m the features' own bands are among the ten. "
            "They are what is stored, and what a server sends that resamples; an archive of files "
            "is read at its own resolution all the same.",
        ),
    )


def _against_ten_metres(places: Sequence[_Detected]) -> Table:
    """Coarse masks against 10 m: with the same pixels averaged, and with the same ground."""
    probability = {r: _probability_error(places, r) for r in RESOLUTIONS}
    compared = [(d, IN_PIXELS[0]) for d in (*IN_PIXELS, *LESS)]
    compared += [(d, ON_THE_GROUND[0]) for d in ON_THE_GROUND]
    rows = []
    for detector, reference in compared:
        if detector == reference:
            continue
        masks = MaskError()
        for place in places:
            masks.add(place.cloud[reference], place.cloud[detector])
        errors = (f"{error:.3f}" for error in probability[detector.resolution])
        rows.append((str(detector), str(reference), *masks.cells, *errors))
    return Table(
        "detector-resolution",
        "Cloud detection by resolution against 10 m, partly cloudy scenes",
        (
            "detector, averaging/dilation",
            "against",
            *MASK_COLUMNS,
            "error of the probability",
            f"within {10 * BORDER} m of a cloud's border",
        ),
        rows,
        (
            f"{sum(p.count for p in places)} acquisitions of the simulated archive with 10 to 90 % "
            f"thick cloud, of {len(places)} places. Averaging and dilation are radii in the "
            "detector's pixels: against 10 m with 4/2 a coarser 4/2 also reaches further on the "
            "ground; against 10 m with 32/16 all reach about 320 and 160 m, as 4/2 does at 80 m, "
            "and resolution alone makes the difference. The probability depends on neither.",
            "The simulated clouds have no detail finer than about 60 m on the ground, so small "
            "cumulus is not judged here.",
        ),
    )


def _probability_error(places: Sequence[_Detected], resolution: int) -> tuple[float, float]:
    """Mean absolute difference from 10 m, of all pixels and of those near a cloud's border."""
    sums = np.zeros((2, 2))
    for place in places:
        for time, cloud in enumerate(place.cloud[IN_PIXELS[0]]):
            error = np.abs(place.probability[resolution][time] - place.probability[10][time])
            for i, pixels in enumerate((error, error[_near_borders(cloud)])):
                sums[:, i] += np.nansum(pixels), np.isfinite(pixels).sum()
    everywhere, near = (sums[0] / np.maximum(sums[1], 1)).tolist()
    return everywhere, near


class _Outcome(NamedTuple):
    """What a detector's masks make of a year, mean over places."""

    valid: float
    """Share of all observations."""
    missing: float
    """Share of the features."""
    blue: float
    ndvi: float


def _outcomes(size: int, threads: int) -> dict[Detector, _Outcome]:
    """The features of a cloudy year against those of the same year without clouds, where every
    detector leaves some."""
    found: dict[Detector, list[_Outcome]] = {d: [] for d in DETECTORS}
    for place in PLACES:
        year = year_of(place, size)
        raw = year.without_clouds().stack(80, 0)
        # A mean probability is never above 1: no cloud is found where there is none.
        seen = CloudMasks(_lazily(raw, Detector(80, 0, 0), threads, threshold=1.0).load())
        expected = _blue_and_ndvi(year, raw, seen)
        valid: dict[Detector, float] = {}
        errors: dict[Detector, NDArray[np.float32]] = {}
        for detector, masks, cloudy in _masks(year, threads):
            valid[detector] = float(masks.valid_fraction.mean())
            errors[detector] = np.abs(_blue_and_ndvi(year, cloudy, masks) - expected)
        everywhere = np.all([np.isfinite(error) for error in errors.values()], axis=0)
        for detector, error in errors.items():
            blue, ndvi = (float(error[:, i][everywhere[:, i]].mean()) for i in (0, 1))
            missing = float(np.isnan(error).mean())
            found[detector].append(_Outcome(valid[detector], missing, blue, ndvi))
    return {d: _Outcome(*np.mean(each, axis=0).tolist()) for d, each in found.items()}


def _blue_and_ndvi(year: Scenes, raw: AcquisitionStack, masks: CloudMasks) -> NDArray[np.float32]:
    """(date, 2, y, x), NaN where missing, with the configuration's defaults."""
    config = year.config
    cube = features.build(
        raw,
        masks,
        FeatureOptions(
            bands=("B02",),
            indices=tuple(index for index in config.indices if index.name == "NDVI"),
            interval=config.features.interval,
            min_valid_fraction=config.features.min_valid_fraction,
            window=config.processing.window,
        ),
    ).load()
    return cube.read("features")


def _against_truth(
    partly: Sequence[_Detected], bare: Sequence[_Detected], outcomes: dict[Detector, _Outcome]
) -> Table:
    truths = [place.scenes.truth() for place in partly]
    bare_truths = [place.scenes.truth() for place in bare]

    def share(
        detector: Detector, places: Sequence[_Detected], of: Sequence[NDArray[np.bool_]]
    ) -> float:
        """Share of some pixels that the detector calls cloud."""
        called = sum(int((p.cloud[detector] & o).sum()) for p, o in zip(places, of, strict=True))
        return called / max(sum(int(o.sum()) for o in of), 1)

    def of(all_of: Sequence[Truth], name: str) -> list[NDArray[np.bool_]]:
        return [getattr(truth, name) for truth in all_of]

    rows = []
    for detector in DETECTORS:
        shares = [
            1 - share(detector, partly, of(truths, "thick")),
            share(detector, partly, of(truths, "thin")),
            share(detector, partly, of(truths, "shadow")),
            share(detector, partly, of(truths, "clear")),
            share(detector, bare, of(bare_truths, "clear")),
            share(detector, bare, of(bare_truths, "snow")),
        ]
        then = outcomes[detector]
        rows.append(
            (
                str(detector),
                *(f"{100 * value:.2f} %" for value in shares),
                f"{100 * then.valid:.1f} %",
                f"{100 * then.missing:.1f} %",
                f"{then.blue:.5f}",
                f"{then.ndvi:.5f}",
            )
        )
    return Table(
        "detector-truth",
        "Cloud detection by resolution against the simulated truth, and what the features make of "
        "it",
        (
            "detector, averaging/dilation",
            "thick cloud missed",
            "thin cloud found",
            "shadow covered",
            "clear ground lost",
            "cloudless: ground called cloud",
            "cloudless: snow called cloud",
            "valid in a year",
            "features missing",
            "error of blue",
            "error of NDVI",
        ),
        rows,
        (
            f"The first four on {sum(p.count for p in partly)} partly cloudy acquisitions, the "
            f"next two on {sum(p.count for p in bare)} without a cloud. Thick cloud is at least "
            "half opaque, thin cloud or cirrus 4 to 50 %. The last four of a whole year of "
            f"{len(PLACES)} places: valid observations, missing features, and mean absolute "
            "difference of the regular features (reflectance of B02; NDVI) from those of the same "
            "year under a sky without clouds, where no detector leaves a feature missing. Most of "
            "that difference is shadow and thin cloud, which no detector finds.",
        ),
    )


def _on_real_scenes(scenes: _Detected) -> Table:
    reference, fine = scenes.probability[10], IN_PIXELS[0]
    share = np.nanmean(np.where(np.isnan(reference), np.nan, scenes.cloud[fine]), axis=(1, 2))
    cloudy = share > 0.5
    seen = ~np.isnan(reference)
    rows = []
    for detector in DETECTORS:
        if detector == fine:
            continue
        error = np.abs(scenes.probability[detector.resolution] - reference)
        masks = MaskError()
        masks.add(scenes.cloud[fine][seen], scenes.cloud[detector][seen])
        rows.append(
            (
                str(detector),
                f"{np.nanmean(error[~cloudy]):.3f}",
                *(f"{np.nanmean(e):.3f}" for e in error[cloudy]),
                *masks.cells[:3],
            )
        )
    days = [str(day)[:10] for day in scenes.scenes.stack(80, 0).datetimes]
    named = [day for day, is_cloudy in zip(days, cloudy, strict=True) if is_cloudy]
    return Table(
        "detector-real",
        "Cloud detection by resolution against 10 m, five real scenes",
        (
            "detector, averaging/dilation",
            "error of the probability, clear scenes",
            *(f"{day}" for day in named),
            *MASK_COLUMNS[:3],
        ),
        rows,
        (
            f"Against 10 m with 4/2, by which {', '.join(f'{100 * s:.1f} %' for s in share)} of "
            "the five scenes is cloud: none is partly cloudy. The patch is 1 km wide and there are "
            "no data around it, which counts as no cloud: at 320 m of averaging a mask's error is "
            "mostly that edge.",
        ),
    )
