"""How often, and how well, each pixel and each date was seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import (
    MAIN,
    Block,
    Computed,
    Layer,
    Summary,
    Thumbnail,
    Window,
    stretched,
    windows,
)
from lc_platform.eo import indices
from lc_platform.eo.timeseries import mean, valid_count
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.raw_bands import AcquisitionStack

WITH_CLOUDS, WITHOUT_CLOUDS = "_with_clouds", "_without_clouds"
"""What the columns of the index end with."""
_NDVI = indices.KNOWN["NDVI"]


def observe(
    raw_bands: AcquisitionStack,
    cloud_masks: CloudMasks,
    *,
    window: int,
    index: indices.Index | None = _NDVI,
) -> Computed:
    """Statistics of a patch's year.

    Layers (y, x), float32: ``valid_observations``, ``cloud_probability`` (mean over the year, 0
    to 1) and, where there is an ``index``, one of its name in small letters (mean over valid
    observations); NaN where nothing was observed. The summary's table has a row a date: valid
    fraction, and the mean index with and without clouds (``ndvi_with_clouds``).

    Raises DataError where the masks are not those of these acquisitions.
    """
    cloud_masks.check_made_of(raw_bands)
    geobox = raw_bands.geobox
    name = "" if index is None else index.name.lower()
    names = ("valid_observations", "cloud_probability", *([name] if name else []))

    def blocks(summary: Summary) -> Iterator[Block]:
        maps = Thumbnail(geobox.shape, 2, size=512)
        picture = Thumbnail(geobox.shape, 1)
        times = len(raw_bands)
        seen, clear, sum_seen, sum_clear = np.zeros((4, times))
        fewest, never = times, 0
        for tile in windows(geobox.shape, window):
            data = raw_bands.data_mask(tile)
            valid = cloud_masks.valid(tile)
            values = None if index is None else _computed(index, raw_bands, tile)
            if values is not None:
                data &= ~np.isnan(values)
                usable = valid & data
                seen += data.sum(axis=(1, 2))
                clear += usable.sum(axis=(1, 2))
                sum_seen += np.where(data, values, 0).sum(axis=(1, 2), dtype=np.float64)
                sum_clear += np.where(usable, values, 0).sum(axis=(1, 2), dtype=np.float64)
            probability = cloud_masks.probability(tile)
            count = valid_count(valid)
            fewest = min(fewest, int(count.min()))
            never += int((count == 0).sum())
            layers = {
                "valid_observations": count.astype(np.float32),
                "cloud_probability": mean(probability, ~np.isnan(probability)),
            }
            if values is not None:
                layers[name] = mean(values, usable)
            maps.take(tile, np.stack([layers["valid_observations"], layers["cloud_probability"]]))
            picture.take(tile, layers["valid_observations"][None])
            for layer, pixels in layers.items():
                yield Block(layer, (), tile, pixels)
        summary.table = {
            "datetime": raw_bands.datetimes,
            "acquisition": np.array([a["key"] for a in raw_bands.acquisitions]),
            "valid_fraction": cloud_masks.valid_fraction,
        }
        if name:
            with np.errstate(invalid="ignore", divide="ignore"):
                summary.table |= {
                    f"{name}{WITH_CLOUDS}": sum_seen / seen,
                    f"{name}{WITHOUT_CLOUDS}": sum_clear / clear,
                }
        counts = maps.values[0]
        summary.maps = {"valid_observations": counts, "cloud_probability": maps.values[1]}
        summary.picture = np.repeat(
            stretched(picture.values[0], 0, max(float(counts.max()), 1))[..., None], 3, axis=-1
        )
        summary.facts |= {
            "acquisitions": times,
            "valid_fraction": float(cloud_masks.valid_fraction.mean()),
            "valid_observations_mean": float(cloud_masks.valid_fraction.sum()),
            "valid_observations_min": fewest,
            "pixels_never_seen": never / float(np.prod(geobox.shape)),
        }

    return Computed(
        {MAIN: geobox},
        {name: Layer((), "float32", fill=float("nan")) for name in names},
        blocks,
        attributes={"patch": raw_bands.patch, "year": raw_bands.year},
    )


def _computed(index: indices.Index, raw_bands: AcquisitionStack, tile: Window) -> NDArray[Any]:
    """(time, y, x)"""
    reflectance = raw_bands.reflectance(tile, bands=index.bands)
    bands = dict(zip(index.bands, np.moveaxis(reflectance, 1, 0), strict=True))
    return indices.compute(index, bands)
