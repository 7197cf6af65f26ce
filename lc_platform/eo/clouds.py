"""Clouds: which pixels of an acquisition show the ground."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

if TYPE_CHECKING:
    from lightgbm import Booster
    from s2cloudless.cloud_detector import S2PixelCloudDetector

DETECTOR_BANDS = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")
"""The L1C bands s2cloudless reads, in its order."""

SCL_CLEAR = (4, 5, 6, 7, 11)
"""Vegetation, bare ground, water, unclassified, snow or ice."""
SCL_CLOUD = (8, 9, 10)
"""Cloud of medium and of high probability, thin cirrus."""
SCL_SHADOW = (2, 3)
"""Dark area or cast shadow, cloud shadow."""
SCL_SNOW = (11,)


class SclMasks(NamedTuple):
    """What the scene classification says of each pixel, four times bool (time, y, x).

    A pixel without data (0) or saturated (1) is in none of them.
    """

    clear: NDArray[np.bool_]
    cloud: NDArray[np.bool_]
    shadow: NDArray[np.bool_]
    snow: NDArray[np.bool_]


def s2cloudless_probability(
    reflectance: NDArray[np.float32], *, threads: int = 0
) -> NDArray[np.float32]:
    """Return the probability that a pixel is cloud, by s2cloudless (Zupanc 2017).

    reflectance  (time, band, y, x), top of atmosphere, 0 to 1 and above; the bands are
                 DETECTOR_BANDS in that order; NaN where there is no data
    threads      that may be used, 0 for all
    Returns (time, y, x), 0 to 1; NaN where any band is NaN.

    Raises ValueError where the bands are not ten.
    """
    times, bands, height, width = reflectance.shape
    if bands != len(DETECTOR_BANDS):
        raise ValueError(
            f"s2cloudless needs the {len(DETECTOR_BANDS)} bands {', '.join(DETECTOR_BANDS)}; "
            f"{bands} were given."
        )
    probability = np.full((times, height, width), np.nan, np.float32)
    for time in range(times):
        seen = ~np.isnan(reflectance[time]).any(axis=0)
        if seen.any():
            bands_first = reflectance[time].reshape(bands, -1)
            pixels = (bands_first if seen.all() else bands_first[:, seen.ravel()]).T
            probability[time, seen] = _cloud_probability(pixels, threads)
    return probability


def s2cloudless_mask(
    probability: NDArray[np.float32], threshold: float, average_over: int, dilation: int
) -> NDArray[np.bool_]:
    """Return the cloud mask by s2cloudless: the mean over a disk above the threshold, then dilated
    by a disk.

    probability   (time, y, x), 0 to 1; a pixel that is NaN counts as 0 in its neighbours' mean
    threshold     of the mean probability, exclusive
    average_over  radius of the averaging disk in pixels, 0 for none
    dilation      radius of the dilating disk in pixels, 0 for none
    Returns (time, y, x), True where cloudy; False where the probability is NaN.
    """
    from s2cloudless.cloud_detector import S2PixelCloudDetector

    missing = np.isnan(probability)
    known = np.where(missing, np.float32(0), probability).astype(np.float32, copy=False)
    detector = S2PixelCloudDetector(
        threshold=threshold, average_over=average_over, dilation_size=None
    )
    cloud = detector.get_mask_from_prob(known).astype(np.uint8, copy=False)
    # Not left to the detector: without averaging its mask is int8, which OpenCV cannot dilate.
    wide = np.array([dilated(mask.astype(np.bool_), dilation) for mask in cloud], np.bool_)
    return wide.reshape(missing.shape) & ~missing


def dilated(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return a mask (y, x) widened by a disk, that of s2cloudless.

    radius  in pixels, 0 for none
    """
    if not radius:
        return mask
    import cv2
    from s2cloudless.cloud_detector import S2PixelCloudDetector

    disk = S2PixelCloudDetector(dilation_size=radius).dilation_filter
    return cv2.dilate(mask.astype(np.uint8), disk).astype(np.bool_)


def detector_margin(average_over: int, dilation: int) -> int:
    """Return how many pixels beyond a window its cloud mask depends on."""
    return average_over + dilation


def scl_masks(scl: NDArray[np.uint8]) -> SclMasks:
    """Return masks from the scene classification of L2A (Sen2Cor, classes 0 to 11).

    scl  (time, y, x) or any other shape
    Returns masks of the same shape. SCL gives classes and no probability: whoever needs one
    takes the cloud mask as 0 and 1.
    """
    return SclMasks(
        *(np.isin(scl, classes) for classes in (SCL_CLEAR, SCL_CLOUD, SCL_SHADOW, SCL_SNOW))
    )


def probability_to_grid(
    probability: NDArray[np.float32], coarse: GeoBox, fine: GeoBox
) -> NDArray[np.float32]:
    """Return the bilinear interpolation between the pixel centres of a coarse grid.

    probability  (time, y, x) on ``coarse``; NaN where missing
    coarse       a grid that covers ``fine``; by a pixel more on each side, a window's values
                 are those of the whole
    fine         a grid in the same CRS, both axis-aligned
    Returns (time, y, x) on ``fine``. A missing pixel gives its weight to the others of the four
    around a centre; NaN where all with a weight are missing. Beyond the outermost centres the
    outermost pixel's value holds.

    Raises ValueError where the grids do not fit, or the array not its grid.
    """
    _check_on_grid(probability.shape, coarse)
    rows, columns = _positions(coarse, fine)
    valid = ~np.isnan(probability)
    known = np.where(valid, probability, np.float32(0)).astype(np.float32, copy=False)
    # Columns first: they are fewer values while the rows are coarse, and rows are copied whole.
    total = _blend(_blend(known, columns, 2), rows, 1)
    if valid.all():
        return total
    weight = _blend(_blend(valid.astype(np.float32), columns, 2), rows, 1)
    result = np.full(total.shape, np.nan, np.float32)
    np.divide(total, weight, out=result, where=weight > 0)
    return result


def mask_to_grid(mask: NDArray[np.bool_], coarse: GeoBox, fine: GeoBox) -> NDArray[np.bool_]:
    """Return the value of the coarse pixel in which each fine pixel's centre lies.

    mask    (time, y, x) on ``coarse``
    coarse  a grid that covers ``fine``
    fine    a grid in the same CRS, both axis-aligned
    Returns (time, y, x) on ``fine``. A centre on the border of two coarse pixels takes the one
    of the higher index.

    Raises ValueError where the grids do not fit, or the array not its grid.
    """
    _check_on_grid(mask.shape, coarse)
    rows, columns = _positions(coarse, fine)
    row = np.minimum(np.floor(rows + 0.5).astype(np.intp), coarse.shape[0] - 1)
    column = np.minimum(np.floor(columns + 0.5).astype(np.intp), coarse.shape[1] - 1)
    fitted: NDArray[np.bool_] = mask.take(column, axis=2).take(row, axis=1)
    return fitted


@cache
def _detector() -> S2PixelCloudDetector:
    # With its libraries imported here, who only asks for a margin does not wait for them.
    from s2cloudless.cloud_detector import S2PixelCloudDetector

    return S2PixelCloudDetector()


def _cloud_probability(pixels: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
    from lc_platform.eo.forest import forest_of

    forest = forest_of(cast("Booster", _detector().classifier.classifier))
    if forest is not None:
        return forest.predict(pixels, threads=threads)
    maps = _detector().get_cloud_probability_maps(
        pixels[np.newaxis, np.newaxis], num_threads=threads
    )
    return np.asarray(maps[0, 0], np.float32)


_BESIDE = 0.0103
"""Of a millionth of a pixel, no number of few binary or decimal digits."""


def _check_on_grid(shape: tuple[int, ...], grid: GeoBox) -> None:
    if shape[1:] != tuple(grid.shape):
        raise ValueError(
            f"An array (time, y, x) of shape {shape} does not lie on a grid of "
            f"{grid.shape[0]} rows and {grid.shape[1]} columns."
        )


def _positions(coarse: GeoBox, fine: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the fine rows and columns have their centres, in coarse pixels from the first
    centre.

    They are of whole millionths of a pixel, so that a window and the whole agree to the bit.
    """
    if coarse.crs != fine.crs:
        raise ValueError(f"The coarse grid is in {coarse.crs}, the fine one in {fine.crs}.")
    if not (coarse.axis_aligned and fine.axis_aligned):
        raise ValueError("A rotated grid cannot be resampled; both grids must be axis-aligned.")
    there, here = coarse.affine, fine.affine
    y = here.f + here.e * (np.arange(fine.shape[0]) + 0.5)
    x = here.c + here.a * (np.arange(fine.shape[1]) + 0.5)
    rows = _in_millionths((y - there.f) / there.e - 0.5)
    columns = _in_millionths((x - there.c) / there.a - 0.5)
    for name, positions, size in (
        ("rows", rows, coarse.shape[0]),
        ("columns", columns, coarse.shape[1]),
    ):
        if positions.size and (positions.min() < -0.5 or positions.max() > size - 0.5):
            raise ValueError(f"The coarse grid does not cover the fine one's {name}.")
    return rows, columns


def _in_millionths(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return positions to a millionth of a pixel, each to the nearest but for the border between
    two.

    Coordinates of a window and of the whole differ in their last bits. Half of a millionth is where
    grids lie that are apart by a fraction such as 1/128 of a pixel; no such grid lies a hundredth
    of a millionth beside it.
    """
    millionths: NDArray[np.float64] = np.floor(positions * 1e6 + (0.5 + _BESIDE)) / 1e6
    return millionths


def _blend(
    values: NDArray[np.float32], positions: NDArray[np.float64], axis: int
) -> NDArray[np.float32]:
    last = values.shape[axis] - 1
    before = np.floor(positions)
    weight = np.round(positions - before, 6).astype(np.float32)
    lower = np.clip(before.astype(np.intp), 0, last)
    upper = np.clip(before.astype(np.intp) + 1, 0, last)
    weight = weight.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    blended: NDArray[np.float32] = values.take(lower, axis) * (1 - weight)
    blended += values.take(upper, axis) * weight
    return blended
