"""How often each pixel was observed, and how much of the patch each date shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import (
    MAIN,
    Block,
    Layer,
    LazyCube,
    Summary,
    Thumbnail,
    Window,
    stretched,
    tracked,
)
from lc_platform.eo import indices, snow
from lc_platform.eo.timeseries import mean, valid_count
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.options import StatisticsOptions
from lc_platform.products.raw_bands import AcquisitionStack

WITH_CLOUDS, WITHOUT_CLOUDS = "_with_clouds", "_without_clouds"
"""The ends of the names of the index's columns."""
OF_GROUND, OF_SNOW = "_of_ground", "_of_snow"
"""Likewise, of what is without clouds: apart from snow, and under it."""
_SNOW_BANDS = ("B03", "B08", "B11")
_TOGETHER = 16
"""Acquisitions that are looked at together for snow, so that memory does not grow with the year."""


def observe(
    raw_bands: AcquisitionStack, cloud_masks: CloudMasks, options: StatisticsOptions
) -> LazyCube:
    """Return statistics of a patch's year.

    Layers (y, x), float32: ``valid_observations``, ``cloud_probability`` (mean over the year, 0
    to 1) and, where there is an ``index``, one of its name in small letters (mean over valid
    observations); NaN where nothing was observed. The summary's table has a row a date: valid
    fraction, the shares that have data and that are valid and snow, and the mean index with and
    without clouds (``ndvi_with_clouds``), of these without snow and of snow alone. Snow is found
    by the masks, else by the bands green, near and shortwave infrared, and not at all without
    these.

    Raises DataError where the masks are not those of these acquisitions.
    """
    cloud_masks.check_made_of(raw_bands)
    geobox, index = raw_bands.geobox, options.index
    name = "" if index is None else index.name.lower()
    names = ("valid_observations", "cloud_probability", *([name] if name else []))

    def blocks(summary: Summary) -> Iterator[Block]:
        maps = Thumbnail(geobox.shape, 2, size=512)
        picture = Thumbnail(geobox.shape, 1)
        of_season = raw_bands.of_season
        acquisitions = raw_bands.acquisitions[of_season]
        times = len(acquisitions)
        shares = cloud_masks.valid_fraction[of_season]
        size = float(np.prod(geobox.shape))
        imaged, seen, clear, snowy, sum_seen, sum_clear, sum_snow = np.zeros((7, times))
        white = np.zeros(times)
        fewest, never, unimaged = times, 0, 0
        for tile in tracked(geobox.shape, options.window):
            data = raw_bands.data_mask(tile, of_season)
            valid = cloud_masks.valid(tile, of_season)
            snow = _snow(raw_bands, cloud_masks, tile) & valid
            imaged += data.sum(axis=(1, 2))
            white += snow.sum(axis=(1, 2))
            unimaged += int((~data.any(axis=0)).sum())
            values = None if index is None else _computed(index, raw_bands, tile)
            if values is not None:
                data &= ~np.isnan(values)
                usable = valid & data
                seen += data.sum(axis=(1, 2))
                clear += usable.sum(axis=(1, 2))
                sum_seen += np.where(data, values, 0).sum(axis=(1, 2), dtype=np.float64)
                sum_clear += np.where(usable, values, 0).sum(axis=(1, 2), dtype=np.float64)
                snow &= usable
                snowy += snow.sum(axis=(1, 2))
                sum_snow += np.where(snow, values, 0).sum(axis=(1, 2), dtype=np.float64)
            probability = cloud_masks.probability(tile, of_season)
            count = valid_count(valid)
            fewest = min(fewest, int(count.min()))
            never += int((count == 0).sum())
            layers = {
                "valid_observations": count.astype(np.float32),
                "cloud_probability": mean(probability, ~np.isnan(probability)),
            }
            if values is not None:
                layers[name] = mean(values, usable)
            maps.update(tile, np.stack([layers["valid_observations"], layers["cloud_probability"]]))
            picture.update(tile, layers["valid_observations"][None])
            for layer, pixels in layers.items():
                yield Block(layer, (), tile, pixels)
        summary.table = {
            "datetime": raw_bands.datetimes[of_season],
            "acquisition": np.array([a["key"] for a in acquisitions]),
            "valid_fraction": shares,
            "data_fraction": imaged / size,
            "snow_fraction": white / size,
        }
        if name:
            with np.errstate(invalid="ignore", divide="ignore"):
                summary.table |= {
                    f"{name}{WITH_CLOUDS}": sum_seen / seen,
                    f"{name}{WITHOUT_CLOUDS}": sum_clear / clear,
                    f"{name}{OF_GROUND}": (sum_clear - sum_snow) / (clear - snowy),
                    f"{name}{OF_SNOW}": sum_snow / snowy,
                }
        counts = maps.values[0]
        summary.maps = {"valid_observations": counts, "cloud_probability": maps.values[1]}
        summary.picture = np.repeat(
            stretched(picture.values[0], 0, max(float(counts.max()), 1))[..., None], 3, axis=-1
        )
        summary.facts |= {
            "acquisitions": times,
            "valid_fraction": float(shares.mean()),
            "valid_observations_mean": float(shares.sum()),
            "valid_observations_min": fewest,
            "pixels_never_seen": never / size,
            "pixels_without_data": unimaged / size,
        }

    return LazyCube(
        {MAIN: geobox},
        {name: Layer((), "float32", fill=float("nan")) for name in names},
        blocks,
        attributes={"patch": raw_bands.patch, "year": raw_bands.year},
    )


def _snow(raw_bands: AcquisitionStack, cloud_masks: CloudMasks, tile: Window) -> NDArray[np.bool_]:
    """Return (time, y, x) of the season, True where there is snow, as far as that can be told."""
    first, after = raw_bands.of_season.start, raw_bands.of_season.stop
    if "snow_mask" in cloud_masks.cube.layers:
        return cloud_masks.snow(tile, raw_bands.of_season)
    found = np.zeros((after - first, *(side.stop - side.start for side in tile)), np.bool_)
    if set(_SNOW_BANDS) <= set(raw_bands.bands):
        for start in range(first, after, _TOGETHER):
            times = slice(start, min(start + _TOGETHER, after))
            bands = raw_bands.reflectance(tile, times, _SNOW_BANDS)
            found[start - first : times.stop - first] = snow.is_snow(*np.moveaxis(bands, 1, 0))
    return found


def _computed(index: indices.Index, raw_bands: AcquisitionStack, tile: Window) -> NDArray[Any]:
    """Return (time, y, x) of the season."""
    reflectance = raw_bands.reflectance(tile, raw_bands.of_season, index.bands)
    bands = dict(zip(index.bands, np.moveaxis(reflectance, 1, 0), strict=True))
    return indices.compute(index, bands)
