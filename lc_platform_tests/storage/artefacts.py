"""Artefacts that tell which version they are in every part, so that a mixture shows."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.artefacts.formats import CogFormat, Format, ModelFormat, SamplesFormat, ZarrFormat
from lc_platform.cube import MAIN, Block, Layer, LazyCube, Summary, windows
from lc_platform.products.model import LandCoverModel
from lc_platform.products.training_samples import Samples
from lc_platform.storage.store import Store

CLASSES = {1: ("forest", "#006400"), 2: ("water & ice", "#0064c8"), 4: ("town", "#fa0000")}

FORMATS: dict[str, tuple[str, Format]] = {
    "zarr": ("raw_bands/2020/p.zarr", ZarrFormat(lambda cube: cube)),
    "cog": ("predictions/2020/p.tif", CogFormat(lambda cube: cube)),
    "parquet": ("training_samples/2020/p.parquet", SamplesFormat()),
    "model": ("model/2020", ModelFormat()),
}


def geobox(rows: int = 600, columns: int = 300, left: float = 5e5, top: float = 5e6) -> GeoBox:
    return GeoBox((rows, columns), Affine(10, 0, left, 0, -10, top), "EPSG:32633")


def noise(version: int, shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """Values between 1 and 250 that belong to a version and do not compress."""
    return np.random.default_rng(version).integers(1, 251, shape).astype(dtype)


def cube(
    version: int, layers: dict[str, Layer], killed_at: int | None = None, grid: GeoBox | None = None
) -> LazyCube:
    """A cube of noise; the process that writes it is killed at a block."""
    grid = grid or geobox()

    def blocks(summary: Summary) -> Iterator[Block]:
        at = 0
        for name, spec in layers.items():
            values = noise(version, (*(2 for _ in spec.dims), *grid.shape), spec.dtype)
            for window in windows(grid.shape, 256):
                if at == killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                at += 1
                index = tuple(slice(0, 2) for _ in spec.dims)
                yield Block(name, index, window, values[(..., *window)])
        summary.table["version"] = np.array([version])

    return LazyCube(
        {MAIN: grid},
        layers,
        blocks,
        {"time": np.array(["2020-01-01", "2020-02-01"], "datetime64[s]")},
        {"version": version, "model_version": "m"},
        legend=CLASSES if "class" in layers else {},
    )


def artefact(kind: str, version: int, killed_at: int | None = None) -> Any:
    if kind == "zarr":
        layer = Layer(("time",), "uint16", fill=0, chunks=(2,), tile=256)
        return cube(version, {"values": layer}, killed_at)
    if kind == "cog":
        bands = {"class": Layer((), "uint8", fill=0), "confidence": Layer((), "uint8")}
        computed = cube(version, bands, killed_at)
        computed.figures = {".png": lambda _: str(version).encode()}
        return computed
    if kind == "parquet":
        count = 20_000
        return Samples(
            "p",
            version,
            ("a", "b"),
            noise(version, (count, 2), "float32"),
            noise(version, (count,), "uint8"),
            np.arange(count, dtype=np.int32),
            np.arange(count, dtype=np.int32),
            np.arange(count, dtype=np.uint32),
        )
    card = {"year": version, "classes": [{"id": 1, "name": "a"}], "features": ["a"]}
    return LandCoverModel(f"tree {version}\n" * 20_000, card)


def version_of(kind: str, value: Any) -> int:
    """The version that all of an artefact is of. Raises AssertionError where it is a mixture."""
    if kind in ("zarr", "cog"):
        version = int(value.attributes["version"])
        for name, spec in value.layers.items():
            found = value.read(name)
            assert np.array_equal(found, noise(version, found.shape, spec.dtype)), name
        return version
    if kind == "parquet":
        assert np.array_equal(value.features, noise(value.year, value.features.shape, "float32"))
        return int(value.year)
    version = int(value.card["year"])
    assert value.text.startswith(f"tree {version}\n")
    return version


def write(store: Store, kind: str, version: int, killed_at: int | None = None) -> None:
    key, form = FORMATS[kind]
    form.write(store, key, artefact(kind, version, killed_at))


def stored(store: Store, kind: str) -> int:
    """The version in the store."""
    key, form = FORMATS[kind]
    return version_of(kind, form.open(store, key))


def table_version(content: bytes) -> int:
    return int(pq.read_table(io.BytesIO(content))["version"][0].as_py())


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["pytest", __name__])


def started(work: Callable[..., Any], *given: Any) -> Any:
    """A process that does some work."""
    process = _processes.Process(target=work, args=given, daemon=True)
    process.start()
    return process


def elsewhere(work: Callable[..., Any], *given: Any) -> Any:
    """What work gives in a process of its own; an error as (its type's name, its words)."""
    ours, theirs = _processes.Pipe()
    process = started(_answer, theirs, work, *given)
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join()


def _answer(pipe: Any, work: Callable[..., Any], *given: Any) -> None:
    try:
        pipe.send(work(*given))
    except Exception as error:
        pipe.send((type(error).__name__, str(error)))
