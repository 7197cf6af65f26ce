"""What is known of one pixel: what was observed there, what the classifier read of it, its classes
by year, its reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lc_platform.cube import Legend, Window
from lc_platform.eo.indices import Index, compute
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.features import FeatureStack
from lc_platform.products.layers import decoded
from lc_platform.products.probability_layers import classes_kept, probability_layer
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.reading.datasets import calibrated
from lc_platform.reading.places import Pixel
from lc_platform.storage.raster_cube import RasterCube


@dataclass(frozen=True)
class MapPixel:
    """What a year's map says of a pixel."""

    class_id: int | None
    """None where there is no data."""
    values: Mapping[str, Any]
    """The other layers by name, percents; None where there is no data."""
    probabilities: Mapping[int, float | None]
    """By class id, percent; empty where the map does not keep them."""
    model_version: str | None
    legend: Legend
    """The classes as they were when the map was made."""

    @property
    def class_name(self) -> str | None:
        return None if self.class_id is None else name_of(self.legend, self.class_id)

    def to_dict(self) -> dict[str, Any]:
        """Return it as `Reader.at` tells it."""
        found = {"class": self.class_id, "class_name": self.class_name, **self.values}
        if self.probabilities:
            named = {name_of(self.legend, one): p for one, p in self.probabilities.items()}
            found["probabilities"] = named
        return found | {"model_version": self.model_version}


@dataclass(frozen=True)
class ReferencePixel:
    """What the reference says of a pixel."""

    class_id: int | None
    """None where it is not labelled."""
    ambiguous: bool
    """Whether several classes claim it."""
    polygon: int | None
    """See `ReferenceMap.polygons`."""
    legend: Legend

    @property
    def class_name(self) -> str | None:
        return None if self.class_id is None else name_of(self.legend, self.class_id)

    def to_dict(self) -> dict[str, Any]:
        """Return it as `Reader.at` tells it."""
        return {
            "reference": self.class_id,
            "reference_name": self.class_name,
            "ambiguous": self.ambiguous,
            "polygon": self.polygon,
        }


@dataclass(frozen=True)
class Story:
    """What is known of the pixel at a place."""

    pixel: Pixel
    longitude: float
    latitude: float
    year: int
    observations: pd.DataFrame | None
    """A row an acquisition of the year, see `Reader.at`; None where there is no imagery. Of one
    series where that was asked for."""
    series: Sequence[str]
    """The names of all bands and indices that observations may be told by."""
    features: pd.DataFrame | None
    """What the classifier reads: a row a date, a column a feature, and `features_of` tells those
    without a date; None where there are none."""
    maps: Mapping[int, MapPixel]
    """By year, in order, of those that there is a map of."""
    reference: ReferencePixel | None
    missing: Sequence[str]
    """Sentences that say what is not made yet, or cannot be read, and what to do."""


def observations(
    pixel: Pixel,
    raw_bands: AcquisitionStack,
    masks: CloudMasks | None,
    used: Sequence[str] | None,
    indices: Sequence[Index],
    side_by_side: Executor,
    series: str | None = None,
) -> pd.DataFrame:
    """Return a row an acquisition of a pixel, by its time (UTC); see `Reader.at`.

    used          the keys of the acquisitions that the features are made of, None where it is not
                  known
    side_by_side  reads several layers at the same time
    series        the band or index to tell, for which no other band is decompressed; the first
                  that there is where there is none of that name; all where None

    ``attrs`` has ``series``, the names of all bands and indices that there are. Raises DataError
    where the masks are not those of these acquisitions.
    """
    window = pixel.window
    missing = raw_bands.cube.layers["bands"].attributes.get("_FillValue")
    layers: dict[str, Callable[[Window], NDArray[Any]]] = {"data": raw_bands.data_mask}
    if masks is not None:
        masks.check_made_of(raw_bands)
        layers |= {"valid": masks.valid, "cloud": masks.cloud}
        layers["cloud_probability"] = masks.probability
    asked = {name: side_by_side.submit(read, window) for name, read in layers.items()}
    possible = {one.name: one for one in indices if set(one.bands) <= set(raw_bands.bands)}
    names = list(dict.fromkeys((*raw_bands.bands, *possible)))
    if series is None:
        told, bands = names, list(raw_bands.bands)
    else:
        told = [series if series in names else names[0]]
        bands = list(possible[told[0]].bands) if told[0] in possible else told
    values = calibrated(raw_bands, window, slice(None), bands, missing)[..., 0, 0]
    named = {band: values[:, i] for i, band in enumerate(bands)}
    columns: dict[str, Any] = {"acquisition": np.array(raw_bands.keys, object)}
    for name in told:
        columns[name] = compute(possible[name], named) if name in possible else named[name]
    unknown = pd.array([pd.NA] * len(raw_bands), dtype="boolean")
    columns |= {name: read.result()[:, 0, 0] for name, read in asked.items()}
    if masks is None:
        columns |= {"valid": unknown, "cloud": unknown}
        columns["cloud_probability"] = np.full(len(raw_bands), np.nan, np.float32)
    columns["used"] = unknown if used is None else np.isin(raw_bands.keys, list(used))
    found = pd.DataFrame(columns, pd.DatetimeIndex(raw_bands.datetimes, name="time"))
    found.attrs["series"] = names
    return found


def features_of(pixel: Pixel, features: FeatureStack) -> pd.DataFrame:
    """Return a row a date, a column a feature of a pixel, NaN where missing; in ``attrs`` the
    features without a date, by name, as ``undated``."""
    values, undated = features.read(pixel.window)[:, 0, 0], len(features.undated)
    count = len(values) - undated
    labels = features.cube.coordinates
    names = [str(one) for one in labels["feature"]] if features.days else []
    dates = pd.DatetimeIndex(labels["date"] if features.days else [], name="date")
    found = pd.DataFrame(values[:count].reshape(len(dates), len(names)), dates, names)
    found.attrs["undated"] = dict(zip(features.undated, values[count:].tolist(), strict=True))
    return found


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


def of_map(pixel: Pixel, predictions: RasterCube, classes: Legend) -> MapPixel:
    """Return what a map says of a pixel."""
    values = {
        name: _known(decoded(name, predictions.layers[name], classes).decode(stored).item())
        for name, stored in predictions.read_every(pixel.window).items()
    }
    class_id = values.pop("class") or None
    kept = classes_kept(predictions.layers)
    probabilities = {one: values.pop(probability_layer(one)) for one in kept}
    version = predictions.attributes.get("model_version")
    return MapPixel(class_id, values, probabilities, version, classes)


def of_reference(pixel: Pixel, reference: RasterCube, classes: Legend) -> ReferencePixel:
    """Return what the reference says of a pixel."""
    window = pixel.window
    class_id, ambiguous = reference.read_layers(["class", "ambiguous"], window).ravel().tolist()
    polygon = ReferenceMap(reference).polygons(window).item()
    return ReferencePixel(class_id or None, bool(ambiguous), polygon or None, classes)


def name_of(classes: Legend, value: int) -> str:
    """Return the name of a class, also of one that is no longer among them."""
    return classes.get(value, (f"class {value}", ""))[0]


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value
