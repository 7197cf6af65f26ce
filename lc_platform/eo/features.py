"""A regular feature stack from a year of irregular, cloudy observations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import indices as spectral
from lc_platform.eo.acquisitions import AcquisitionStack
from lc_platform.eo.cube import (
    MAIN,
    Block,
    Computed,
    Cube,
    DataError,
    Layer,
    Summary,
    Thumbnail,
    Window,
    stretched,
    windows,
)
from lc_platform.eo.detection import CloudMasks
from lc_platform.eo.indices import Index
from lc_platform.eo.timeseries import regularize, target_days


@dataclass(frozen=True)
class FeatureStack:
    """Bands and indices on regular dates."""

    cube: Cube

    @property
    def patch(self) -> str:
        return str(self.cube.attributes["patch"])

    @property
    def year(self) -> int:
        return int(self.cube.attributes["year"])

    @property
    def geobox(self) -> GeoBox:
        return self.cube.grids[MAIN]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of every feature, in order: ``NDVI_017`` is NDVI on the 17th day of the year."""
        days = [int(day) + 1 for day in self.cube.attributes["days"]]
        return tuple(
            f"{feature}_{day:03d}" for day in days for feature in self.cube.attributes["features"]
        )

    def read(self, window: Window | None = None) -> NDArray[np.float32]:
        """(feature, y, x) in the order of ``names``, NaN where missing."""
        values = self.cube.read("features", window)
        return values.reshape(-1, *values.shape[2:])


def build(
    raw_bands: AcquisitionStack,
    cloud_masks: CloudMasks,
    *,
    bands: Sequence[str],
    indices: Sequence[Index],
    interval: int,
    min_valid_fraction: float,
    window: int,
) -> Computed:
    """Bands (reflectance) and indices, interpolated linearly to regular dates.

    interval            days between the dates, from 1 January
    min_valid_fraction  0 to 1; an acquisition with less of the patch valid is left out

    The result's layer ``features`` is (date, feature, y, x), float32; NaN outside a pixel's first
    and last valid observation. Raises DataError where no acquisition is left, or where the masks
    are not those of these acquisitions.
    """
    cloud_masks.check_made_of(raw_bands)
    enough = cloud_masks.valid_fraction >= min_valid_fraction
    used = np.flatnonzero(enough & (cloud_masks.valid_fraction > 0))
    if not len(used):
        best = int(np.argmax(cloud_masks.valid_fraction))
        clearest = raw_bands.acquisitions[best]["key"]
        raise DataError(
            f"{raw_bands.name}: none of {len(raw_bands)} acquisitions shows at least "
            f"{min_valid_fraction:.0%} of the patch (the best, {clearest}, "
            f"{cloud_masks.valid_fraction[best]:.0%}). Lower features.min_valid_fraction, raise "
            "imagery.max_cloud_cover, or leave the patch out"
        )
    needed = spectral.required_bands(indices, bands)
    targets = target_days(raw_bands.year, interval)
    days = raw_bands.days[used]
    names = [*bands, *(index.name for index in indices)]
    geobox = raw_bands.geobox

    def blocks(summary: Summary) -> Iterator[Block]:
        picture = Thumbnail(geobox.shape, 1)
        missing = 0.0
        shown = len(names) - 1 if indices else 0
        for tile in windows(geobox.shape, window):
            values = _observed(raw_bands, tile, used, needed, bands, indices)
            valid = cloud_masks.valid(tile, used.tolist())
            regular = regularize(values, valid, days, targets)
            missing += float(np.isnan(regular[:, 0]).mean()) * regular[0, 0].size
            picture.take(tile, regular[len(targets) // 2, shown][None])
            yield Block("features", (slice(None), slice(None)), tile, regular)
        summary.picture = _picture(picture.values[0])
        summary.facts |= {
            "acquisitions": len(raw_bands),
            "acquisitions_used": len(used),
            "features": len(names) * len(targets),
            "valid_fraction": 1 - missing / float(np.prod(geobox.shape)),
        }

    start = np.datetime64(f"{raw_bands.year}-01-01", "D")
    return Computed(
        {MAIN: geobox},
        {
            "features": Layer(
                ("date", "feature"),
                "float32",
                fill=float("nan"),
                chunks=(len(targets), len(names)),
                tile=window,
            )
        },
        blocks,
        {"date": start + targets.astype("timedelta64[D]"), "feature": np.array(names)},
        {
            "patch": raw_bands.patch,
            "year": raw_bands.year,
            "days": targets.tolist(),
            "features": names,
            "acquisitions": [raw_bands.acquisitions[i]["key"] for i in used],
        },
    )


def _observed(
    raw: AcquisitionStack,
    window: Window,
    times: NDArray[np.intp],
    needed: Sequence[str],
    bands: Sequence[str],
    indices: Sequence[Index],
) -> NDArray[np.float32]:
    """(time, feature, y, x): bands and indices as observed."""
    reflectance = raw.reflectance(window, times.tolist(), needed)
    named = {band: reflectance[:, i] for i, band in enumerate(needed)}
    if not indices and tuple(needed) == tuple(bands):
        return reflectance
    columns = [named[band] for band in bands]
    columns += [spectral.compute(index, named) for index in indices]
    return np.stack(columns, axis=1)


def _picture(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = values[~np.isnan(values)]
    low, high = (float(v) for v in np.quantile(known, [0.02, 0.98])) if known.size else (0.0, 1.0)
    return np.repeat(stretched(values, low, max(high, low + 1e-6))[..., None], 3, axis=-1)
