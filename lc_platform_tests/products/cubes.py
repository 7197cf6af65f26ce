"""Cubes in memory, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from lc_platform.area.mask import Area
from lc_platform.cube import MAIN, InMemoryCube, Layer
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.features import FeatureStack
from lc_platform.products.raw_bands import DETECTOR, AcquisitionStack
from lc_platform.products.reference_rasters import ReferenceMap

PATCH = "33N-r000-c000"


def west_of(column: int) -> Area:
    """The ground of `grid` west of a column's western edge, and far beyond to all other sides."""
    west, north = 500_000, 5_200_000
    far = 50_000
    box = shapely.box(west - far, north - far, west + 10 * column, north + far)
    return Area(box, CRS.from_epsg(32633))


def grid(rows: int, columns: int, resolution: float = 10, west: float = 500_000) -> GeoBox:
    """Pixels whose north-west corner is at (``west``, 5 200 000) of UTM zone 33N."""
    affine = Affine(resolution, 0, west, 0, -resolution, 5_200_000)
    return GeoBox((rows, columns), affine, "EPSG:32633")


def stack(
    numbers: NDArray[Any],
    days: Sequence[int],
    bands: Sequence[str],
    *,
    year: int = 2018,
    data: NDArray[np.bool_] | None = None,
    offsets: Sequence[float] | None = None,
    margin: int = 0,
    geobox: GeoBox | None = None,
    detector: tuple[NDArray[Any], Sequence[str], GeoBox] | None = None,
    patch: str = PATCH,
) -> AcquisitionStack:
    """Acquisitions at noon of ``days`` since 1 January; ``numbers`` (time, band, y, x) with the
    margin; reflectance = digital number / 10 000 + the acquisition's offset."""
    noon = np.datetime64(f"{year}-01-01T12:00:00") + np.array(days, "timedelta64[D]")
    offsets = offsets or [0.0] * len(days)
    if data is None:
        data = np.ones((len(days), *numbers.shape[2:]), np.bool_)
    facts: list[dict[str, Any]] = [
        {
            "key": f"{str(t)[:10].replace('-', '')}T120000_{i}",
            "datetime": str(t),
            "scale": [1e-4] * len(bands),
            "offset": [offset] * len(bands),
            "data_fraction": float(data[i].mean()),
        }
        for i, (t, offset) in enumerate(zip(noon, offsets, strict=True))
    ]
    grids = {MAIN: geobox if geobox is not None else grid(*numbers.shape[2:])}
    arrays: dict[str, NDArray[Any]] = {
        "bands": numbers.astype(np.uint16),
        "data_mask": data.astype(np.uint8),
    }
    layers = {
        "bands": Layer(("time", "band"), "uint16", fill=0),
        "data_mask": Layer(("time",), "uint8"),
    }
    coordinates = {"time": noon, "band": np.array(bands)}
    if detector is not None:
        coarse, coarse_bands, coarse_grid = detector
        grids[DETECTOR] = coarse_grid
        arrays |= {
            f"{DETECTOR}/bands": coarse.astype(np.uint16),
            f"{DETECTOR}/data_mask": coarse.any(axis=1).astype(np.uint8),
        }
        layers |= {
            f"{DETECTOR}/bands": Layer(("time", f"{DETECTOR}/band"), "uint16", DETECTOR, 0),
            f"{DETECTOR}/data_mask": Layer(("time",), "uint8", DETECTOR),
        }
        coordinates[f"{DETECTOR}/band"] = np.array(coarse_bands)
        for fact in facts:
            fact[f"{DETECTOR}_scale"] = [1e-4] * len(coarse_bands)
            fact[f"{DETECTOR}_offset"] = [0.0] * len(coarse_bands)
    attributes = {"patch": patch, "year": year, "margin": margin, "acquisitions": facts}
    return AcquisitionStack(InMemoryCube(grids, layers, arrays, coordinates, attributes))


def beside(
    raw: AcquisitionStack,
    name: str,
    numbers: NDArray[Any],
    days: Sequence[int],
    bands: Sequence[str],
    *,
    collection: str = "sentinel-1-grd",
    scale: float | Sequence[float] = 1e-4,
    offset: float = 0.0,
    data: NDArray[np.bool_] | None = None,
    orbits: Sequence[str | None] | None = None,
) -> AcquisitionStack:
    """``raw`` with a further collection of that name: ``numbers`` (time, band, y, x) on its grid,
    at six in the evening of ``days`` since 1 January, from ``orbits``."""
    cube = raw.cube
    assert isinstance(cube, InMemoryCube)
    evening = np.datetime64(f"{raw.year}-01-01T18:00:00") + np.array(days, "timedelta64[D]")
    if data is None:
        data = np.ones((len(days), *raw.geobox.shape), np.bool_)
    facts = [
        {
            "key": f"{name}_{day:03d}_{i}",
            "datetime": str(evening[i]),
            "scale": np.broadcast_to(scale, len(bands)).tolist(),
            "offset": np.broadcast_to(offset, len(bands)).tolist(),
            **({} if orbits is None else {"properties": {"sat:orbit_state": orbits[i]}}),
        }
        for i, day in enumerate(days)
    ]
    collections = cube.attributes.get("collections", {})
    collections = collections | {name: {"collection": collection, "acquisitions": facts}}
    return AcquisitionStack(
        InMemoryCube(
            {**cube.grids, name: raw.geobox},
            {
                **cube.layers,
                f"{name}/bands": Layer((f"{name}/time", f"{name}/band"), "uint16", name, 0),
                f"{name}/data_mask": Layer((f"{name}/time",), "uint8", name),
            },
            {
                **cube.arrays,
                f"{name}/bands": numbers.astype(np.uint16),
                f"{name}/data_mask": data.astype(np.uint8),
            },
            {**cube.coordinates, f"{name}/time": evening, f"{name}/band": np.array(bands)},
            {**cube.attributes, "collections": collections},
        )
    )


def masks(
    raw: AcquisitionStack,
    valid: NDArray[np.bool_],
    probability: NDArray[np.floating[Any]] | None = None,
) -> CloudMasks:
    """Masks of ``raw`` with ``valid`` and ``probability`` (time, y, x), NaN where no data."""
    if probability is None:
        probability = np.where(valid, 0.0, 1.0)
    stored = np.where(np.isnan(probability), 255, np.nan_to_num(probability) * 200)
    arrays = {
        "valid": valid.astype(np.uint8),
        "cloud_mask": (~valid).astype(np.uint8),
        "cloud_probability": stored.round().astype(np.uint8),
    }
    facts = [
        {"key": a["key"], "datetime": a["datetime"], "valid_fraction": float(v.mean())}
        for a, v in zip(raw.acquisitions, valid, strict=True)
    ]
    return CloudMasks(
        InMemoryCube(
            {MAIN: raw.geobox},
            {name: Layer(("time",), "uint8") for name in arrays},
            arrays,
            {"time": raw.datetimes},
            {"patch": raw.patch, "year": raw.year, "acquisitions": facts},
        )
    )


def reference(
    classes: NDArray[Any],
    ambiguous: NDArray[np.bool_] | None = None,
    geobox: GeoBox | None = None,
    polygons: NDArray[Any] | None = None,
) -> ReferenceMap:
    """A reference of class ids and ids of polygons (y, x); without them, as one from before."""
    if ambiguous is None:
        ambiguous = np.zeros(classes.shape, np.bool_)
    arrays = {"class": classes.astype(np.uint8), "ambiguous": ambiguous.astype(np.uint8)}
    if polygons is not None:
        arrays["polygons"] = polygons.astype(np.uint32)
    return ReferenceMap(
        InMemoryCube(
            {MAIN: geobox if geobox is not None else grid(*classes.shape)},
            {name: Layer((), str(values.dtype)) for name, values in arrays.items()},
            arrays,
        )
    )


def feature_stack(
    values: NDArray[Any],
    features: Sequence[str] = ("NDVI",),
    days: Sequence[int] = (0,),
    *,
    patch: str = PATCH,
    year: int = 2018,
    geobox: GeoBox | None = None,
) -> FeatureStack:
    """Features (date, feature, y, x)."""
    return FeatureStack(
        InMemoryCube(
            {MAIN: geobox if geobox is not None else grid(*values.shape[2:])},
            {"features": Layer(("date", "feature"), "float32")},
            {"features": values.astype(np.float32)},
            {},
            {"patch": patch, "year": year, "days": list(days), "features": list(features)},
        )
    )
