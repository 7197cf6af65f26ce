"""A regular feature stack from a year of irregular, cloudy observations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.area.mask import AreaMask
from lc_platform.cube import (
    MAIN,
    Block,
    Layer,
    LazyCube,
    Summary,
    Thumbnail,
    Window,
    selected,
    shifted,
    stretched,
    tracked,
    whole,
    windows,
    within,
)
from lc_platform.eo import indices as spectral
from lc_platform.eo.indices import Index
from lc_platform.eo.radiometry import calibrate
from lc_platform.eo.timeseries import regularize, target_days
from lc_platform.errors import DataError
from lc_platform.products.auxiliary_features import AuxiliaryBands, AuxiliaryFeatures
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.handle import PatchYearHandle
from lc_platform.products.options import FeatureOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.runtime.overlap import read_ahead
from lc_platform.runtime.threads import parallel_for

_ROWS = 8
"""Rows that a thread computes at a time: its observations stay in the cache."""
_COUNTED = 512
"""Pixels along the side of what is counted at a time."""


@dataclass(frozen=True)
class FeatureStack(PatchYearHandle):
    """Bands and indices on regular dates."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of every feature, in order: ``NDVI_017`` is NDVI on the 17th day of the year."""
        days = [int(day) + 1 for day in self.cube.attributes["days"]]
        return tuple(
            f"{feature}_{day:03d}" for day in days for feature in self.cube.attributes["features"]
        )

    def read(self, window: Window | None = None) -> NDArray[np.float32]:
        """Return (feature, y, x) in the order of ``names``, NaN where missing."""
        values = self.cube.read("features", self._stored(window))
        return values.reshape(-1, *values.shape[2:])


class Observed(NamedTuple):
    """The observations that the features of a window are computed from."""

    numbers: NDArray[np.uint16]
    """(time, band, y, x), digital numbers of the main collection."""
    valid: NDArray[np.bool_]
    """(time, y, x), where they show the ground."""
    auxiliary: Sequence[tuple[NDArray[np.uint16], NDArray[np.bool_]]]
    """The same of each auxiliary collection, with its own times."""


@dataclass(frozen=True)
class LazyFeatures:
    """A cube of features whose windows are computed when they are read."""

    raw_bands: AcquisitionStack
    cloud_masks: CloudMasks
    bands: tuple[str, ...]
    indices: tuple[Index, ...]
    targets: NDArray[np.int32]
    """(date,), days since 1 January."""
    used: NDArray[np.intp]
    """(time,), which of the acquisitions."""
    auxiliary: tuple[AuxiliaryFeatures, ...] = ()
    """Of other collections; all of their acquisitions are used."""
    threads: int = 0

    @property
    def grids(self) -> Mapping[str, GeoBox]:
        return {MAIN: self.raw_bands.map_grid}

    @property
    def main_names(self) -> tuple[str, ...]:
        """The names of the main collection's bands and indices, in order."""
        return (*self.bands, *(index.name for index in self.indices))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the main collection's features, then those of the auxiliary ones."""
        return (*self.main_names, *(name for one in self.auxiliary for name in one.which.features))

    @property
    def layers(self) -> Mapping[str, Layer]:
        dates, names = len(self.targets), len(self.names)
        return {
            "features": Layer(
                ("date", "feature"),
                "float32",
                fill=float("nan"),
                chunks=(dates, names),
                compressed=(1, names),
            )
        }

    @property
    def coordinates(self) -> Mapping[str, NDArray[Any]]:
        start = np.datetime64(f"{self.raw_bands.year}-01-01", "D")
        dates = start + self.targets.astype("timedelta64[D]")
        return {"date": dates, "feature": np.array(self.names)}

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        keys = self.raw_bands.keys
        return {
            "patch": self.raw_bands.patch,
            "year": self.raw_bands.year,
            "days": self.targets.tolist(),
            "features": list(self.names),
            "bands": list(self.bands),
            "indices": [asdict(index) for index in self.indices],
            "acquisitions": [keys[i] for i in self.used],
            "also": [one.described for one in self.auxiliary],
            "made_of": _versions(self.raw_bands, self.cloud_masks),
            **({"margin": margin} if (margin := self.raw_bands.map_margin) else {}),
        }

    def read(
        self, layer: str, window: Window | None = None, **select: int | slice | Sequence[int]
    ) -> NDArray[np.float32]:
        """Return (date, feature, y, x), or what ``select`` leaves of it."""
        if layer != "features":
            raise KeyError(layer)
        here = whole(self.raw_bands.map_grid) if window is None else window
        return selected(self.computed(self.observed(here)), self.layers[layer].dims, select)

    @cached_property
    def _needed(self) -> tuple[str, ...]:
        return spectral.required_bands(self.indices, self.bands)

    def observed(self, window: Window) -> Observed:
        """Return what the features of a window of the cube are computed of."""
        window, times = shifted(window, -self.raw_bands.map_margin), self.used.tolist()
        return Observed(
            self.raw_bands.digital_numbers(window, times, self._needed),
            self.cloud_masks.valid(window, times),
            [one.observed(window) for one in self.auxiliary],
        )

    def computed(self, seen: Observed) -> NDArray[np.float32]:
        """Return (date, feature, y, x) of what was ``observed``, NaN where missing."""
        numbers, valid, auxiliary = seen
        names, height, width = self.main_names, *valid.shape[1:]
        days = self.raw_bands.days[self.used]
        scale, offset = self.raw_bands.calibration(self._needed, self.used.tolist())
        regular = np.empty((len(self.targets), len(self.names), height, width), np.float32)

        def rows(part: slice) -> None:
            reflectance = calibrate(numbers[:, :, part], scale, offset)
            named = {band: reflectance[:, i] for i, band in enumerate(self._needed)}
            observed = reflectance
            if self.indices or self._needed != self.bands:
                observed = np.empty((len(days), len(names), *reflectance.shape[2:]), np.float32)
                for i, band in enumerate(self.bands):
                    observed[:, i] = named[band]
                for i, index in enumerate(self.indices, len(self.bands)):
                    observed[:, i] = spectral.compute(index, named)
            out, rest = np.split(regular[:, :, part], [len(names)], axis=1)
            regularize(observed, valid[:, part], days, self.targets, threads=1, out=out)
            for one, (its_numbers, its_valid) in zip(self.auxiliary, auxiliary, strict=True):
                out, rest = np.split(rest, [len(one.which.bands)], axis=1)
                one.regular(its_numbers[:, :, part], its_valid[:, part], self.targets, out)

        parallel_for(rows, height, _ROWS, self.threads)
        return regular


def on_the_fly(
    raw_bands: AcquisitionStack,
    cloud_masks: CloudMasks,
    options: FeatureOptions,
) -> LazyFeatures:
    """Return bands (reflectance) and indices, interpolated linearly to regular dates.

    The layer ``features`` is (date, feature, y, x), float32; NaN outside a pixel's first and last
    valid observation in the feature's collection. Raises DataError where no acquisition of the
    main collection is left, where raw_bands lacks an auxiliary one, or where the masks are not
    those of these acquisitions.
    """
    cloud_masks.check_made_of(raw_bands)
    inside = options.area.on(raw_bands.geobox) if options.area is not None else None
    shares, of = _valid_shares(raw_bands, cloud_masks, inside)
    enough = shares >= options.min_valid_fraction
    used = np.flatnonzero(enough & ((shares > 0) | cloud_masks.valid_in_margin))
    if not (enough & (shares > 0)).any():
        best = int(np.argmax(shares))
        clearest = raw_bands.acquisitions[best]["key"]
        if not shares[best] > 0:
            raise DataError(
                f"{raw_bands.name}: none of {len(raw_bands)} acquisitions has a valid pixel of "
                f"{of}: all of it is masked or without data in each. Raise "
                "imagery.max_cloud_cover, look at cloud_masks, or leave the patch out"
            )
        raise DataError(
            f"{raw_bands.name}: none of {len(raw_bands)} acquisitions shows at least "
            f"{options.min_valid_fraction:.0%} of {of} (the best, {clearest}, {shares[best]:.0%}). "
            "Lower features.min_valid_fraction, raise imagery.max_cloud_cover, or leave the patch "
            "out"
        )
    return LazyFeatures(
        raw_bands,
        cloud_masks,
        tuple(options.bands),
        tuple(options.indices),
        target_days(raw_bands.year, options.interval),
        used,
        tuple(one.of(raw_bands) for one in options.auxiliary),
        options.threads,
    )


def _valid_shares(
    raw_bands: AcquisitionStack, cloud_masks: CloudMasks, inside: AreaMask | None
) -> tuple[NDArray[np.float64], str]:
    """Return (time,), the share that is valid of what the area covers of a patch and any
    acquisition has data of; and what that is. An area that does not touch the patch does not
    count."""
    of_all = inside is None or inside.covers_all or not inside.count()
    if of_all and any(one.get("data_fraction") == 1 for one in raw_bands.acquisitions):
        return cloud_masks.valid_fraction, "the patch"
    valid, pixels = np.zeros(len(raw_bands), np.int64), 0
    for window in windows(raw_bands.geobox.shape, _COUNTED):
        shown = raw_bands.data_mask(window).any(axis=0)
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
    versions = _versions(raw_bands, cloud_masks)
    other = [name for name, version in attributes["made_of"].items() if version != versions[name]]
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
        tuple(_bands(one).of(raw_bands) for one in also),
        threads,
    )


def _bands(about: Mapping[str, Any]) -> AuxiliaryBands:
    bands = tuple(about["bands"])
    return AuxiliaryBands(about["name"], bands, about["quantity"], about["quality_band"])


def _versions(raw_bands: AcquisitionStack, cloud_masks: CloudMasks) -> dict[str, str | None]:
    return {
        "raw_bands": raw_bands.cube.attributes.get("content_id"),
        "cloud_masks": cloud_masks.cube.attributes.get("content_id"),
    }


def build(
    raw_bands: AcquisitionStack, cloud_masks: CloudMasks, options: FeatureOptions
) -> LazyCube:
    """Return features as a cube to be stored.

    Where they are not to be stored, the cube has no layer: it says how its features are computed,
    and its summary has neither picture nor valid_fraction. Errors are those of ``on_the_fly``.
    """
    computed = on_the_fly(raw_bands, cloud_masks, options)
    stored = options.stored
    geobox, margin = raw_bands.geobox, raw_bands.map_margin
    names, targets = computed.names, computed.targets

    def blocks(summary: Summary) -> Iterator[Block]:
        summary.facts |= {
            "acquisitions": len(raw_bands),
            "acquisitions_used": len(computed.used),
            **{f"acquisitions_{one.which.name}": len(one.stack) for one in computed.auxiliary},
            "features": len(names) * len(targets),
        }
        if not stored:
            return
        picture = Thumbnail(geobox.shape, 1)
        missing = 0.0
        shown = len(computed.main_names) - 1 if computed.indices else 0
        tiles = tracked(raw_bands.map_grid.shape, options.window)
        for tile, observed in read_ahead(computed.observed, tiles):
            regular = computed.computed(observed)
            here = shifted(tile, -margin)
            first = regular[:, 0][:, *within(here, geobox.shape)]
            missing += float(np.isnan(first).sum()) / len(targets)
            picture.update(here, regular[len(targets) // 2, shown][None])
            yield Block("features", (slice(None), slice(None)), tile, regular)
        summary.picture = _picture(picture.values[0])
        summary.facts["valid_fraction"] = 1 - missing / float(np.prod(geobox.shape))

    layers = {n: replace(layer, tile=options.window) for n, layer in computed.layers.items()}
    return LazyCube(
        computed.grids,
        layers if stored else {},
        blocks,
        computed.coordinates if stored else {},
        dict(computed.attributes),
    )


def _picture(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = values[~np.isnan(values)]
    low, high = (float(v) for v in np.quantile(known, [0.02, 0.98])) if known.size else (0.0, 1.0)
    return np.repeat(stretched(values, low, max(high, low + 1e-6))[..., None], 3, axis=-1)
