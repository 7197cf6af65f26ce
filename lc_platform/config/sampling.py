"""The section `sampling`: the pixels that the classifier is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, field_validator, model_validator

from lc_platform.config.fields import (
    Fraction,
    Number,
    PositiveWhole,
    Section,
    Text,
    Truth,
    Whole,
    as_number,
    fraction,
)
from lc_platform.config.problems import nearest, shown

CLASS_WEIGHTS = ("balanced", "none")


def _class_weights(value: Any) -> str | dict[str, float]:
    if isinstance(value, Mapping):
        return {str(name): _weight(name, one) for name, one in value.items()}
    if isinstance(value, str) and value in CLASS_WEIGHTS:
        return value
    hint = nearest(str(value).lower(), list(CLASS_WEIGHTS))
    raise ValueError(
        f"{shown(value)} is not known. It is one of {', '.join(CLASS_WEIGHTS)}, or a weight a "
        f"class, such as {{water: 0.5}}.{hint}"
    )


def _weight(name: Any, value: Any) -> float:
    try:
        weight = as_number(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1e9:
        raise ValueError(f"{name}: the weight {shown(value)} is no number above 0")
    return float(weight)


class Points(Section):
    """Samples that users bring themselves: points with a class and a date."""

    path: Text
    """A GeoPackage, a Parquet or a CSV with geometries or with longitudes and latitudes, such as
    samples of sits, or another vector file of points."""
    layer: Text | None = None
    """The layer of a file that has several."""
    attribute: Text = "label"
    """The column that holds the class: the name or the id of one of reference.classes."""
    date: Text = "date"
    """The column that holds the date, or the year: a point is of the map of its year. Where there
    is no column date, the middle between start_date and end_date, as sits has them."""
    longitude: Text | None = None
    """The column of a table without geometries that holds the longitude in degrees; by default
    longitude or lon."""
    latitude: Text | None = None
    """Likewise, of the latitude; by default latitude or lat."""
    weight: Text | None = None
    """The column that holds what a point counts for in training, where a pixel of the reference
    counts 1; by default 1."""
    alone: Truth = False
    """Whether the classifier learns from the points alone, and not from the reference map; always
    so where there is no reference.path."""

    @model_validator(mode="after")
    def _both_coordinates(self) -> Self:
        if (self.longitude is None) != (self.latitude is None):
            key, other = ("longitude", "latitude") if self.latitude else ("latitude", "longitude")
            raise ValueError(
                f"{key}: this key is missing, and {other} is given. Give both, or none"
            )
        return self


class Sampling(Section):
    """The pixels that the classifier is trained on, and the patches that it is tested on."""

    strategy: Literal["uniform", "balanced", "by_polygon"] = "uniform"
    """uniform: every labelled pixel has the same chance; balanced: the same number of each class,
    as far as it has them; by_polygon: the same number of each polygon."""
    pixels_per_patch: PositiveWhole = 40_000
    """The most pixels that are drawn from a patch."""
    pixels_per_class: Whole = Field(0, ge=0)
    """For strategy balanced: the most pixels of a class that are drawn from a patch; 0 for as many
    as pixels_per_patch allows."""
    pixels_per_polygon: PositiveWhole = 50
    """For strategy by_polygon: the most pixels of a polygon that are drawn from a patch."""
    erosion: Whole = Field(1, ge=0)
    """Pixels; what is that near to another class is not drawn."""
    class_erosion: dict[Text, Annotated[Whole, Field(ge=0)]] = Field(default_factory=dict)
    """Pixels, of classes that are eroded by more or less than the others: {built-up: 0}."""
    core_fraction: Fraction = 0.0
    """Least share of a polygon's pixels that erosion leaves: one that it would leave less of is not
    eroded, so that small fields are sampled too."""
    test_fraction: Number = Field(0.2, gt=0, lt=1)
    """Share of the patches that the classifier is tested on, and never trained on, where
    validation.folds is 0."""
    seed: Whole = Field(42, ge=0)
    """Seed of random draws; another seed gives another draw."""
    class_weights: Annotated[
        str | dict[str, float],
        PlainValidator(
            _class_weights,
            json_schema_input_type=Literal["balanced", "none"] | dict[str, float],
        ),
    ] = "balanced"
    """balanced: every class weighs the same in training, however many pixels it has; none: every
    pixel does. A weight a class, such as {water: 0.5}: so many times as much as the others, which
    are balanced."""
    sample_weights: Literal["equal", "by_polygon"] = "equal"
    """equal: all samples of a class weigh the same; by_polygon: all polygons of a class do, however
    many samples they have."""
    points: Points | None = None

    _fraction_unit = field_validator("test_fraction", "core_fraction", mode="before")(fraction)

    @model_validator(mode="after")
    def _caps_fit_the_strategy(self) -> Self:
        for key, strategy in (
            ("pixels_per_class", "balanced"),
            ("pixels_per_polygon", "by_polygon"),
        ):
            usual = type(self).model_fields[key].default
            if getattr(self, key) != usual and self.strategy != strategy:
                raise ValueError(
                    f"{key}: is for strategy {strategy}, and the strategy is {self.strategy}. "
                    f"Remove it, or take strategy: {strategy}"
                )
        return self

    @property
    def needs_polygons(self) -> str:
        """The key that asks for a reference of polygons; empty where none does."""
        if self.strategy == "by_polygon":
            return "sampling.strategy: by_polygon"
        if self.core_fraction:
            return "sampling.core_fraction"
        return "sampling.sample_weights: by_polygon" if self.sample_weights != "equal" else ""

    @property
    def represents_all(self) -> bool:
        """Whether the samples stand for all labelled pixels."""
        return self.strategy == "uniform" and not any((self.erosion, *self.class_erosion.values()))

    def check_fits(self, classes: Mapping[int, str]) -> None:
        """Raises ValueError, beginning with the key, where a class is named that there is not.

        classes  id -> name
        """
        names = [*classes.values()]
        weights = self.class_weights if isinstance(self.class_weights, Mapping) else {}
        for key, given in (("class_erosion", self.class_erosion), ("class_weights", weights)):
            for name in given:
                if name not in names:
                    hint = nearest(name, names) or f" The classes are {', '.join(names)}."
                    raise ValueError(
                        f"sampling.{key}: {name} is no class of reference.classes.{hint}"
                    )
