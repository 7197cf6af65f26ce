"""Families of features: what is made of a pixel's year of observations.

A family is an option: a frozen object that says what it is made with, names its features, and
computes them with a kernel of `eo`. A new one is a class here, a section in `config.features` and
a line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.season import Season


class Observations(NamedTuple):
    """A collection's observations of some pixels."""

    values: NDArray[np.float32]
    """(time, signal, y, x); a signal is a band or an index. A NaN is no observation."""
    valid: NDArray[np.bool_]
    """(time, y, x), where they show the ground."""
    days: NDArray[np.int32]
    """(time,), days since the season's first."""
    weights: NDArray[np.float32] | None = None
    """(time, y, x), 0 to 1; None where all weigh the same."""

    def of(self, signals: Sequence[int]) -> Observations:
        """Return those of some of the signals."""
        return self._replace(values=self.values[:, list(signals)])

    def during(self, times: slice) -> Observations:
        """Return those of some of the times."""
        weights = None if self.weights is None else self.weights[times]
        return Observations(self.values[times], self.valid[times], self.days[times], weights)


class Family(Protocol):
    """Features without a date, of a pixel's single bands and indices."""

    name: ClassVar[str]
    """In the configuration."""

    @property
    def of(self) -> tuple[str, ...]:
        """The bands and indices that they are made of; all where there are none."""
        ...

    @property
    def features(self) -> tuple[str, ...]:
        """What is made of a band or an index, named after it: ``NDVI_p50`` is ``p50`` of NDVI."""
        ...

    @property
    def needs(self) -> int:
        """How many observations there must be for a pixel to have any of them."""
        ...

    def compute(self, seen: Observations) -> NDArray[np.float32]:
        """Return (feature, signal, y, x), NaN where missing."""
        ...


Method = Literal[
    "linear", "akima", "whittaker", "median", "maximum_ndvi", "medoid", "geometric_median"
]


@dataclass(frozen=True)
class Series:
    """Bands and indices on dates, interpolated, smoothed, or as composites of the days from a date
    until the next."""

    name: ClassVar[str] = "series"
    method: Method = "linear"
    dates: tuple[str, ...] = ()
    """``MM-DD``; one every interval from the season's first where there are none."""
    smoothing: float = 100.0
    """Whittaker's lambda, of the day's second differences."""
    envelope: tuple[str, ...] = ()
    """Bands and indices that Whittaker's curve follows towards their upper envelope."""
    weights: Literal["equal", "cloud_probability"] = "equal"
    """What an observation weighs for Whittaker's."""

    @property
    def jointly(self) -> bool:
        """Whether all bands of a date are of one composite, of which indices are made."""
        return self.method in ("maximum_ndvi", "medoid", "geometric_median")

    @property
    def weighs(self) -> bool:
        """Whether observations weigh what their cloud probability says."""
        return self.method == "whittaker" and self.weights == "cloud_probability"

    def targets(self, season: Season, year: int, interval: int) -> NDArray[np.int32]:
        """Return (date,), days since the first of a year's season, which has all the dates."""
        from lc_platform.eo.timeseries import target_days

        if not self.dates:
            return target_days(year, interval, season)
        start = np.datetime64(season.first(year), "D")
        days = np.array([season.date_in(year, one) for one in self.dates], "datetime64[D]") - start
        return days.astype(np.int32)

    def compute(
        self,
        seen: Observations,
        signals: Sequence[str],
        targets: NDArray[np.int32],
        end: int,
        out: NDArray[np.float32],
        by: NDArray[np.float32] | None = None,
    ) -> int:
        """Write the signals on the dates to ``out`` (date, signal, y, x), and return how many
        geometric medians did not converge.

        targets  (date,), days since the season's first
        end      the day after the last date's period, likewise
        by       (time, y, x), whose highest takes all where the method is ``maximum_ndvi``; of a
                 collection without, the median is taken
        """
        from lc_platform.eo import akima, composites, timeseries, whittaker

        values, valid, days, weights = seen
        if not len(days):
            out[:] = np.nan
            return 0
        if self.method == "linear":
            timeseries.regularize(values, valid, days, targets, threads=1, out=out)
        elif self.method == "akima":
            out[:] = akima.interpolate(values, valid, days, targets, threads=1)
        elif self.method == "whittaker":
            out[:] = whittaker.smooth(
                values,
                valid,
                days,
                targets,
                self.smoothing,
                weights=weights if self.weighs else None,
                envelope=np.isin(list(signals), list(self.envelope)),
                threads=1,
            )
        else:
            method: composites.Composite = "median"
            if self.method == "maximum_ndvi" and by is not None:
                method = "maximum"
            elif self.method in ("medoid", "geometric_median"):
                method = self.method
            edges = np.append(targets, np.int32(end)).astype(np.int32)
            out[:], failed = composites.compose(
                values, valid, days, edges, method, by=by, threads=1
            )
            return failed
        return 0


@dataclass(frozen=True)
class Statistics:
    """Statistics of the season's observations."""

    name: ClassVar[str] = "statistics"
    of: tuple[str, ...] = ()
    percentiles: tuple[float, ...] = (10.0, 25.0, 50.0, 75.0, 90.0)
    measures: tuple[str, ...] = ("mean", "std", "amplitude", "day_of_maximum")

    @property
    def features(self) -> tuple[str, ...]:
        return (*(f"p{one:g}" for one in self.percentiles), *self.measures)

    @property
    def needs(self) -> int:
        return 1

    def compute(self, seen: Observations) -> NDArray[np.float32]:
        from lc_platform.eo import season_statistics

        found = season_statistics.compute(
            seen.values, seen.valid, seen.days, self.percentiles, threads=1
        )
        first = len(self.percentiles)
        every = season_statistics.MEASURES
        return found[[*range(first), *(first + every.index(one) for one in self.measures)]]


@dataclass(frozen=True)
class Harmonics:
    """A Fourier series of the year: its offset, and a cosine and a sine of each harmonic."""

    name: ClassVar[str] = "harmonics"
    of: tuple[str, ...] = ()
    order: int = 2
    robust: bool = True

    @property
    def features(self) -> tuple[str, ...]:
        waves = [f"{wave}{i}" for i in range(1, self.order + 1) for wave in ("cos", "sin")]
        return ("offset", *waves)

    @property
    def needs(self) -> int:
        return len(self.features)

    def compute(self, seen: Observations) -> NDArray[np.float32]:
        from lc_platform.eo import harmonics

        return harmonics.fit(
            seen.values, seen.valid, seen.days, self.order, robust=self.robust, threads=1
        )


@dataclass(frozen=True)
class Phenology:
    """When seasons begin, culminate and end, and how fast."""

    name: ClassVar[str] = "phenology"
    of: tuple[str, ...] = ("NDVI",)
    seasons: int = 1
    curve: Literal["smoothed", "double_logistic"] = "smoothed"
    threshold: float = 0.2
    smoothing: float = 1000.0

    @property
    def features(self) -> tuple[str, ...]:
        one = ("start", "peak", "end", "length", "integral", "rise", "fall")
        return (*one, *(f"{name}_second" for name in one[: len(one) * (self.seasons - 1)]))

    @property
    def needs(self) -> int:
        return 6 if self.curve == "double_logistic" else 3

    def compute(self, seen: Observations) -> NDArray[np.float32]:
        from lc_platform.eo import phenology

        return phenology.measure(
            seen.values,
            seen.valid,
            seen.days,
            seasons=self.seasons,
            threshold=self.threshold,
            smoothing=self.smoothing,
            curve=self.curve,
            threads=1,
        )


@dataclass(frozen=True)
class Texture:
    """How grey levels around a pixel lie beside one another, of the season's median."""

    name: ClassVar[str] = "texture"
    of: tuple[str, ...] = ("NDVI",)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Between which the levels are, by the band or the index."""
    window: int = 5
    """Pixels along its side."""
    levels: int = 32
    measures: tuple[str, ...] = ("contrast", "homogeneity", "entropy")

    @property
    def features(self) -> tuple[str, ...]:
        """What is made of a band or an index, named after it."""
        return self.measures

    @property
    def margin(self) -> int:
        """Pixels beyond an area that its texture depends on."""
        from lc_platform.eo import texture

        return texture.margin(self.window)

    def composite(self, seen: Observations) -> NDArray[np.float32]:
        """Return the medians of the observations, (signal, y, x), NaN where there are none."""
        from lc_platform.eo import composites

        if not len(seen.days):
            return np.full(seen.values.shape[1:], np.nan, np.float32)
        edges = np.array([seen.days[0], seen.days[-1] + 1], np.int32)
        found, _ = composites.compose(
            seen.values, seen.valid, seen.days, edges, "median", threads=1
        )
        medians: NDArray[np.float32] = found[0]
        return medians

    def compute(
        self, composite: NDArray[np.float32], signals: Sequence[str], threads: int
    ) -> NDArray[np.float32]:
        """Return (feature, signal, y, x), NaN where missing, of a `composite` of the signals that
        reaches ``margin`` pixels further on each side."""
        from lc_platform.eo import texture

        grey = np.empty(composite.shape, np.int16)
        for i, name in enumerate(signals):
            low, high = self.limits.get(name, TEXTURE_LIMITS)
            grey[i] = texture.grey_levels(composite[i], low, high, self.levels)
        found = texture.measure(grey, self.levels, self.window, threads=threads)
        picked: NDArray[np.float32] = found[[texture.MEASURES.index(one) for one in self.measures]]
        return picked


TEXTURE_LIMITS = (0.0, 1.0)
"""Of bands and indices of which none are given."""
FAMILIES: Mapping[str, type[Any]] = {
    one.name: one for one in (Series, Statistics, Harmonics, Phenology, Texture)
}
"""By name, in the order of their features."""
Families = tuple[Series | Texture | Family, ...]


def described(families: Families) -> list[dict[str, Any]]:
    """Return families as JSON has them."""
    return [{"family": one.name, **_plain(asdict(cast(Any, one)))} for one in families]


def of_description(families: Sequence[Mapping[str, Any]]) -> Families:
    """Return the families that were `described`."""
    found = []
    for one in families:
        kind = FAMILIES[one["family"]]
        given = {of.name: one[of.name] for of in fields(kind) if of.name in one}
        found.append(kind(**_frozen(given)))
    return tuple(found)


def series_of(families: Families) -> Series | None:
    """Return the family of the series, None where there is none."""
    return next((one for one in families if isinstance(one, Series)), None)


def texture_of(families: Families) -> Texture | None:
    """Return the family of texture, None where there is none."""
    return next((one for one in families if isinstance(one, Texture)), None)


def undated_of(families: Families) -> tuple[Family, ...]:
    """Return the families whose features have no date and are of the pixel alone."""
    return tuple(one for one in families if not isinstance(one, Series | Texture))


def chosen(family: Family | Texture, signals: Sequence[str]) -> list[int]:
    """Return which signals, by their positions, a family is made of."""
    return [i for i, name in enumerate(signals) if not family.of or name in family.of]


def undated_names(families: Families, signals: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features without a date of a collection's signals, but for texture,
    in order."""
    return tuple(one for family in undated_of(families) for one in _names(family, signals))


def names_without_date(families: Families, collections: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the names of the features without a date of the signals of collections, in order:
    those of the pixel alone, collection by collection, then their texture."""
    texture = texture_of(families)
    return (
        *(name for signals in collections for name in undated_names(families, signals)),
        *(name for of in collections if texture is not None for name in _names(texture, of)),
    )


def _names(family: Family | Texture, signals: Sequence[str]) -> Iterator[str]:
    for i in chosen(family, signals):
        for feature in family.features:
            yield f"{signals[i]}_{feature}"


def compute_undated(
    families: Families, seen: Observations, signals: Sequence[str], out: NDArray[np.float32]
) -> None:
    """Write features without a date to ``out`` (feature, y, x), in the order of
    `undated_names`."""
    at = 0
    for family in undated_of(families):
        picked = chosen(family, signals)
        count = len(picked) * len(family.features)
        if not count:
            continue
        part = out[at : at + count]
        at += count
        if not len(seen.days):
            part[:] = np.nan
            continue
        found = family.compute(seen.of(picked))
        part[:] = np.swapaxes(found, 0, 1).reshape(count, *found.shape[2:])


def _plain(about: Any) -> Any:
    if isinstance(about, Mapping):
        return {name: _plain(one) for name, one in about.items()}
    return list(about) if isinstance(about, tuple) else about


def _frozen(about: Any) -> Any:
    if isinstance(about, Mapping):
        return {name: _frozen(one) for name, one in about.items()}
    return tuple(about) if isinstance(about, list) else about
