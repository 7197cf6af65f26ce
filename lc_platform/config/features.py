"""The section `features`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PlainValidator, field_validator, model_validator

from lc_platform.config.fields import (
    Fraction,
    Number,
    Section,
    Text,
    Truth,
    Whole,
    check_named_once,
    fraction,
)
from lc_platform.config.indices import IndexEntry, IndexInput, index_entry
from lc_platform.config.layers import FeatureLayer, check_names
from lc_platform.config.problems import nearest
from lc_platform.config.season import check_date_of_every_year
from lc_platform.eo import indices as indices_of
from lc_platform.eo.season import Season

_Signals = tuple[Text, ...]
HALF_A_YEAR = 182
"""The most days of padding: more would reach into the season of the year after the next."""
FAMILIES = ("series", "statistics", "harmonics", "phenology", "texture")


class SeriesFeatures(Section):
    """The series on dates: bands and indices, interpolated, smoothed, or composites."""

    method: Literal[
        "linear", "akima", "whittaker", "median", "maximum_ndvi", "medoid", "geometric_median"
    ] = "linear"
    """linear or akima interpolation, whittaker smoothing; or a composite of the days from a date
    until the next: median, maximum_ndvi, medoid, geometric_median."""
    dates: tuple[Text, ...] = ()
    """Dates of the season, MM-DD, such as those that are seldom cloudy; by default one every
    interval."""
    smoothing: Number = Field(100.0, gt=0)
    """Of whittaker: lambda, the weight of the squared second differences by the day."""
    envelope: _Signals = ()
    """Of whittaker: bands and indices whose curve follows their upper envelope."""
    weights: Literal["equal", "cloud_probability"] = "equal"
    """Of whittaker: equal, or less by an observation's cloud_probability."""

    @field_validator("dates")
    @classmethod
    def _of_every_year(cls, dates: tuple[str, ...]) -> tuple[str, ...]:
        for one in dates:
            check_date_of_every_year(one)
        return dates

    def check_season(self, season: Season) -> None:
        """Raises ValueError where dates are not days of the season, or not in its order."""
        year = 2001
        found = [season.date_in(year, one) for one in self.dates]
        for given, one in zip(self.dates, found, strict=True):
            if one is None:
                raise ValueError(
                    f"features.series.dates: {given} is no day of the season, which is from "
                    f"{season.first(year):%m-%d} to {season.last(year):%m-%d}. Leave it out, or "
                    "give another season"
                )
        days = [one for one in found if one is not None]
        if days != sorted(set(days)):
            raise ValueError(
                "features.series.dates: dates must follow one another in the season, which begins "
                f"on {season.first(year):%m-%d}, none twice. Sort them"
            )

    @model_validator(mode="after")
    def _fits_the_method(self) -> Self:
        if self.method != "whittaker":
            for key in ("smoothing", "envelope", "weights"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(
                        f"{key}: is for method whittaker, and the method is {self.method}. Remove "
                        "it, or take method: whittaker"
                    )
        return self


class StatisticsFeatures(Section):
    """Statistics of the season's valid observations."""

    of: _Signals = ()
    """Bands and indices; by default all."""
    percentiles: tuple[Annotated[Number, Field(ge=0, le=100)], ...] = (10.0, 25.0, 50.0, 75.0, 90.0)
    """0 to 100."""
    measures: tuple[Literal["mean", "std", "amplitude", "day_of_maximum"], ...] = (
        "mean",
        "std",
        "amplitude",
        "day_of_maximum",
    )
    """mean, std (standard deviation), amplitude (maximum less minimum), day_of_maximum."""


class HarmonicsFeatures(Section):
    """A Fourier series of the year: its offset, and a cosine and a sine of each harmonic."""

    of: _Signals = ()
    """Bands and indices; by default all."""
    order: Whole = Field(2, ge=1, le=6)
    """Harmonics: a year, half a year, a third. A pixel needs 2 order + 1 observations."""
    robust: Truth = True
    """Whether observations that do not fit weigh less (Tukey's biweight)."""


class PhenologyFeatures(Section):
    """Start, peak, end and length of seasons, their integral, and how fast they rise and fall."""

    of: _Signals = ("NDVI",)
    """Bands and indices that rise with green leaves."""
    seasons: Whole = Field(1, ge=1, le=2)
    """Seasons of a year, 1 or 2."""
    curve: Literal["smoothed", "double_logistic"] = "smoothed"
    """smoothed by Whittaker's, or a double_logistic that is fitted to each season."""
    threshold: Number = Field(0.2, gt=0, lt=1)
    """The share of the way to the peak at which a season starts and ends."""
    smoothing: Number = Field(1000.0, gt=0)
    """Whittaker's lambda, the weight of the squared second differences by the day."""


class TextureFeatures(Section):
    """How grey levels lie beside one another in a window (Haralick et al. 1973), of the median of
    the season's valid observations."""

    of: _Signals = ("NDVI",)
    """Bands and indices."""
    limits: dict[Text, tuple[Number, Number]] = Field(default_factory=dict)
    """The values between which the grey levels are, by band or index: {B08: [0, 0.6], S1_VV: [-25,
    0]}; 0 to 1 where none are given. What lies beyond has the first level, or the last."""
    window: Whole = Field(5, ge=3, le=31)
    """Pixels along the side of the square around a pixel, an odd number. Each patch acquires a
    margin for it: 2 pixels on each side for 5."""
    levels: Whole = Field(32, ge=2, le=256)
    """Grey levels."""
    measures: tuple[
        Literal[
            "contrast",
            "dissimilarity",
            "homogeneity",
            "entropy",
            "angular_second_moment",
            "correlation",
        ],
        ...,
    ] = ("contrast", "homogeneity", "entropy")
    """contrast, dissimilarity, homogeneity, entropy, angular_second_moment, correlation of the
    levels of neighbours, each the mean of four directions."""

    @field_validator("window")
    @classmethod
    def _has_a_middle(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError(
                f"{window} pixels have none in their middle. Give an odd number, {window - 1} or "
                f"{window + 1}"
            )
        return window

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        for name, (low, high) in self.limits.items():
            if name not in self.of:
                raise ValueError(
                    f"limits: {name} is not among the bands and indices that texture is made of "
                    f"({', '.join(self.of)}).{nearest(name, self.of)} Add it to "
                    "features.texture.of, or remove it"
                )
            if not low < high:
                raise ValueError(
                    f"limits: the first of {name} ({low:g}) must be below the second ({high:g})"
                )
        if not self.measures:
            raise ValueError("measures: there is none. Give at least one, such as entropy")
        return self


class Features(Section):
    """The features of the classifier."""

    indices: tuple[
        Annotated[IndexEntry, PlainValidator(index_entry, json_schema_input_type=IndexInput)], ...
    ] = (
        "NDVI",
        "NDWI",
        "NORM",
    )
    """NDVI, NDWI, NDBI, NORM, or a name of Awesome Spectral Indices (EVI, kNDVI, ...), other
    constants by {SAVI: {L: 0.25}}; any other normalized difference by its bands: {NDRE: [B8A,
    B05]}; any expression over bands: {X: (B08 - B04) / (B03 + 0.5)}, its constants named by {X:
    {formula: B08 - c * B04, c: 0.5}}."""
    families: tuple[Literal["series", "statistics", "harmonics", "phenology", "texture"], ...] = (
        "series",
    )
    """What features are made of: series on dates; statistics, harmonics and phenology of the
    season; texture around a pixel."""
    interval: Whole = Field(16, ge=1, le=366)
    """Days between the dates of the features, from the season's first."""
    padding: Whole = 0
    """Days before and after the season whose acquisitions the series is made of too, so that its
    first and last dates are not missing."""
    series: SeriesFeatures = SeriesFeatures()
    statistics: StatisticsFeatures = StatisticsFeatures()
    harmonics: HarmonicsFeatures = HarmonicsFeatures()
    phenology: PhenologyFeatures = PhenologyFeatures()
    texture: TextureFeatures = TextureFeatures()
    layers: tuple[FeatureLayer, ...] = ()
    """Rasters that have no season: terrain, soil, climate, embeddings."""
    min_valid_fraction: Fraction = 0.0
    """Share of a patch that an acquisition must show, without clouds, to be used; 0 takes every
    valid pixel. Above 0 neighbouring patches use different acquisitions, and the map has seams."""
    stored: Truth = True
    """Whether `features` are stored, or computed anew whenever they are read."""

    _fraction_unit = field_validator("min_valid_fraction", mode="before")(fraction)

    @field_validator("families")
    @classmethod
    def _each_once(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        if not families:
            raise ValueError("at least one family is needed. Write for example [series]")
        check_named_once(families)
        return families

    @field_validator("padding")
    @classmethod
    def _at_most_half_a_year(cls, padding: int) -> int:
        if not 0 <= padding <= HALF_A_YEAR:
            what = "is below 0" if padding < 0 else "is longer than half a year"
            raise ValueError(f"{padding} {what}. Give 0 to {HALF_A_YEAR} days")
        return padding

    @model_validator(mode="after")
    def _padding_is_of_use(self) -> Self:
        method = self.series.method
        if self.padding and "series" not in self.families:
            raise ValueError(
                "padding: only the series on dates is made of it, and series is not among "
                f"features.families ([{', '.join(self.families)}]). Add it there, or remove the key"
            )
        if self.padding and method not in ("linear", "akima", "whittaker"):
            raise ValueError(
                f"padding: a composite (features.series.method: {method}) is of its own days of "
                "the season, and needs no others. Remove the key"
            )
        return self

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        for name in FAMILIES:
            section = getattr(self, name)
            if name not in self.families and section != type(section)():
                raise ValueError(
                    f"{name}: this family is not among features.families "
                    f"([{', '.join(self.families)}]). Add it there, or remove the section"
                )
        return self

    @model_validator(mode="after")
    def _layers_are_stored(self) -> Self:
        if self.layers and not self.stored:
            raise ValueError(
                "stored: features.layers has rasters, and features that are not stored are "
                "computed wherever they are read, also where these rasters are not. Remove "
                "stored: false"
            )
        return self

    def check_fits(
        self, signals: Sequence[str], dated: Sequence[str], collections: Sequence[str] = ()
    ) -> None:
        """Raises ValueError where a family is of what there is not, or names a feature that there
        is already.

        signals      the bands and indices of all collections
        dated        those of the main collection, which `envelope` may name
        collections  the names of the auxiliary ones
        """
        check_names(self.layers, [*signals, *collections])
        for name, key in ((one, "of") for one in FAMILIES[1:]):
            if name in self.families:
                self._check_known(f"{name}.{key}", getattr(getattr(self, name), key), signals)
        if "series" in self.families:
            self._check_known("series.envelope", self.series.envelope, dated)
        for name, key, given in (
            ("statistics", "percentiles", self.statistics.percentiles),
            ("statistics", "measures", self.statistics.measures),
            ("texture", "measures", self.texture.measures),
        ):
            if len(set(given)) < len(given):
                raise ValueError(
                    f"features.{name}.{key}: one of them is there twice, so that two features "
                    "would have one name. Remove one"
                )
        if "statistics" in self.families and not (
            self.statistics.percentiles or self.statistics.measures
        ):
            raise ValueError("features.statistics: there is nothing in it. Give percentiles")

    def _check_known(self, key: str, names: Sequence[str], signals: Sequence[str]) -> None:
        for one in names:
            if one not in signals:
                raise ValueError(
                    f"features.{key}: {one} is not among the features' bands and indices "
                    f"({', '.join(signals)}).{nearest(one, signals)} Add it to features.indices, "
                    "or take another one"
                )
            if list(names).count(one) > 1:
                raise ValueError(
                    f"features.{key}: {one} is named more than once, so that two features would "
                    "have one name. Name it once"
                )

    @field_validator("indices")
    @classmethod
    def _named_once(cls, indices: tuple[IndexEntry, ...]) -> tuple[IndexEntry, ...]:
        check_named_once([indices_of.parse(index, ()).name for index in indices])
        return indices
