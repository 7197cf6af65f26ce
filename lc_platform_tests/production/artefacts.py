"""What lies in a store: read to its last pixel, and which of it was finished at a moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio

from lc_platform import assets
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import ASSETS, RECORDS, Partition, dimensions, key
from lc_platform.artefacts.versions import State
from lc_platform.config import Config
from lc_platform.platform import Platform
from lc_platform.storage.errors import StorageError
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ZarrCube


def opened(config: Config) -> Platform:
    """The store of a configuration, as a process that starts now sees it."""
    return Platform(config, [asset.recipe for asset in assets.ALL])


def states(config: Config) -> dict[tuple[str, Partition], State]:
    """How every partition of every asset stands."""
    look = opened(config).versions.look()
    return {
        (asset, place): state
        for asset in ASSETS
        for year in (config.years if "year" in dimensions(asset) else (None,))
        for place, state in look.states(asset, year).items()
    }


Digests = Mapping[tuple[str, Partition], str]
"""What names the content of an artefact, by its asset and place."""


def digests(config: Config) -> Digests:
    """Names the content of every artefact there should be: pixels, tables, texts, all of them read.

    Where one is missing or damaged, the words that say so.
    """
    platform = opened(config)
    return {where: _digest(platform, *where) for where in states(config)}


def _digest(platform: Platform, asset: str, place: Partition) -> str:
    found = hashlib.sha256()
    try:
        for name, value in _parts(platform, asset, place):
            array = np.ascontiguousarray(value)
            found.update(f"{name} {array.dtype} {array.shape}".encode())
            found.update(array.tobytes())
    except StorageError as error:
        return str(error)
    return found.hexdigest()[:16]


def _parts(platform: Platform, asset: str, place: Partition) -> Iterator[tuple[str, Any]]:
    """What an artefact consists of, without what tells one writing of it from another."""
    store, path = platform.store, key(asset, place.patch, place.year)
    if path.endswith(".zarr"):
        yield from _layers(ZarrCube(store, path))
    elif path.endswith(".tif"):
        yield from _layers(RasterCube(store, path))
        if asset == "observation_stats":
            yield "table", np.frombuffer(store.read_bytes(f"{path[:-4]}.parquet"), np.uint8)
    else:
        yield from _others(store, asset, formats()[asset].open(store, path))


def _layers(cube: ZarrCube | RasterCube) -> Iterator[tuple[str, Any]]:
    for name, labels in sorted(cube.coordinates.items()):
        yield name, labels if labels.dtype.kind != "O" else labels.astype(str)
    for name in sorted(cube.layers):
        yield name, cube.read(name)


def _others(store: Store, asset: str, value: Any) -> Iterator[tuple[str, Any]]:
    if asset == "patch_grid":
        for patch in value.patches:
            yield patch.key, np.array([*patch.geobox.affine[:6], *patch.geobox.shape])
            yield f"{patch.key} reference", np.array(value.has_reference[patch.key])
    elif asset == "alignment":
        yield "rows", np.frombuffer(json.dumps(value.rows).encode(), np.uint8)
    elif asset == "training_samples":
        names = ("features", "classes", "rows", "columns", "polygons")
        yield from ((name, getattr(value, name)) for name in names)
    elif asset == "model":
        yield "text", np.frombuffer(value.text.encode(), np.uint8)
        yield "card", np.frombuffer(json.dumps(value.card, sort_keys=True).encode(), np.uint8)
    elif asset == "evaluation":
        text = json.dumps(value.metrics, sort_keys=True)
        yield "metrics", np.frombuffer(text.encode(), np.uint8)
    elif asset == "objects":
        table = pq.read_table(
            pa.BufferReader(store.read_bytes(key(asset, year=value.about["year"])))
        )
        for name in table.column_names:
            yield name, table[name].to_numpy(zero_copy_only=False).astype(str)
    elif asset == "report":
        # It tells the day and the versions; what it is made of is compared by itself.
        yield "whole", np.array(value.html.rstrip().endswith("</html>"))
    elif asset == "catalog":
        # It tells versions, sizes and times; what it lists is compared by itself.
        yield "children", np.array([link["href"] for link in value.content["links"]])
    elif asset == "area_statistics":
        # The map's version tells where an archive lies too.
        told = {k: v for k, v in value.content.items() if k != "mosaic_version"}
        text = json.dumps(told, sort_keys=True)
        yield "areas", np.frombuffer(text.encode(), np.uint8)
    else:
        for name, physical in sorted(value.items()):
            if not name.endswith(".tif"):
                continue
            with rasterio.MemoryFile(store.content(physical)) as file, file.open() as raster:
                yield name, raster.read()


Finished = Mapping[str, Any]
"""When each artefact was finished, by the name of its record."""


def finished(config: Config) -> Finished:
    """The artefacts that are finished now, by one listing."""
    store = Store.of(config)
    listed = store.fs.find(store.path(RECORDS).removeprefix("s3://"), detail=True)
    times = ("LastModified", "mtime", "created")
    return {
        str(PurePosixPath(path)): next(about[name] for name in times if about.get(name) is not None)
        for path, about in listed.items()
        if PurePosixPath(path).name != "deployment.json"
    }


def made_again(before: Finished, after: Finished) -> list[str]:
    """What was finished before, and has been made again or lost since."""
    return sorted(name for name, when in before.items() if after.get(name) != when)
