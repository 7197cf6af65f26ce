"""The features of a patch's year: series on dates, and what is made of the season as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.area.mask import AreaMask
from lc_platform.cube import (
    Block,
    Cube,
    LazyCube,
    Summary,
    Thumbnail,
    Window,
    shifted,
    stretched,
    tracked,
    windows,
    within,
)
from lc_platform.eo.indices import Index
from lc_platform.errors import DataError
from lc_platform.products import feature_families
from lc_platform.products.auxiliary_features import AuxiliaryBands
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_cube import SERIES, UNDATED, Computed, LazyFeatures, versions
from lc_platform.products.feature_families import Series
from lc_platform.products.feature_options import FeatureOptions
from lc_platform.products.handle import SeasonHandle
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.products.static_layers import missing_pixels, open_layers
from lc_platform.runtime.overlap import read_ahead

_COUNTED = 512
"""Pixels along the side of what is counted at a time."""


def are_stored(cube: Cube) -> bool:
    """Return whether features are stored, and not computed when they are read."""
    return SERIES in cube.layers or UNDATED in cube.layers


@dataclass(frozen=True)
class FeatureStack(SeasonHandle):
    """What the classifier reads: bands and indices on dates, and features without a date."""

    @cached_property
    def days(self) -> tuple[int, ...]:
        """The dates of the series, days of the season from 1; none where there is no series."""
        return tuple(int(day) + 1 for day in self.cube.attributes["days"])

    @cached_property
    def undated(self) -> tuple[str, ...]:
        """The names of the features without a date."""
        return tuple(self.cube.attributes.get(UNDATED, ()))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of every feature, in order: those on dates first (``NDVI_017`` is NDVI on the
        17th day of the season), then those without one (``NDVI_p50``)."""
        of_dates = self.cube.attributes["features"]
        return (
            *(f"{feature}_{day:03d}" for day in self.days for feature in of_dates),
            *self.undated,
        )

    def read(self, window: Window | None = None) -> NDArray[np.float32]:
        """Return (feature, y, x) in the order of ``names``, NaN where missing."""
        here = self._stored(window)
        if isinstance(self.cube, LazyFeatures):
            return self.cube.computed(self.cube.observed(here)).whole
        parts = []
        if self.days:
            series = self.cube.read(SERIES, here)
            parts.append(series.reshape(-1, *series.shape[2:]))
        if self.undated:
            parts.append(self.cube.read(UNDATED, here))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def on_the_fly(
    raw_bands: AcquisitionStack,
    cloud_masks: CloudMasks,
    options: FeatureOptions,
) -> LazyFeatures:
    """Return the families of features of bands (reflectance) and indices.

    The layer ``features`` is (date, feature, y, x), float32; interpolated ones are NaN outside a
    pixel's first and last valid observation in the feature's collection. The layer ``undated`` is
    (undated_feature, y, x), float32. Raises DataError where no acquisition of the main collection
    is left, or fewer than a family needs, where raw_bands lacks an auxiliary one, or where the
    masks are not those of these acquisitions.
    """
    cloud_masks.check_made_of(raw_bands)
    inside = options.area.on(raw_bands.geobox) if options.area is not None else None
    shares, of = _valid_shares(raw_bands, cloud_masks, inside)
    enough = shares >= options.min_valid_fraction
    used = np.flatnonzero(enough & ((shares > 0) | cloud_masks.valid_in_margin))
    of_season = raw_bands.of_season
    if not (enough & (shares > 0))[of_season].any():
        best = of_season.start + int(np.argmax(shares[of_season]))
        count, clearest = len(shares[of_season]), raw_bands.acquisitions[best]["key"]
        if not shares[best] > 0:
            raise DataError(
                f"{raw_bands.name}: none of {count} acquisitions has a valid pixel of "
                f"{of}: all of it is masked or without data in each. Raise "
                "imagery.max_cloud_cover, look at cloud_masks, or leave the patch out"
            )
        raise DataError(
            f"{raw_bands.name}: none of {count} acquisitions shows at least "
            f"{options.min_valid_fraction:.0%} of {of} (the best, {clearest}, {shares[best]:.0%}). "
            "Lower features.min_valid_fraction, raise imagery.max_cloud_cover, or leave the patch "
            "out"
        )
    _check_enough(raw_bands, used, options)
    series = feature_families.series_of(options.families)
    return LazyFeatures(
        raw_bands,
        cloud_masks,
        tuple(options.bands),
        tuple(options.indices),
        (
            np.empty(0, np.int32)
            if series is None
            else series.targets(raw_bands.season, raw_bands.year, options.interval)
        ),
        used,
        tuple(one.of(raw_bands) for one in options.auxiliary),
        options.threads,
        options.families,
        open_layers(options.layers, raw_bands.map_grid, raw_bands.year),
    )


def _check_enough(
    raw_bands: AcquisitionStack, used: NDArray[np.intp], options: FeatureOptions
) -> None:
    """Raises DataError where a family needs observations of more days than there are."""
    days = raw_bands.days[used]
    there = len(np.unique(days[(days >= 0) & (days < raw_bands.season.length(raw_bands.year))]))
    for family in feature_families.undated_of(options.families):
        if there < family.needs:
            raise DataError(
                f"{raw_bands.name}: features.{family.name} needs observations of {family.needs} "
                f"days, and the acquisitions that are used are of {there}. "
                + (
                    "Lower features.harmonics.order"
                    if isinstance(family, feature_families.Harmonics)
                    else f"Take {family.name} out of features.families"
                )
                + ", raise imagery.max_cloud_cover, or leave the patch out"
            )


def _valid_shares(
    raw_bands: AcquisitionStack, cloud_masks: CloudMasks, inside: AreaMask | None
) -> tuple[NDArray[np.float64], str]:
    """Return (time,), the share that is valid of what the area covers of a patch and any
    acquisition of the season has data of; and what that is. An area that does not touch the patch
    does not count."""
    of_all = inside is None or inside.covers_all or not inside.count()
    of_season = raw_bands.acquisitions[raw_bands.of_season]
    if of_all and any(one.get("data_fraction") == 1 for one in of_season):
        return cloud_masks.valid_fraction, "the patch"
    valid, pixels = np.zeros(len(raw_bands), np.int64), 0
    for window in windows(raw_bands.geobox.shape, _COUNTED):
        shown = raw_bands.data_mask(window, raw_bands.of_season).any(axis=0)
        if not of_all:
            assert inside is not None
            shown &= inside.read(window)
        pixels += int(shown.sum())
        valid += (cloud_masks.valid(window) & shown).sum(axis=(1, 2))
    return valid / max(pixels, 1), "what the area and the archive cover of the patch"


def recomputed(
    attributes: Mapping[str, Any],
    raw_bands: AcquisitionStack,
    cloud_masks: CloudMasks,
    *,
    threads: int = 0,
) -> LazyFeatures:
    """Return the features that have these attributes, computed when they are read.

    threads  that may be used, 0 for all

    Raises DataError where they were made of other imagery or masks than there are now.
    """
    cloud_masks.check_made_of(raw_bands)
    keys = raw_bands.keys
    now = versions(raw_bands, cloud_masks)
    other = [name for name, version in attributes["made_of"].items() if version != now[name]]
    also = attributes["also"]
    acquired = {name: stack.keys for name, stack in raw_bands.auxiliary.items()}
    gone = any(acquired.get(one["name"]) != one["acquisitions"] for one in also)
    if other or gone or not set(attributes["acquisitions"]) <= set(keys):
        raise DataError(
            f"{raw_bands.name}: features were made of other {' and '.join(other) or 'raw_bands'} "
            "than there are now. Materialize features of this patch again"
        )
    return LazyFeatures(
        raw_bands,
        cloud_masks,
        tuple(attributes["bands"]),
        tuple(Index(**index | {"bands": tuple(index["bands"])}) for index in attributes["indices"]),
        np.array(attributes["days"], np.int32),
        np.array([keys.index(key) for key in attributes["acquisitions"]], np.intp),
        tuple(AuxiliaryBands.of_description(one).of(raw_bands) for one in also),
        threads,
        feature_families.of_description(attributes.get("families", [{"family": Series.name}])),
    )


def build(
    raw_bands: AcquisitionStack, cloud_masks: CloudMasks, options: FeatureOptions
) -> LazyCube:
    """Return features as a cube to be stored.

    Where they are not to be stored, the cube has no layer: it says how its features are computed,
    and its summary has neither picture nor valid_fraction. Errors are those of ``on_the_fly``.
    """
    computed = on_the_fly(raw_bands, cloud_masks, options)
    stored = options.stored
    geobox, margin = raw_bands.geobox, computed.margin
    names, targets = computed.names, computed.targets

    def blocks(summary: Summary) -> Iterator[Block]:
        summary.facts |= {
            "acquisitions": len(raw_bands),
            "acquisitions_used": len(computed.used),
            **{f"acquisitions_{one.which.acquired}": len(one.times) for one in computed.auxiliary},
            "features": len(names) * len(targets) + len(computed.undated_names),
        }
        if not stored:
            return
        picture = Thumbnail(geobox.shape, 1)
        missing, unconverged = 0.0, 0
        lacking = np.zeros(len(computed.static))
        tiles = tracked(computed.grid.shape, options.window)
        for tile, observed in read_ahead(computed.observed, tiles):
            found = computed.computed(observed)
            here = shifted(tile, -margin)
            unconverged += found.unconverged
            inner = within(here, geobox.shape)
            missing += _missing(found, inner)
            lacking += [missing_pixels(one[:, *inner]) for one in observed.static]
            picture.update(here, _shown(found, computed)[None])
            if len(targets):
                yield Block(SERIES, (slice(None), slice(None)), tile, found.series)
            if len(found.undated):
                yield Block(UNDATED, (slice(None),), tile, found.undated)
        summary.picture = _picture(picture.values[0])
        summary.facts["valid_fraction"] = 1 - missing / float(np.prod(geobox.shape))
        if computed.static:
            shares = (100 * lacking / float(np.prod(geobox.shape))).round(2).tolist()
            layers = [one.options.name for one in computed.static]
            summary.facts["missing_percent"] = dict(zip(layers, shares, strict=True))
        if computed.converges:
            summary.facts["composites_not_converged"] = unconverged

    layers = {n: replace(layer, tile=options.window) for n, layer in computed.layers.items()}
    return LazyCube(
        computed.grids,
        layers if stored else {},
        blocks,
        computed.coordinates if stored else {},
        dict(computed.attributes),
    )


def _missing(found: Computed, here: Window) -> float:
    """Return how many pixels lack the first feature: of a series, the mean over its dates."""
    if len(found.series):
        first = found.series[:, 0][:, *here]
        return float(np.isnan(first).sum()) / len(found.series)
    return float(np.isnan(found.undated[0][here]).sum())


def _shown(found: Computed, of: LazyFeatures) -> NDArray[np.float32]:
    """Return what a picture shows: the last index, or the first band, in the middle of the
    dates; the first feature where there are none."""
    if not len(found.series):
        first: NDArray[np.float32] = found.undated[0]
        return first
    signal = len(of.main_names) - 1 if of.indices else 0
    middle: NDArray[np.float32] = found.series[len(found.series) // 2, signal]
    return middle


def _picture(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = values[~np.isnan(values)]
    low, high = (float(v) for v in np.quantile(known, [0.02, 0.98])) if known.size else (0.0, 1.0)
    return np.repeat(stretched(values, low, max(high, low + 1e-6))[..., None], 3, axis=-1)
