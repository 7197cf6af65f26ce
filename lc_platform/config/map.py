"""The section `map`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, field_validator, model_validator

from lc_platform.config.fields import Number, Section, Text, Truth, Whole, as_number
from lc_platform.config.problems import nearest, shown

LARGEST_UNIT = 250
"""Pixels: a larger minimum mapping unit would need more than 500 pixels around each patch."""
LARGEST_SEGMENT = 45
"""Pixels along the side of its square: a larger one would need more than 500 pixels around each
patch."""
SEGMENT_COMPACTNESS = 0.1
COVERAGES = (0.8, 0.9, 0.95, 0.99)
"""Shares of a class's pixels whose sets of classes are to hold it."""
USUAL_VARIANCE = 20.0
"""The value that Camara et al. (2024) take where nothing else is known."""


def _variance(value: Any) -> float | dict[str, float]:
    if isinstance(value, Mapping):
        return {str(name): _one_variance(one, f"{name}: ") for name, one in value.items()}
    return _one_variance(value)


def _one_variance(value: Any, where: str = "") -> float:
    try:
        value = as_number(value)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(
            f"{where}{shown(value)} is not a number. Write one, or one for each class by its name: "
            "{forest: 20, water: 5}"
        )
    if not 0 <= value < float("inf"):
        raise ValueError(f"{where}{value:g} is no variance. Give a number that is at least 0")
    return float(value)


class Map(Section):
    """The way from the probabilities of classes to the map."""

    smoothing: Literal["none", "bayes"] = "none"
    """bayes: probabilities follow those around them where these agree (Camara et al. 2024)."""
    smoothing_window: Whole = Field(7, ge=3, le=63)
    """Pixels along the side of the neighbourhood, an odd number."""
    smoothing_variance: Annotated[
        float | dict[str, float],
        PlainValidator(_variance, json_schema_input_type=float | dict[str, float]),
    ] = USUAL_VARIANCE
    """How much the neighbourhood counts, 0 for not at all: one number, or one for each class by its
    name, 20 for those that are not named."""
    mode_window: Whole = Field(1, ge=1, le=63)
    """Pixels along the side of the square whose most frequent class a pixel takes, an odd number; 1
    leaves all as it is."""
    minimum_unit: Number = Field(0, ge=0)
    """Hectares; smaller pieces of land take the class beside them, 0 for none. Each patch acquires
    a margin for it: 98 pixels on each side for 0.5 ha at 10 m, 198 for 1 ha. At most 250 pixels,
    2.5 ha at 10 m."""
    segment_size: Whole = Field(0, ge=0, le=LARGEST_SEGMENT)
    """Pixels along the side of the squares that segments begin as, 2 and above; 0 for none. All
    pixels of a segment, which are alike and lie together, have one class (Achanta et al. 2012).
    Each patch acquires a margin for it: 51 pixels on each side for 5, 84 for 8."""
    segment_compactness: Number = Field(SEGMENT_COMPACTNESS, ge=0)
    """The higher, the more segments stay squares; the lower, the more they follow what pixels
    show."""
    polygons: Truth = False
    """Whether `mosaic` also has the map as polygons, land_cover.parquet."""
    objects: Text | None = None
    """A vector file of polygons, such as parcels, each of which gets one class, in `objects`."""
    object_id: Text | None = None
    """The attribute of the objects that names them; by default their position in the file."""

    applicability: Truth = True
    """Whether maps say where they are asked about what training has not shown (Meyer and Pebesma
    2021): percent of the threshold, 1 to 100 inside the area of applicability, more outside."""
    applicability_samples: Whole = Field(3000, ge=2, le=50_000)
    """Training samples, at most, that pixels are compared with for it, as many of each class."""

    prediction_sets: Number | None = None
    """Whether `predictions` also has the set of classes that a pixel may have, and for which share
    of each class's pixels it is to hold the class: 0.8, 0.9, 0.95 or 0.99."""

    @field_validator("prediction_sets")
    @classmethod
    def _is_a_coverage(cls, value: float | None) -> float | None:
        if value is not None and value not in COVERAGES:
            raise ValueError(
                f"{value:g} is none of {', '.join(f'{one:g}' for one in COVERAGES)}. Take one"
            )
        return value

    @field_validator("smoothing_window", "mode_window")
    @classmethod
    def _has_a_middle(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(
                f"{value} is even, and the pixel is in the middle. Take {value - 1} or {value + 1}"
            )
        return value

    @field_validator("segment_size")
    @classmethod
    def _has_pixels_to_compare(cls, value: int) -> int:
        if value == 1:
            raise ValueError("1 is a pixel by itself. Take 2 or more, or 0 for no segments")
        return value

    @model_validator(mode="after")
    def _segments_or_objects(self) -> Self:
        if self.segment_size and self.objects is not None:
            raise ValueError(
                "segment_size: segments are for ground whose parcels are not known, and objects "
                f"({self.objects}) are given, whose borders they would cross. Remove one of them"
            )
        return self

    @model_validator(mode="after")
    def _id_of_objects(self) -> Self:
        if self.object_id is not None and self.objects is None:
            raise ValueError(
                "objects: this key is missing. Give the vector file whose attribute "
                f"{self.object_id} is, or remove map.object_id"
            )
        return self

    @property
    def mixing(self) -> str | None:
        """The key, with its value, by which probabilities are of more than a pixel itself shows."""
        if self.smoothing != "none":
            return f"map.smoothing ({self.smoothing})"
        return f"map.segment_size ({self.segment_size})" if self.segment_size else None

    def variances(self, classes: Mapping[int, str]) -> dict[int, float]:
        """Return the variance of each class's logits by its id.

        classes  id -> name
        """
        given = self.smoothing_variance
        if isinstance(given, float):
            return dict.fromkeys(classes, given)
        return {i: given.get(name, USUAL_VARIANCE) for i, name in classes.items()}

    def check_fits(self, classes: Mapping[int, str], resolution: float) -> None:
        """Raises ValueError where a class that is named is none of these, or the minimum mapping
        unit is too large.

        classes     id -> name
        resolution  metres
        """
        pixels = round(self.minimum_unit * 10_000 / resolution**2)
        if pixels > LARGEST_UNIT:
            raise ValueError(
                f"map.minimum_unit: {self.minimum_unit:g} ha at {resolution:g} m are {pixels} "
                f"pixels, for which each patch would need {2 * (pixels - 1)} pixels around it. "
                f"Give at most {LARGEST_UNIT * resolution**2 / 10_000:g}"
            )
        if isinstance(self.smoothing_variance, float):
            return
        names = list(classes.values())
        for name in self.smoothing_variance:
            if name not in names:
                raise ValueError(
                    f"map.smoothing_variance: {name} is no class of reference.classes, which are "
                    f"{', '.join(names)}.{nearest(name, names)}"
                )
