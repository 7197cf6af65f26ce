"""From the probabilities of classes to the map: smoothing, segments, mode filter, minimum mapping
unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lc_platform.area.mask import Area, ConfiguredArea
from lc_platform.cube import Window, count_windows, shifted, windows
from lc_platform.eo import generalization, segments, smoothing
from lc_platform.eo.classifier import Prediction, decide
from lc_platform.errors import DataError
from lc_platform.products.features import FeatureStack
from lc_platform.products.model import LandCoverModel
from lc_platform.products.postprocessing_options import Postprocessing
from lc_platform.runtime.overlap import read_ahead
from lc_platform.runtime.progress import track

Read = Callable[[Window], NDArray[np.float32]]
"""Returns (feature, y, x) of a window, which may reach beyond the patch."""
Classify = Callable[[NDArray[np.float32], Window], Prediction]
"""Classifies what was read of a window."""

_PANEL = 2048
"""Pixels across a panel: what a row of windows with a margin holds does not grow with the patch."""


def reader(
    features: FeatureStack,
    model: LandCoverModel,
    area: Area | ConfiguredArea | None,
    options: Postprocessing,
) -> Read:
    """Return what reads the features of a window of a patch, which may reach beyond it as far as
    the postprocessing needs; none of what lies beyond the area is read.

    Raises DataError where the features are not those the model was trained on, or do not reach as
    far.
    """
    model.check_fits(features)
    margin = options.margin
    if features.margin < margin:
        raise DataError(
            f"{features.name}: the map is made from {margin} pixels beyond the patch (map), and "
            f"its features reach {features.margin}. Materialize raw_bands, cloud_masks and features"
            " of this patch again"
        )
    around = area.on(features.geobox.pad(margin)) if area is not None else None

    def read(tile: Window) -> NDArray[np.float32]:
        if around is None or (here := around.read(shifted(tile, margin))).all():
            return features.read(tile)
        if not here.any():
            return np.full((len(features.names), *here.shape), np.nan, np.float32)
        return np.where(here, features.read(tile), np.float32(np.nan))

    return read


def finish(
    probabilities: NDArray[np.float32],
    class_ids: Sequence[int],
    options: Postprocessing,
    *,
    origin: tuple[int, int],
    threads: int = 0,
) -> Prediction:
    """Make the map of a window.

    probabilities  (class, y, x), calibrated, 0 to 1; NaN without data; reaching
                   ``options.margin`` pixels beyond the window on each side
    class_ids      (class,)
    origin         row and column of the first pixel of the probabilities, see `cube.first_pixel`
    threads        that may be used, 0 for all
    Returns the window without the margin: the probabilities after smoothing, those of its segment
    for each pixel, their entropy and margin; the class after filter and minimum unit, and as its
    confidence the probability of that class. By the margin, a window's map is that of the whole.
    """
    if options.smoothing_window > 1:
        variances = [options.variances[i] for i in class_ids]
        probabilities = smoothing.smooth(
            probabilities, variances, window=options.smoothing_window, threads=threads
        )
    if options.segment_size:
        # Roots, so that the distance of two pixels is the Hellinger distance of what they may be.
        of = segments.segment(
            np.sqrt(probabilities),
            origin=origin,
            size=options.segment_size,
            compactness=options.segment_compactness,
            threads=threads,
        )
        probabilities = segments.smooth(probabilities, of)
    margin = options.margin
    rows, columns = (slice(margin, length - margin) for length in probabilities.shape[1:])
    inner = probabilities[:, rows, columns]
    found = decide(inner, class_ids, threads=threads)
    if options.mode_window == 1 and options.unit == 1:
        return found
    classes = decide(probabilities, class_ids, threads=threads).classes
    if options.mode_window > 1:
        classes = generalization.mode_filter(classes, window=options.mode_window, threads=threads)
    classes = generalization.sieve(classes, options.unit)[rows, columns]
    changed = np.nonzero(classes != found.classes)
    places = np.searchsorted(class_ids, classes[changed])
    confidence = found.confidence.copy()
    confidence[changed] = np.rint(np.float32(100) * inner[places, *changed])
    return replace(found, classes=classes, confidence=confidence)


def finished(
    read: Read,
    classify: Classify,
    class_ids: Sequence[int],
    options: Postprocessing,
    region: Window,
    *,
    origin: tuple[int, int],
    window: int,
    threads: int = 0,
) -> Iterator[tuple[Window, Prediction]]:
    """Make the map of a region, window by window; what `finish` says of each.

    read      is asked for every window of the region, and ``options.margin`` pixels beyond it
    region    rows and columns of a patch, which begin at multiples of the window
    origin    row and column of the patch's first pixel, see `cube.first_pixel`
    window    pixels along the side of the windows
    threads   that may be used, 0 for all

    Windows are read and classified once. Where there is a margin, as many rows of them as it is
    high are held, and the margin above and below, of at most 2048 pixels across and the margin.
    """
    shape = region[0].stop - region[0].start, region[1].stop - region[1].start
    margin = options.margin
    if not margin:
        tiles = (_moved(tile, region) for tile in windows(shape, window))
        for tile, values in _tracked(read, tiles, count_windows(shape, window)):
            yield tile, classify(values, tile)
        return
    across, height = max(_PANEL // window, 1) * window, -(-margin // window) * window
    panels = [
        (slice(start, min(start + across, region[1].stop)))
        for start in range(region[1].start, region[1].stop, across)
    ]
    parts = [
        (slice(top, bottom), slice(left, right))
        for panel in panels
        for top, bottom in _steps(region[0], margin, window)
        for left, right in _steps(panel, margin, window)
    ]
    classified = (
        (part, classify(values, part)) for part, values in _tracked(read, parts, len(parts))
    )
    for panel in panels:
        width = panel.stop - panel.start + 2 * margin
        held = np.empty((len(class_ids), 0, width), np.float32)
        judged: NDArray[np.uint8] | None = np.empty((0, width), np.uint8)
        first = region[0].start - margin
        for top in range(region[0].start, region[0].stop, height):
            bottom = min(top + height, region[0].stop)
            gone, first = top - margin - first, top - margin
            held = held[:, gone:]
            judged = None if judged is None else judged[gone:]
            added, judgements = [held], [judged]
            end = first + held.shape[1]
            while end < bottom + margin:
                row, judgement, end = _row(classified, width)
                added.append(row)
                judgements.append(judgement)
            held = np.concatenate(added, axis=1)
            judged = _joined(judgements, axis=0)
            of_window = held[:, : bottom + margin - first]
            corner = origin[0] + first, origin[1] + panel.start - margin
            found = finish(of_window, class_ids, options, origin=corner, threads=threads)
            if judged is not None:
                inner = judged[margin : bottom - top + margin, margin : width - margin]
                found = replace(found, applicability=inner)
            yield (slice(top, bottom), panel), found


def _tracked(
    read: Read, parts: Iterator[Window] | Sequence[Window], count: int
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    return read_ahead(read, track(parts, "windows", count))


def _moved(window: Window, region: Window) -> Window:
    rows, columns = (
        slice(side.start + of.start, side.stop + of.start)
        for side, of in zip(window, region, strict=True)
    )
    return rows, columns


def _steps(side: slice, margin: int, size: int) -> list[tuple[int, int]]:
    """Return the ends of the windows along a side with its margin. They begin where what is stored
    does, so that it is read in whole pieces."""
    start, stop = side.start - margin, side.stop + margin
    return [(at, min(at + size, stop)) for at in range(start, stop, size)]


def _row(
    classified: Iterator[tuple[Window, Prediction]], width: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None, int]:
    """Return the probabilities and the applicability of the next windows that lie side by side, and
    where they end."""
    found: list[Prediction] = []
    while sum(one.classes.shape[1] for one in found) < width:
        (rows, _), values = next(classified)
        found.append(values)
    probabilities = np.concatenate([one.probabilities for one in found], axis=2)
    return probabilities, _joined([one.applicability for one in found], axis=1), rows.stop


def _joined(parts: Sequence[NDArray[np.uint8] | None], axis: int) -> NDArray[np.uint8] | None:
    """Return the parts as one; None where one of them is not judged."""
    known = [one for one in parts if one is not None]
    return np.concatenate(known, axis=axis) if len(known) == len(parts) else None
