"""What is known of one pixel in a year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lc_platform.cube import Legend
from lc_platform.eo.indices import Index, compute
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.reading.datasets import calibrated
from lc_platform.reading.layers import decoded
from lc_platform.reading.places import Pixel
from lc_platform.storage.raster_cube import RasterCube


def observations(
    pixel: Pixel,
    raw_bands: AcquisitionStack,
    masks: CloudMasks | None,
    used: Sequence[str] | None,
    indices: Sequence[Index],
) -> pd.DataFrame:
    """Return a row an acquisition of a pixel, by its time (UTC); see `Reader.at`.

    used  the keys of the acquisitions that the features are made of, None where it is not known

    Raises DataError where the masks are not those of these acquisitions.
    """
    window = pixel.window
    about = raw_bands.cube.layers["bands"].attributes
    values = calibrated(raw_bands, window, slice(None), raw_bands.bands, about.get("_FillValue"))[
        ..., 0, 0
    ]
    named = {band: values[:, i] for i, band in enumerate(raw_bands.bands)}
    columns: dict[str, Any] = {"acquisition": np.array(raw_bands.keys, object), **named}
    for index in indices:
        if set(index.bands) <= set(named):
            columns[index.name] = compute(index, named)
    columns["data"] = raw_bands.data_mask(window)[:, 0, 0]
    unknown = pd.array([pd.NA] * len(raw_bands), dtype="boolean")
    if masks is None:
        columns |= {"valid": unknown, "cloud": unknown}
        columns["cloud_probability"] = np.full(len(raw_bands), np.nan, np.float32)
    else:
        masks.check_made_of(raw_bands)
        columns["valid"] = masks.valid(window)[:, 0, 0]
        columns["cloud"] = masks.cloud(window)[:, 0, 0]
        columns["cloud_probability"] = masks.probability(window)[:, 0, 0]
    columns["used"] = unknown if used is None else np.isin(raw_bands.keys, list(used))
    return pd.DataFrame(columns, pd.DatetimeIndex(raw_bands.datetimes, name="time"))


def place(pixel: Pixel, longitude: float, latitude: float) -> dict[str, Any]:
    """Return where a pixel is."""
    x, y = pixel.centre
    return {
        "longitude": longitude,
        "latitude": latitude,
        "patch": pixel.patch.key,
        "row": pixel.row,
        "column": pixel.column,
        "crs": pixel.patch.crs,
        "x": x,
        "y": y,
    }


def of_map(pixel: Pixel, predictions: RasterCube | None, classes: Legend) -> dict[str, Any]:
    """Return what the map says of a pixel, its layers by name: the class's id and name (None where
    there is no data or no map), percents, and the probabilities by the classes' names."""
    found: dict[str, Any] = {"class": None, "class_name": None}
    if predictions is None:
        return found
    probabilities = {}
    for name, layer in predictions.layers.items():
        how = decoded(name, layer, classes)
        value = how.decode(predictions.read(name, pixel.window)).item()
        stem, _, number = name.rpartition("_")
        if stem == "probability" and number.isdigit():
            probabilities[_name(classes, int(number))] = _known(value)
        elif name == "class":
            found |= _class("class", value, classes)
        else:
            found[name] = _known(value)
    if probabilities:
        found["probabilities"] = probabilities
    found["model_version"] = predictions.attributes.get("model_version")
    return found


def of_reference(pixel: Pixel, reference: ReferenceMap | None, classes: Legend) -> dict[str, Any]:
    """Return what the reference says of a pixel: the class's id and name, whether several classes
    claim it, and its polygon; None where it is not labelled or there is no reference."""
    if reference is None:
        return {"reference": None, "reference_name": None}
    window = pixel.window
    return {
        **_class("reference", reference.classes(window).item(), classes),
        "ambiguous": bool(reference.ambiguous(window).item()),
        "polygon": reference.polygons(window).item() or None,
    }


def _class(name: str, value: int, classes: Legend) -> Mapping[str, Any]:
    return {name: value or None, f"{name}_name": _name(classes, value) if value else None}


def _name(classes: Legend, value: int) -> str:
    return classes.get(value, (f"class {value}", ""))[0]


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value
