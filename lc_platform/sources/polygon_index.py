"""Polygons of a reference, or of objects, in an indexed copy: found by place, whatever the file.

Most formats must be read from beginning to end to find what lies in a box, and where one has an
index beside it (.qix, .sbn), that may be older than the polygons. So the layers are read once, in
order, and their polygons written to FlatGeobuf, whose index is part of the file. The copy is known
by the content of what it was made of; it lies in the cache of this machine, where it is used again
until the reference changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError

from lc_platform.area.boundary import default_cache
from lc_platform.area.vector_layers import Layer, VectorFileError, batches, layers
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_classes import word

_FORMAT = "2"
"""Of the copies; another one makes them anew."""
_ABOUT = "about.json"
_ORDER, _GEOMETRY = "feature", "geometry"
_BATCH = 16384
_KEPT = 90 * 24 * 3600.0
"""Seconds after which a copy that nobody has used is removed."""
_POLYGONAL = (3, 6, 7, 10, 12, 15, 16, 17)
"""Types of well-known binary that enclose an area, or may hold one that does."""
READ_ERRORS = (
    DataSourceError, DataLayerError, FeatureError, GeometryError, pa.ArrowException, OSError,
)  # fmt: skip


@dataclass(frozen=True)
class Features:
    """Some features of a layer."""

    number: NDArray[np.int64]
    """(feature,), in the order of the file: from 0."""
    words: Mapping[str, Sequence[str]]
    """Values by attribute, each (feature,)."""
    geometry: NDArray[Any]
    """(feature,), as they were drawn."""


@dataclass(frozen=True)
class IndexedLayer:
    """The polygons of a layer."""

    name: str
    crs: str | None
    file: Path | None
    """None where there is no polygon."""
    attributes: tuple[str, ...]
    combinations: Mapping[tuple[str, ...], int]
    """Features by the words of their attributes."""
    others: int
    """Features that are no polygons, and are left out."""
    features: int
    """All features of the layer, also those without geometry."""

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        if self.file is None:
            return None
        west, south, east, north = pyogrio.read_info(self.file)["total_bounds"]
        return west, south, east, north

    def within(self, box: tuple[float, float, float, float], most: int | None = None) -> Features:
        """Return the features that touch a box, in their order, or ``most`` of them.

        box  (west, south, east, north) in the layer's CRS
        """
        if self.file is None:
            none = np.empty(0, object)
            return Features(np.empty(0, np.int64), dict.fromkeys(self.attributes, ()), none)
        meta, _, geometry, fields = pyogrio.raw.read(self.file, bbox=box, max_features=most)
        by_name = dict(zip(meta["fields"], fields, strict=True))
        number = by_name[_ORDER]
        order = np.argsort(number, kind="stable")
        words = {
            attribute: by_name[_column(i)][order].tolist()
            for i, attribute in enumerate(self.attributes)
        }
        return Features(number[order], words, shapely.from_wkb(geometry[order]))

    def batches(self) -> Iterator[tuple[NDArray[np.int64], Mapping[str, list[str]], pa.Array]]:
        """Yield all features, some thousands at a time, those that are near each other together:
        their numbers, words by attribute, and geometries as well-known binary."""
        if self.file is None:
            return
        with pyogrio.open_arrow(self.file, batch_size=_BATCH, use_pyarrow=True) as (meta, reader):
            for batch in reader:
                words = {
                    attribute: batch.column(_column(i)).to_pylist()
                    for i, attribute in enumerate(self.attributes)
                }
                geometry = batch.column(meta["geometry_name"] or "wkb_geometry")
                yield batch.column(_ORDER).to_numpy(), words, _binary(geometry)


def indexed(
    chosen: Sequence[Layer],
    attributes: Sequence[str],
    digest: str | None,
    key: str = "reference.path",
    tally: bool = True,
) -> list[IndexedLayer]:
    """Return the layers' polygons, from the copy of before where there is one.

    attributes  that are wanted; of one that a layer does not have its features have no value
    digest      names the content of what the layers are in; where None the copy is used by this
                process alone
    key         of the configuration, which messages begin with
    tally       whether features are counted by their words, which are few

    Raises SourceError where the layers cannot be read, or no copy can be written.
    """
    if digest is None:
        folder = Path(tempfile.mkdtemp(prefix="lc_platform-"))
        _remove_at_exit(folder)
        _write(folder / "0", chosen, attributes, key, tally)
        return _read(folder / "0")
    named = [
        "polygons" if tally else "objects",
        digest,
        [layer.name for layer in chosen],
        list(attributes),
    ]
    kept = _cached(named, lambda folder: _write(folder, chosen, attributes, key, tally))
    if kept is None:
        raise SourceError(
            f"{key}: its polygons are copied once to find them by place, and neither "
            f"the user's cache nor {tempfile.gettempdir()} can be written. Set XDG_CACHE_HOME to a "
            "folder that can"
        )
    return _read(kept)


def layers_of(path: str, digest: str | None) -> list[Layer]:
    """Return the layers of a file, as they were found before where it has not changed: to list
    those of a large GeoJSON is to read it.

    Raises what `vector_layers.layers` raises.
    """
    if digest is None:
        return layers(path)
    found: list[Layer] = []

    def write(folder: Path) -> None:
        found.extend(layers(path))
        (folder / _ABOUT).write_text(json.dumps([asdict(layer) for layer in found]))

    # Under another name than before layers knew the encoding of their text.
    kept = _cached(["layers of known encoding", digest, path], write)
    if kept is None or found:
        return found or layers(path)
    about = json.loads((kept / _ABOUT).read_text())
    return [Layer(**{**layer, "fields": tuple(layer["fields"])}) for layer in about]


def _cached(named: Sequence[Any], write: Callable[[Path], None]) -> Path | None:
    """Return the cached folder of a name, written where there is none yet; None where nothing can
    be written."""
    key = hashlib.sha256(json.dumps([_FORMAT, *named]).encode()).hexdigest()[:24]
    caches = _caches()
    for cache in caches:
        if (cache / key / _ABOUT).exists():
            return cache / key
    for cache in caches:
        with _made_whole(cache, key) as partial:
            if partial is not None:
                write(partial)
        if (cache / key / _ABOUT).exists():
            return cache / key
    return None


def _caches() -> list[Path]:
    """Return the folders of copies: the cache, else this user's own temporary folder."""
    found = []
    with suppress(RuntimeError):  # of a user without a home, as in some containers
        found.append(default_cache() / "reference")
    folder = Path(tempfile.gettempdir()) / f"lc_platform-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid == os.getuid():  # another user may have made it
            found.append(folder / "reference")
    return found


def _remove_at_exit(folder: Path) -> None:
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)


@contextmanager
def _made_whole(place: Path, key: str) -> Iterator[Path | None]:
    """A folder that becomes visible when it is whole; None where none can be made."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=place))
    except OSError:
        yield None
        return
    try:
        _sweep(place)
        yield partial
        try:
            partial.rename(place / key)
        except OSError:
            if not (place / key / _ABOUT).exists():  # else another process was faster
                shutil.rmtree(place / key, ignore_errors=True)  # somebody has damaged it
                partial.rename(place / key)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove copies that nobody has used for long, and what killed processes have left."""
    now = time.time()
    for folder in place.iterdir():
        about = folder / _ABOUT
        try:
            used = (about if about.exists() else folder).stat().st_mtime
        except OSError:
            continue  # another process removes it
        if now - used > (_KEPT if about.exists() else 24 * 3600.0):
            shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path) -> list[IndexedLayer]:
    about = json.loads((folder / _ABOUT).read_text())
    with suppress(OSError):  # a copy that may not be touched can still be read
        os.utime(folder / _ABOUT)
    return [
        IndexedLayer(
            layer["name"],
            layer["crs"],
            folder / layer["file"] if layer["file"] else None,
            tuple(about["attributes"]),
            {tuple(words): count for words, count in layer["combinations"]},
            layer["others"],
            layer["features"],
        )
        for layer in about["layers"]
    ]


def _write(
    folder: Path, chosen: Sequence[Layer], attributes: Sequence[str], key: str, tally: bool
) -> None:
    folder.mkdir(exist_ok=True)
    found = []
    for i, layer in enumerate(chosen):
        copy = _Copy(layer, attributes, key, tally)
        file = folder / f"{i}.fgb"
        copy.write(file)
        found.append(
            {
                "name": layer.name,
                "crs": layer.crs,
                "file": file.name if copy.polygons else None,
                "combinations": [[list(w), n] for w, n in copy.combinations.items()],
                "others": copy.others,
                "features": copy.features,
            }
        )
    about = {"attributes": list(attributes), "layers": found}
    (folder / _ABOUT).write_text(json.dumps(about))


class _Copy:
    """A layer on its way into its copy."""

    def __init__(self, layer: Layer, attributes: Sequence[str], key: str, tally: bool) -> None:
        self._layer = layer
        self._tally = tally
        self._key = key
        self._attributes = attributes
        self._schema = pa.schema(
            [
                (_ORDER, pa.int64()),
                *((_column(i), pa.string()) for i in range(len(attributes))),
                (_GEOMETRY, pa.binary()),
            ]
        )
        self._damage: Exception | None = None
        self.combinations: Counter[tuple[str, ...]] = Counter()
        self.polygons = 0
        self.others = 0
        self.features = 0

    def write(self, file: Path) -> None:
        stream = pa.RecordBatchReader.from_batches(self._schema, self._noted())
        try:
            pyogrio.write_arrow(
                stream, file, driver="FlatGeobuf", geometry_name=_GEOMETRY,
                geometry_type="Unknown", crs=self._layer.crs,
            )  # fmt: skip
        except (*READ_ERRORS, RuntimeError) as error:
            if isinstance(self._damage, VectorFileError):
                raise SourceError(f"{self._key}: {self._damage}") from self._damage
            if self._damage is not None:
                raise SourceError(
                    f"{self._key}: {self._layer.dataset} cannot be read ({self._damage}). Give "
                    "a file that GDAL reads; this one may be damaged"
                ) from self._damage
            raise SourceError(
                f"{self._key}: its polygons are copied once to find them by place, and {file} "
                f"cannot be written ({error}). Make room, or set XDG_CACHE_HOME to another folder"
            ) from error

    def _noted(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches; an error of reading, which the writer takes for its own, is noted."""
        try:
            yield from self._batches()
        except (*READ_ERRORS, VectorFileError) as error:
            self._damage = error
            raise

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with batches(self._layer, self._attributes) as (geometry_name, source):
            for batch in source:
                geometry = batch.column(geometry_name)
                drawn, empty = _kinds(geometry)
                self.others += int((~drawn & ~empty).sum())
                words = [_words(batch, attribute) for attribute in self._attributes]
                numbers = pa.array(np.arange(self.features, self.features + len(batch)))
                self.features += len(batch)
                whole = pa.RecordBatch.from_arrays(
                    [numbers, *words, _binary(geometry)], schema=self._schema
                ).filter(pa.array(drawn))
                self.polygons += len(whole)
                if self._tally:
                    self._count(whole)
                if len(whole):
                    yield whole

    def _count(self, batch: pa.RecordBatch) -> None:
        table = pa.Table.from_batches([batch]).drop_columns([_ORDER, _GEOMETRY])
        if not table.num_columns:
            return
        for row in table.group_by(table.column_names).aggregate([([], "count_all")]).to_pylist():
            count = row.pop("count_all")
            self.combinations[tuple(row[name] for name in table.column_names)] += count


def _column(i: int) -> str:
    """Return the copy's name of an attribute, whose own may be any text."""
    return f"attribute_{i}"


def _words(batch: pa.RecordBatch, attribute: str) -> pa.Array:
    if attribute not in batch.schema.names:
        return pa.array([word(None)] * len(batch), pa.string())
    column = batch.column(attribute)
    if isinstance(column, pa.DictionaryArray):
        column = column.indices  # coded values; the dictionary has their descriptions
    try:
        coded = column.dictionary_encode(null_encoding="encode")
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # lists and the like
        return pa.array([word(value) for value in column.to_pylist()], pa.string())
    words = pa.array([word(value) for value in coded.dictionary.to_pylist()], pa.string())
    return pc.take(words, coded.indices)


def _binary(geometry: pa.Array) -> pa.Array:
    storage = geometry.storage if isinstance(geometry, pa.ExtensionArray) else geometry
    return storage.cast(pa.binary())


def _kinds(geometry: pa.Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which geometries may enclose an area, and which are missing, each (feature,)."""
    binary = _binary(geometry)
    head = pc.binary_slice(binary, 0, 5)
    missing = np.asarray(pc.is_null(head))
    known = np.frombuffer(
        b"".join(pc.fill_null(head, b"\x01\x00\x00\x00\x00").to_pylist()), np.uint8
    ).reshape(-1, 5)
    little, big = (known[:, 1:].copy().view(order).ravel() for order in ("<u4", ">u4"))
    code = np.where(known[:, 0] == 1, little, big)
    # Of three dimensions or measures, in the extended way or that of ISO.
    kind = (code & 0x1FFFFFFF) % 1000
    return np.isin(kind, _POLYGONAL), missing
