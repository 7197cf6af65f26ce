"""EOPatches as eo-learn 1.x writes them, by numpy and zarr alone.

What eo-learn 1.5.7 writes was looked at: JSON with an indent of 2, GeoJSON with the CRS as
sentinelhub names it, arrays by ``np.save`` into gzip, Zarr of format 2 in chunks of a time each.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

ORIGIN = (600000.0, 5000000.0)
"""West and north of the first EOPatch, EPSG:32633."""
SHAPE = (6, 8)
TIMES = (
    "2021-02-03T10:05:02",
    "2021-03-20T10:05:04",
    "2021-03-20T11:45:01",  # of another orbit, on the same day
)
BANDS = "B03,B04,B08"

Save = Callable[[Path, NDArray[Any]], None]


def npy(path: Path, values: NDArray[Any]) -> None:
    np.save(path.with_name(f"{path.name}.npy"), values)


def npy_gz(path: Path, values: NDArray[Any]) -> None:
    content = io.BytesIO()
    np.save(content, values)
    path.with_name(f"{path.name}.npy.gz").write_bytes(gzip.compress(content.getvalue(), 1))


def by_columns(path: Path, values: NDArray[Any]) -> None:
    npy(path, np.asfortranarray(values))


def as_zarr(path: Path, values: NDArray[Any]) -> None:
    chunks = (1, *values.shape[1:]) if values.ndim == 4 else values.shape
    array: Any = zarr.create_array(
        path.with_name(f"{path.name}.zarr"),
        shape=values.shape,
        dtype=values.dtype,
        chunks=chunks,
        zarr_format=2,
        config={"write_empty_chunks": True},  # as zarr 2 does by itself
    )
    array[...] = values


def reflectance(seed: int = 1, shape: tuple[int, int] = SHAPE, bands: int = 3) -> NDArray[Any]:
    """(time, y, x, band), float32, above 0 everywhere."""
    numbers = np.random.default_rng(seed).uniform(0.01, 0.6, (len(TIMES), *shape, bands))
    return numbers.astype(np.float32)


def bbox(
    west: float = ORIGIN[0],
    north: float = ORIGIN[1],
    shape: tuple[int, int] = SHAPE,
    *,
    step: float = 10,
    epsg: int = 32633,
) -> dict[str, Any]:
    """The GeoJSON of an EOPatch's bounding box."""
    east, south = west + shape[1] * step, north - shape[0] * step
    corners = [(west, south), (west, north), (east, north), (east, south), (west, south)]
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}}
    return {"crs": crs, "type": "Polygon", "coordinates": [corners]}


def write(
    folder: Path,
    features: Mapping[str, NDArray[Any]],
    *,
    box: dict[str, Any] | None = None,
    times: Sequence[str] = TIMES,
    save: Save = npy_gz,
) -> Path:
    """Write an EOPatch; features are ``type/name`` -> array."""
    folder.mkdir(parents=True)
    (folder / "bbox.geojson").write_text(json.dumps(box or bbox(), indent=2))
    (folder / "timestamps.json").write_text(json.dumps(list(times), indent=2))
    for name, values in features.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        save(path, values)
    return folder
