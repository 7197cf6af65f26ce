"""What the layers of artefacts mean: their units, their classes, and which numbers say nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Layer, Legend

Kind = Literal["number", "class", "flag"]


@dataclass(frozen=True)
class Meaning:
    """What a layer's numbers stand for."""

    long_name: str
    units: str = "1"
    kind: Kind = "number"
    missing: int | None = None
    """The number that says nothing."""


_PERCENT = "percent"
_MEANINGS: Mapping[str, Meaning] = {
    "class": Meaning("land cover class", kind="class"),
    "confidence": Meaning("probability of the class", _PERCENT, missing=0),
    "entropy": Meaning("entropy of the classes' probabilities, of its maximum", _PERCENT,
                       missing=255),
    "margin": Meaning("probability of the class, less that of the second", _PERCENT, missing=255),
    "applicability": Meaning(
        "distance to the training samples, of the threshold; outside the area of applicability "
        "above 100", _PERCENT, missing=0,
    ),
    "valid_observations": Meaning("valid observations"),
    "cloud_probability": Meaning("probability of cloud"),
    "ambiguous": Meaning("claimed by several classes of the reference", kind="flag"),
    "polygons": Meaning("polygon of the reference, its position in the file from 1"),
    "data_mask": Meaning("every band has data", kind="flag"),
    "cloud_mask": Meaning("cloud", kind="flag"),
    "shadow_mask": Meaning("shadow of a cloud", kind="flag"),
    "snow_mask": Meaning("snow", kind="flag"),
    "valid": Meaning("shows the ground", kind="flag"),
    "change": Meaning("class after a change, 0 where there is none", kind="class"),
    "class_before": Meaning("land cover class in the year before", kind="class"),
    "class_after": Meaning("land cover class", kind="class"),
    "change_probability": Meaning("probability of any change", _PERCENT, missing=0),
    "transition_probability": Meaning("probability of the transition", _PERCENT, missing=0),
    "confirmation": Meaning("what other years say of a change", kind="class"),
    "consistent_class_before": Meaning(
        "land cover class in the year before, consistent over the years", kind="class"
    ),
    "consistent_class": Meaning("land cover class, consistent over the years", kind="class"),
}  # fmt: skip


def meaning(name: str, classes: Legend) -> Meaning:
    """Return what a layer means, by its name; of a layer that is not known its name alone."""
    stem, _, number = name.rpartition("_")
    if number.isdigit() and stem in ("mask", "probability"):
        of = classes.get(int(number), (f"class {number}", ""))[0]
        if stem == "mask":
            return Meaning(f"labelled as {of}", kind="flag")
        return Meaning(f"probability of {of}", _PERCENT, missing=255)
    return _MEANINGS.get(name, Meaning(name.replace("_", " ")))


@dataclass(frozen=True)
class Decoded:
    """How a layer's stored numbers become what they stand for."""

    dtype: np.dtype[Any]
    attributes: dict[str, Any]
    decode: Callable[[NDArray[Any]], NDArray[Any]]


def decoded(name: str, layer: Layer, classes: Legend) -> Decoded:
    """Return how a layer is decoded.

    Classes and ids stay as they are. Flags are True or False. Other numbers become float32, NaN
    where they say nothing, if there is a number that does so, or a scale; else they stay.

    classes  of the layer where it holds classes, or of the map
    """
    means = meaning(name, classes)
    about: dict[str, Any] = {"long_name": means.long_name}
    stored = np.dtype(layer.dtype)
    if means.kind == "flag":
        return Decoded(np.dtype(bool), about, lambda values: values.astype(bool))
    if means.kind == "class":
        return Decoded(stored, about | flags(classes, stored), lambda values: values)
    about["units"] = means.units
    scale = layer.attributes.get("scale_factor")
    missing = layer.attributes.get("_FillValue", means.missing)
    if (scale is None and missing is None) or stored.kind == "f":
        return Decoded(stored, about, lambda values: values)

    def number(values: NDArray[Any]) -> NDArray[Any]:
        found = values.astype(np.float32)
        if scale is not None:
            found *= np.float32(scale)
        if missing is not None:
            found[values == missing] = np.nan
        return found

    return Decoded(np.dtype(np.float32), about, number)


def flags(classes: Legend, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return attributes that name classes in CF's terms, and their colours; 0 is no data."""
    names = ["no_data", *("_".join(name.split()) for name, _ in classes.values())]
    return {
        "flag_values": np.array([0, *classes], dtype),
        "flag_meanings": " ".join(names),
        "flag_colors": " ".join(["#00000000", *(color for _, color in classes.values())]),
    }
