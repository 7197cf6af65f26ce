"""Features as a cube whose windows are computed when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import MAIN, Layer, Window, selected, shifted, whole, wider
from lc_platform.eo import indices as spectral
from lc_platform.eo.indices import Index
from lc_platform.eo.radiometry import calibrate
from lc_platform.errors import DataError
from lc_platform.products.auxiliary_features import AuxiliaryFeatures
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_families import (
    Families,
    Observations,
    Series,
    Texture,
    chosen,
    compute_undated,
    described,
    names_without_date,
    series_of,
    texture_of,
    undated_names,
)
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.products.static_layers import StaticFeatures
from lc_platform.runtime.threads import parallel_for

SERIES, UNDATED = "features", "undated"
"""The layers of features on dates, and of those without a date. Whatever has no date, also what is
no season's, goes to the second."""
NDVI = spectral.KNOWN["NDVI"]
_ROWS = 8
"""Rows that a thread computes at a time: its observations stay in the cache."""


class Observed(NamedTuple):
    """What the features of a window are computed from. All but what has no season reaches beyond
    the window by the margin of its texture."""

    numbers: NDArray[Any]
    """(time, band, y, x), digital numbers of the main collection."""
    valid: NDArray[np.bool_]
    """(time, y, x), where they show the ground."""
    auxiliary: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]]
    """The same of each auxiliary collection, with its own times."""
    weights: NDArray[np.float32] | None
    """(time, y, x), 0 to 1, of the main collection's observations; None where all weigh the
    same."""
    static: Sequence[NDArray[np.float32]] = ()
    """(feature, y, x) of each raster that has no season, NaN where missing."""

    def without(self, margin: int) -> Observed:
        """Return it without so many pixels on each side."""
        if not margin:
            return self
        rows, columns = (slice(margin, length - margin) for length in self.valid.shape[1:])
        return self._replace(
            numbers=self.numbers[..., rows, columns],
            valid=self.valid[:, rows, columns],
            auxiliary=[
                (numbers[..., rows, columns], valid[:, rows, columns])
                for numbers, valid in self.auxiliary
            ],
            weights=None if self.weights is None else self.weights[:, rows, columns],
        )


class Computed(NamedTuple):
    """The features of a window."""

    series: NDArray[np.float32]
    """(date, feature, y, x), NaN where missing; no date where there is no series."""
    undated: NDArray[np.float32]
    """(feature, y, x), likewise, of the families without dates."""
    unconverged: int
    """Composites that did not converge."""

    @property
    def whole(self) -> NDArray[np.float32]:
        """(feature, y, x), all of them in the order of their names."""
        flat = self.series.reshape(-1, *self.undated.shape[1:])
        return np.concatenate([flat, self.undated]) if len(self.undated) else flat


@dataclass(frozen=True)
class LazyFeatures:
    """A cube of features whose windows are computed when they are read."""

    raw_bands: AcquisitionStack
    cloud_masks: CloudMasks
    bands: tuple[str, ...]
    indices: tuple[Index, ...]
    targets: NDArray[np.int32]
    """(date,), days since the season's first."""
    used: NDArray[np.intp]
    """(time,), which of the acquisitions."""
    auxiliary: tuple[AuxiliaryFeatures, ...] = ()
    """Of other collections; all of their acquisitions are used."""
    threads: int = 0
    families: Families = (Series(),)
    static: tuple[StaticFeatures, ...] = ()
    """Of rasters that have no season."""

    @property
    def grids(self) -> Mapping[str, GeoBox]:
        return {MAIN: self.grid}

    @cached_property
    def grid(self) -> GeoBox:
        """The patch's grid and the features' margin around it."""
        return self.raw_bands.geobox.pad(self.margin) if self.margin else self.raw_bands.geobox

    @cached_property
    def margin(self) -> int:
        """Pixels beyond the patch that there are features of: where their texture is whole. Raises
        DataError where the imagery does not reach as far."""
        margin = self.raw_bands.map_margin - self._reach
        if margin < 0:
            raise DataError(
                f"{self.raw_bands.name}: texture (features.texture) is made from a margin around "
                f"the patch, {self._reach} px wide, and that of raw_bands is "
                f"{self.raw_bands.map_margin} px. Materialize raw_bands, cloud_masks and features "
                "of this patch again"
            )
        return margin

    @property
    def main_names(self) -> tuple[str, ...]:
        """The names of the main collection's bands and indices, in order."""
        return (*self.bands, *(index.name for index in self.indices))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the main collection's signals, then those of the auxiliary ones."""
        return (*self.main_names, *(name for one in self.auxiliary for name in one.which.features))

    @cached_property
    def _signals(self) -> tuple[tuple[str, ...], ...]:
        """Those of each collection."""
        return (self.main_names, *(one.which.features for one in self.auxiliary))

    @cached_property
    def undated_names(self) -> tuple[str, ...]:
        """The names of the features without a date: of the season, and then layer by layer."""
        of_season = names_without_date(self.families, self._signals)
        return (*of_season, *(n for one in self.static for n in one.features))

    @cached_property
    def _series(self) -> Series | None:
        return series_of(self.families)

    @cached_property
    def _texture(self) -> Texture | None:
        return texture_of(self.families)

    @property
    def _reach(self) -> int:
        """Pixels beyond a window that its texture is made from."""
        return 0 if self._texture is None else self._texture.margin

    @property
    def converges(self) -> bool:
        """Whether there are composites that are found step by step."""
        return self._series is not None and self._series.method == "geometric_median"

    @property
    def layers(self) -> Mapping[str, Layer]:
        dates, names, undated = len(self.targets), len(self.names), len(self.undated_names)
        found = {}
        if dates:
            found[SERIES] = Layer(
                ("date", "feature"),
                "float32",
                fill=float("nan"),
                chunks=(dates, names),
                compressed=(1, names),
            )
        if undated:
            found[UNDATED] = Layer(
                ("undated_feature",),
                "float32",
                fill=float("nan"),
                chunks=(undated,),
                compressed=(undated,),
            )
        return found

    @property
    def coordinates(self) -> Mapping[str, NDArray[Any]]:
        start = np.datetime64(self.raw_bands.season.first(self.raw_bands.year), "D")
        found = {}
        if len(self.targets):
            found["date"] = start + self.targets.astype("timedelta64[D]")
            found["feature"] = np.array(self.names)
        if self.undated_names:
            found["undated_feature"] = np.array(self.undated_names)
        return found

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        keys = self.raw_bands.keys
        return {
            "patch": self.raw_bands.patch,
            "year": self.raw_bands.year,
            **self.raw_bands.about_season,
            "days": self.targets.tolist(),
            "features": list(self.names) if len(self.targets) else [],
            "bands": list(self.bands),
            "indices": [asdict(index) for index in self.indices],
            "acquisitions": [keys[i] for i in self.used],
            "also": [one.described for one in self.auxiliary],
            **self._about_undated,
            "made_of": versions(self.raw_bands, self.cloud_masks),
            **({"margin": self.margin} if self.margin else {}),
        }

    @property
    def _about_undated(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if self.families != (Series(),):
            told["families"] = described(self.families)
        if self.static:
            told["layers"] = [one.described for one in self.static]
        return told | {UNDATED: list(self.undated_names)} if told else told

    def read(
        self, layer: str, window: Window | None = None, **select: int | slice | Sequence[int]
    ) -> NDArray[np.float32]:
        """Return (date, feature, y, x), of the layer ``undated`` (undated_feature, y, x), or what
        ``select`` leaves of it."""
        if layer not in self.layers:
            raise KeyError(layer)
        here = whole(self.grid) if window is None else window
        found = self.computed(self.observed(here))
        values = found.series if layer == SERIES else found.undated
        return selected(values, self.layers[layer].dims, select)

    @cached_property
    def _needed(self) -> tuple[str, ...]:
        series = self._series
        by = (NDVI,) if series is not None and series.method == "maximum_ndvi" else ()
        return spectral.required_bands([*self.indices, *by], self.bands)

    def observed(self, window: Window) -> Observed:
        """Return what the features of a window of the cube are computed of."""
        grid, times = self.grid[window], self.used.tolist()
        window = wider(shifted(window, -self.margin), self._reach)
        weights = None
        if self._series is not None and self._series.weighs:
            weights = 1 - np.nan_to_num(self.cloud_masks.probability(window, times), nan=0.0)
        return Observed(
            self.raw_bands.digital_numbers(window, times, self._needed),
            self.cloud_masks.valid(window, times),
            [one.observed(window) for one in self.auxiliary],
            weights,
            [one.read(grid) for one in self.static],
        )

    def computed(self, seen: Observed) -> Computed:
        """Return the features of what was ``observed``."""
        around, seen = seen, seen.without(self._reach)
        height, width = seen.valid.shape[1:]
        dates = len(self.targets)
        series = np.empty((dates, len(self.names), height, width), np.float32)
        undated = np.empty((len(self.undated_names), height, width), np.float32)
        calibration = self.raw_bands.calibration(self._needed, self.used.tolist())
        unconverged: list[int] = []

        def rows(part: slice) -> None:
            reflectance = calibrate(seen.numbers[:, :, part], *calibration)
            named = {band: reflectance[:, i] for i, band in enumerate(self._needed)}
            main = Observations(
                self._main_signals(reflectance, named),
                seen.valid[:, part],
                self.raw_bands.days[self.used],
                None if seen.weights is None else seen.weights[:, part],
            )
            several = [main]
            for one, (numbers, valid) in zip(self.auxiliary, seen.auxiliary, strict=True):
                several.append(one.observations(numbers[:, :, part], valid[:, part]))
            of_dates, rest = series[:, :, part], undated[:, part]
            for i, (own, signals) in enumerate(zip(several, self._signals, strict=True)):
                out, of_dates = np.split(of_dates, [len(signals)], axis=1)
                season = self._of_season(own.days)
                if self._series is not None and i == 0 and self._series.jointly:
                    unconverged.append(self._composed(main, reflectance, named, out))
                elif self._series is not None:
                    unconverged.append(
                        self._series.compute(own, signals, self.targets, self._end, out)
                    )
                if len(own.days[season]) < len(own.days):
                    # What was seen before and after the season alone says nothing of it.
                    seen_then = own.valid[season][:, None] & ~np.isnan(own.values[season])
                    out[:, ~seen_then.any(axis=0)] = np.nan
                count = len(undated_names(self.families, signals))
                if count:
                    compute_undated(self.families, own.during(season), signals, rest[:count])
                    rest = rest[count:]

        parallel_for(rows, height, _ROWS, self.threads)
        of_pixels = sum(len(undated_names(self.families, one)) for one in self._signals)
        static = np.concatenate(seen.static) if seen.static else undated[:0]
        _, textures, out = np.split(undated, [of_pixels, len(undated) - len(static)])
        if self._texture is not None:
            self._textured(self._texture, around, textures)
        if len(static):
            np.copyto(out, static)
            out[:, _unseen(series, undated[: -len(static)])] = np.nan
        return Computed(series, undated, sum(unconverged))

    def _textured(self, texture: Texture, seen: Observed, out: NDArray[np.float32]) -> None:
        """Write the texture of each collection's signals to ``out`` (feature, y, x)."""
        for i, signals in enumerate(self._signals):
            which = chosen(texture, signals)
            if not which:
                continue
            medians = np.empty((len(which), *seen.valid.shape[1:]), np.float32)

            def rows(
                part: slice, i: int = i, which: Sequence[int] = which, to: Any = medians
            ) -> None:
                own = self._some_signals(i, seen, part, which)
                to[:, part] = texture.composite(own.during(self._of_season(own.days)))

            parallel_for(rows, medians.shape[1], _ROWS, self.threads)
            found = texture.compute(medians, [signals[at] for at in which], self.threads)
            here, out = np.split(out, [len(which) * len(texture.features)])
            here[:] = np.swapaxes(found, 0, 1).reshape(here.shape)

    def _some_signals(
        self, collection: int, seen: Observed, part: slice, which: Sequence[int]
    ) -> Observations:
        """Return a collection's observations of some rows and signals, by their positions; the
        main one's position is 0."""
        if collection:
            numbers, valid = seen.auxiliary[collection - 1]
            one = self.auxiliary[collection - 1]
            return one.observations(numbers[:, :, part], valid[:, part]).of(which)
        count = len(self.bands)
        bands = tuple(self.bands[at] for at in which if at < count)
        indices = tuple(self.indices[at - count] for at in which if at >= count)
        needed = spectral.required_bands(indices, bands)
        places = [self._needed.index(band) for band in needed]
        calibration = self.raw_bands.calibration(needed, self.used.tolist())
        reflectance = calibrate(seen.numbers[:, places, part], *calibration)
        named = {band: reflectance[:, i] for i, band in enumerate(needed)}
        values = _stacked(reflectance, named, bands, indices)
        return Observations(values, seen.valid[:, part], self.raw_bands.days[self.used])

    @property
    def _end(self) -> int:
        """The day after the season's last, which ends the last date's period."""
        return self.raw_bands.season.length(self.raw_bands.year)

    def _of_season(self, days: NDArray[np.int32]) -> slice:
        """Return which of the observations are of the season itself, by their days (time,)."""
        first, after = np.searchsorted(days, [0, self._end])
        return slice(int(first), int(after))

    def _main_signals(
        self, reflectance: NDArray[np.float32], named: Mapping[str, NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return (time, signal, y, x) of the main collection."""
        if not self.indices and self._needed == self.bands:
            return reflectance
        return _stacked(reflectance, named, self.bands, self.indices)

    def _composed(
        self,
        main: Observations,
        reflectance: NDArray[np.float32],
        named: Mapping[str, NDArray[np.float32]],
        out: NDArray[np.float32],
    ) -> int:
        """Write composites of all bands together, and the indices of these; see
        `Series.compute`."""
        assert self._series is not None
        by = spectral.compute(NDVI, named) if self._series.method == "maximum_ndvi" else None
        bands = np.empty((len(self.targets), *reflectance.shape[1:]), np.float32)
        failed = self._series.compute(
            main._replace(values=reflectance), self._needed, self.targets, self._end, bands, by
        )
        out[:] = self._main_signals(bands, {b: bands[:, i] for i, b in enumerate(self._needed)})
        return failed


def _stacked(
    reflectance: NDArray[np.float32],
    named: Mapping[str, NDArray[np.float32]],
    bands: Sequence[str],
    indices: Sequence[Index],
) -> NDArray[np.float32]:
    """Return bands, and then indices, (time, signal, y, x), of reflectance (time, band, y, x) and
    its bands by name."""
    shape = (len(reflectance), len(bands) + len(indices), *reflectance.shape[2:])
    signals = np.empty(shape, np.float32)
    for i, band in enumerate(bands):
        signals[:, i] = named[band]
    for i, index in enumerate(indices, len(bands)):
        signals[:, i] = spectral.compute(index, named)
    return signals


def _unseen(series: NDArray[np.float32], undated: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a pixel has no feature of its observations, (y, x): what it lies on, or what
    its height is, must not make a class of it."""
    unseen = np.ones(undated.shape[1:], np.bool_)
    for plane in (*series.reshape(-1, *unseen.shape), *undated):
        unseen &= np.isnan(plane)
        if not unseen.any():
            break
    return unseen


def versions(raw_bands: AcquisitionStack, cloud_masks: CloudMasks) -> dict[str, str | None]:
    """Return what is told of the imagery and the masks that features are made of."""
    return {
        "raw_bands": raw_bands.cube.attributes.get("content_id"),
        "cloud_masks": cloud_masks.cube.attributes.get("content_id"),
    }
