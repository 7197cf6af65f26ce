"""A pixel's story over a year: what a person waits for after a click on the map."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from unittest.mock import patch as replaced

import numpy as np
from fastapi.testclient import TestClient

import lc_platform
from benchmarks import training
from benchmarks.archive import YEAR
from benchmarks.prepared import materialize, prepare
from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.config import load
from lc_platform.eo.polygons import transformer
from lc_platform.reading.reader import Reader
from lc_platform.storage.store import Store
from lc_platform.viewer.app import create_app
from lc_platform_tests.reading import stores
from lc_platform_tests.servers import BUCKET, seaweedfs

_CLICKS, _REMOTE_CLICKS, _CLIENTS = 40, 10, 8
_TOLD: Mapping[str, Mapping[str, str]] = {"NDVI": {"series": "NDVI"}, "all bands": {}}
"""What observations are told by, and the query for it."""
_ASIDE = 1e-4
"""Degrees between a place and one beside it, a pixel away."""


def run(settings: Settings) -> list[Table]:
    """Time clicks on a patch of 70 acquisitions of 13 bands, in a folder and on SeaweedFS."""
    folder = settings.folder / "story"
    file = _made(folder, settings)
    reader = lc_platform.open(file)
    places = _places(reader)
    rows = [_row("a folder", told, reader, places, series) for told, series in _TOLD.items()]
    for told, series in _TOLD.items():
        with _on_seaweedfs(settings.folder / f"seaweedfs-{told}", reader) as remote:
            rows.append(_row("SeaweedFS", told, remote, places[: 2 * _REMOTE_CLICKS], series))
    return [
        Table(
            "story",
            "A pixel's story",
            (
                "store",
                "told by",
                "first click",
                "median",
                "95th percentile",
                "beside one of before",
                f"median of {_CLIENTS} clients",
            ),
            rows,
            (
                f"`/api/pixel` of {_CLICKS} places ({_REMOTE_CLICKS} on SeaweedFS) of a patch of "
                f"{settings.size} x {settings.size} "
                "pixels with 70 acquisitions of 13 bands, its masks, features and map: one after "
                f"the other, and others by {_CLIENTS} clients at once; none asked for twice. The "
                "page asks for the index that it shows, and for another when that is chosen. The "
                "first click opens the stores.",
            ),
        )
    ]


def _made(folder: Path, settings: Settings) -> Path:
    """Make a patch with all that a story tells; returns its configuration."""
    file = folder / lc_platform.config.FILE_NAME
    if file.exists():
        return file
    partial = folder.with_suffix(".part")
    area = prepare(partial, settings.data, size=settings.size, patches=1, every_band=True)
    config = load(area.file)
    store = Store.of(config)
    materialize(config, "cloud_masks", "features")
    features = formats()["features"].open(store, key("features", area.patches[0], YEAR))
    formats()["model"].write(store, key("model", year=YEAR), training.model(features))
    materialize(config, "predictions")
    partial.rename(folder)
    return file


def _places(reader: Reader) -> list[tuple[float, float]]:
    """Longitudes and latitudes of pixels anywhere in the patch, twice as many as clicks."""
    (patch,) = reader.artefacts.grid.patches
    random = np.random.default_rng(7)
    rows, columns = random.integers(0, patch.shape[0], (2, 2 * _CLICKS)) + 0.5
    affine = patch.geobox.affine
    lons, lats = transformer(patch.crs, "EPSG:4326").transform(
        affine.c + affine.a * columns, affine.f + affine.e * rows
    )
    return list(zip(lons.tolist(), lats.tolist(), strict=True))


def _row(
    name: str,
    told: str,
    reader: Reader,
    places: list[tuple[float, float]],
    series: Mapping[str, str],
) -> tuple[str, ...]:
    """Time clicks on a half of the places one after the other, on the other half at once."""
    alone, together = places[: len(places) // 2], places[len(places) // 2 :]
    with TestClient(create_app(reader)) as client:

        def click(lon: float, lat: float) -> None:
            query = {"lon": lon, "lat": lat, "year": YEAR, **series}
            answer = client.get("/api/pixel", params=query)
            answer.raise_for_status()
            if len(answer.json()["observations"]) != 70:
                raise RuntimeError(f"{name}: {answer.json()['missing']}")

        first, *others = [_seconds(lambda at=at: click(*at)) for at in alone]
        beside = [_seconds(lambda at=at: click(at[0], at[1] + _ASIDE)) for at in alone[::-1]]
        with ThreadPoolExecutor(_CLIENTS) as clients:
            at_once = list(clients.map(lambda at: _seconds(lambda: click(*at)), together))
    slow = quantiles(others, n=20)[-1]
    figures = first, median(others), slow, median(beside), median(at_once)
    return name, told, *(f"{one * 1e3:.0f} ms" for one in figures)


def _seconds(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@contextmanager
def _on_seaweedfs(folder: Path, reader: Reader) -> Iterator[Reader]:
    """The same store in a bucket."""
    with seaweedfs(folder) as server:
        variables = {
            "AWS_SHARED_CREDENTIALS_FILE": str(server.credentials),
            "AWS_PROFILE": "owner",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with replaced.dict(os.environ, variables):
            url, settings = f"s3://{BUCKET}/story", {"endpoint": server.endpoint}
            (patch,) = reader.artefacts.grid.keys
            target = Store(url, lc_platform.config.ObjectStore.model_validate(settings))
            stores.copy(reader, target, patch, YEAR)
            yield lc_platform.open(url, object_store=settings)
