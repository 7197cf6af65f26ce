"""Cubes as Zarr v3 stores that xarray and GDAL open."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import threading
import uuid
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from zarr.abc.codec import BytesBytesCodec
from zarr.abc.store import Store as ZarrStore
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath

from lc_platform.cube import (
    Block,
    Calibration,
    Checkpoint,
    Layer,
    LazyCube,
    ReusedPart,
    Window,
    whole,
    windows,
)
from lc_platform.runtime.overlap import write_behind
from lc_platform.runtime.progress import track
from lc_platform.storage import partial_writes
from lc_platform.storage.errors import (
    DamagedArtefactError,
    MissingArtefactError,
    StorageError,
    UnavailableError,
)
from lc_platform.storage.partial_writes import PartialWrite
from lc_platform.storage.selection import positive, runs_of
from lc_platform.storage.shards import KeptChunks, ShardedArray, UnknownStorageError
from lc_platform.storage.staging import MARKS, Staging
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_stores import Fresh, Strict

_AT_ONCE = 2048
"""Pixels along the side of what is read together to see whether it can be."""
CHUNK = 256
"""Pixels along the side of what is compressed together: one window is a few of them."""

ATTRIBUTE = "lc_platform"
_LAYOUT = "layout"
LAYOUT = f"{CHUNK} 2"
"""Of the files of an array: another number where chunks, shards or compression change, so that
files of another layout are not taken over."""


_CHOOSING = threading.RLock()
"""Held while arrays are opened or made, because Zarr's configuration is the process's."""
_PROCESS = os.getpid()


@contextmanager
def _in_rust() -> Iterator[None]:
    """Arrays of a folder that are opened within are read and written in a third of the time of
    Zarr's own way.

    But a part that is missing is read as fill values, and one that has nothing else is not
    written, whatever the configuration says: see ``_missing``. The threads do not survive a fork;
    there it is Zarr's own way.
    """
    forked = os.getpid() != _PROCESS
    settings = {} if forked else {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}
    with _CHOOSING, zarr.config.set(settings):
        yield


@contextmanager
def _system_errors() -> Iterator[None]:
    """What the system refused is an OSError again, which Rust tells in words."""
    try:
        yield
    except RuntimeError as error:
        if told := re.search(r"(.*)\(os error (\d+)\)", str(error)):
            raise OSError(int(told[2]), told[1].strip()) from error
        raise


_NOT_DAMAGE = {
    errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE,
    errno.ETIMEDOUT,
}  # fmt: skip


def _open(store: Store, path: str, read_only: bool) -> ZarrStore:
    if store.local:
        return LocalStore(Path(path), read_only=read_only)
    return FsspecStore(store.asynchronous, path=path, read_only=read_only)


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def write(store: Store, key: str, cube: LazyCube) -> int:
    """Write a cube while it is computed; returns the bytes stored.

    Nothing is visible under ``key`` before all of it is written.
    """
    with store.folder(key) as staging:
        if store.local:
            _write_in_folder(staging, cube)
        else:
            _write_in_objects(staging, cube)
        found = store.fs.find(staging.path, detail=True)
        marks = f"{staging.path}/{MARKS}/"
        size = sum(int(one["size"]) for path, one in found.items() if not path.startswith(marks))
    if staging.marked:
        # Not before it is there: where the last step fails, what is marked is kept. Whole it is.
        with contextlib.suppress(StorageError, OSError), store.reaching(store.path(key)):
            partial_writes.unmark(store, staging.path)
    return size


def _write_in_folder(staging: Staging, cube: LazyCube) -> None:
    path = staging.path
    target = LocalStore(path)
    root, arrays = _laid_out(target, cube)
    with _in_rust():
        fast = {name: zarr.open_array(target, path=arrays[name].path) for name in arrays}

    def put(part: Block | ReusedPart | Checkpoint) -> None:
        if isinstance(part, Checkpoint):
            _mark(staging, part)
            return
        if isinstance(part, ReusedPart) and _taken_over(part, arrays[part.layer], path):
            return
        block = cube.block(part) if isinstance(part, ReusedPart) else part
        where = (*block.index, *block.window)
        with _system_errors():
            fast[block.layer][where] = block.values
        if _missing(Path(path), fast[block.layer], where):
            arrays[block.layer][where] = block.values

    write_behind(put, cube.parts())
    _describe(root, cube)


def _write_in_objects(staging: Staging, cube: LazyCube) -> None:
    # All but the layers' values is made in memory, where Zarr may ask for it as often as it does.
    store, path = staging.store, staging.path
    held: dict[str, Buffer] = {}
    root, arrays = _laid_out(MemoryStore(held), cube)
    target = Fresh(_open(store, path, read_only=False))
    _send(staging, cube, {name: _moved(array, target) for name, array in arrays.items()})
    _describe(root, cube)
    last = held.pop(_ROOT)
    store.fs.pipe({f"{path}/{key}": content.to_bytes() for key, content in held.items()})
    store.fs.pipe_file(f"{path}/{_ROOT}", last.to_bytes())


def _mark(staging: Staging, mark: Checkpoint) -> None:
    staging.marked = True
    staging.worth_keeping |= mark.new
    content = {**mark.content, _LAYOUT: LAYOUT}
    partial_writes.mark(staging.store, staging.path, mark._replace(content=content))


def _taken_over(kept: ReusedPart, array: zarr.Array[Any], path: str) -> bool:
    """Whether the files of what is kept are now those of the store in the making too."""
    if not isinstance(kept.origin, PartialWrite):
        return False
    kept.origin.take_over(kept.at, array, path, kept.position)
    return True


_ROOT = "zarr.json"


def _laid_out(target: ZarrStore, cube: LazyCube) -> tuple[zarr.Group, dict[str, zarr.Array[Any]]]:
    """A new store's root, and the arrays of its layers."""
    with _CHOOSING, zarr.config.set({"array.write_empty_chunks": True}):
        root = zarr.create_group(target, zarr_format=3)
        return root, _create(root, cube)


def _moved(array: zarr.Array[Any], target: ZarrStore) -> zarr.Array[Any]:
    """An array whose values lie in another store than its description."""
    moved = StorePath(target, array.path)
    return zarr.Array(zarr.AsyncArray(array.metadata, moved, array.async_array.config))


def _describe(root: zarr.Group, cube: LazyCube) -> None:
    for layer, calibration in cube.calibrations().items():
        _calibrate(root, layer, cube.layers[layer], calibration)
    root.attrs.update(_attributes(cube))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        warnings.filterwarnings("ignore", message=f"Object at {MARKS}")
        zarr.consolidate_metadata(root.store)


_ON_THE_WAY = 3
"""Blocks that are sent to an object store while the next one is computed."""


def _send(staging: Staging, cube: LazyCube, arrays: Mapping[str, zarr.Array[Any]]) -> None:
    """Write to an object store, several parts at the same time where each is whole shards."""
    sending: deque[Future[Any]] = deque()
    fs, kept = staging.store.fs, KeptChunks()
    sharded = {name: ShardedArray(one, staging.path, fs, kept) for name, one in arrays.items()}

    def wait(left: int) -> None:
        while len(sending) > left:
            sending.popleft().result()

    with ThreadPoolExecutor(_ON_THE_WAY, thread_name_prefix="send") as pool:
        for part in cube.parts():
            if isinstance(part, Checkpoint):
                wait(0)
                _mark(staging, part)
                continue
            array = arrays[part.layer]
            if isinstance(part, ReusedPart) and isinstance(part.origin, PartialWrite):
                wait(_ON_THE_WAY - 1)
                sending.append(pool.submit(_taken_over, part, array, staging.path))
                continue
            block = cube.block(part) if isinstance(part, ReusedPart) else part
            where = (*block.index, *block.window)
            alone = not _whole_shards(array, where)
            # A part of a shard is added to what is there: two at once would lose one.
            wait(0 if alone else _ON_THE_WAY - 1)
            put = array.__setitem__ if alone else sharded[part.layer].write
            sending.append(pool.submit(put, where, block.values))
            if alone:
                wait(0)
        wait(0)


def _whole_shards(array: zarr.Array[Any], where: Sequence[slice]) -> bool:
    for one, size, length in zip(where, array.shape, array.shards or array.chunks, strict=True):
        start, stop, _ = one.indices(size)
        if start % length or (stop % length and stop != size):
            return False
    return True


def _create(root: zarr.Group, cube: LazyCube) -> dict[str, zarr.Array[Any]]:
    arrays = {}
    for name, grid in cube.grids.items():
        group = root.require_group(name) if name else root
        _coordinates(group, grid)
        prefix = f"{name}/" if name else ""
        dims = {d for spec in cube.layers.values() if spec.grid == name for d in spec.dims}
        for dim in sorted(dims):
            _labels(group, _short(dim), cube.coordinates[dim])
        for layer, spec in cube.layers.items():
            if spec.grid == name:
                arrays[layer] = _array(group, layer.removeprefix(prefix), cube, layer, spec)
    return arrays


def _array(
    group: zarr.Group, name: str, cube: LazyCube, layer: str, spec: Layer
) -> zarr.Array[Any]:
    shape = cube.shape(layer)
    lead = tuple(spec.chunks or (1,) * len(spec.dims))
    sides = tuple(min(CHUNK, spec.tile, length) for length in shape[-2:])
    whole_sides = tuple(
        min(spec.tile // side, -(-length // side)) * side
        for side, length in zip(sides, shape[-2:], strict=True)
    )
    array = group.create_array(
        name,
        shape=shape,
        dtype=spec.dtype,
        chunks=(*(spec.compressed or (1,) * len(spec.dims)), *sides),
        shards=(*(min(a, max(b, 1)) for a, b in zip(lead, shape, strict=False)), *whole_sides),
        compressors=_compressors(np.dtype(spec.dtype)),
        fill_value=0 if spec.fill is None else spec.fill,
        dimension_names=(*(_short(d) for d in spec.dims), "y", "x"),
    )
    array.attrs.update({"grid_mapping": "spatial_ref", **spec.attributes})
    if spec.fill is not None:
        fill = float(spec.fill) if np.issubdtype(np.dtype(spec.dtype), np.floating) else spec.fill
        if fill == fill:
            array.attrs["nodata"] = fill
    return array


def _compressors(dtype: np.dtype[Any]) -> tuple[BytesBytesCodec, ...]:
    """For digital numbers and masks the smallest. Of floats neither is: their last digits are
    noise, and the faster takes a fifth of the time for the same size. A checksum at last, so that
    who reads what the disk has changed is told."""
    if np.issubdtype(dtype, np.floating):
        return BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()
    return BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec()


def _coordinates(group: zarr.Group, grid: GeoBox) -> None:
    assert grid.crs is not None
    affine = grid.affine
    rows, columns = grid.shape
    for name, start, step, count in (
        ("y", affine.f, affine.e, rows),
        ("x", affine.c, affine.a, columns),
    ):
        centres = start + step * (np.arange(count) + 0.5)
        array = group.create_array(name, data=centres, dimension_names=(name,))
        array.attrs.update({"standard_name": f"projection_{name}_coordinate", "units": "m"})
    reference = group.create_array("spatial_ref", data=np.array(0, dtype="int32"))
    reference.attrs.update(
        {
            "crs_wkt": grid.crs.wkt,
            "spatial_ref": grid.crs.wkt,
            "GeoTransform": " ".join(repr(float(v)) for v in affine.to_gdal()),
        }
    )


def _labels(group: zarr.Group, dim: str, labels: NDArray[Any]) -> None:
    attributes: dict[str, Any] = {}
    if np.issubdtype(labels.dtype, np.datetime64):
        labels = labels.astype("datetime64[s]").astype(np.int64)
        attributes = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
    elif labels.dtype.kind == "U":
        labels = labels.astype(np.dtypes.StringDType())
    array = group.create_array(dim, data=labels, dimension_names=(dim,))
    array.attrs.update(attributes)


def _calibrate(root: zarr.Group, layer: str, spec: Layer, calibration: Calibration) -> None:
    """Say in CF's terms what a layer's numbers stand for.

    Where one scale and one offset hold for all of it, they are its attributes, and who decodes CF
    (as xarray does) reads the quantity itself. CF knows no others: where they change along time
    or band they are coordinates of these names, and a comment says what has to be done with them.
    """
    array, name = root[layer], _short(layer)
    about: dict[str, Any] = {"long_name": f"{calibration.quantity}, as numbers of the archive"}
    if calibration.missing is not None:
        about["_FillValue"] = calibration.missing
    numbers = {"scale_factor": calibration.scale, "add_offset": calibration.offset}
    changing = [
        axis
        for axis in range(len(spec.dims))
        if any((v != v.take([0], axis)).any() for v in numbers.values() if v.size)
    ]
    if not changing and calibration.scale.size:
        about |= {key: float(values.flat[0]) for key, values in numbers.items()}
        about["long_name"] = calibration.quantity
    elif changing:
        group = root[spec.grid] if spec.grid else root
        dims = tuple(_short(spec.dims[axis]) for axis in changing)
        along = tuple(slice(None) if a in changing else 0 for a in range(len(spec.dims)))
        for key, values in numbers.items():
            group.create_array(key, data=values[along], dimension_names=dims)  # type: ignore[union-attr]
        about["coordinates"] = " ".join(numbers)
        about["comment"] = f"{calibration.quantity} = {name} * scale_factor + add_offset"
    array.attrs.update(about)


def _attributes(cube: LazyCube) -> dict[str, Any]:
    grids = {
        name: {"crs": str(g.crs), "affine": list(g.affine)[:6], "shape": list(g.shape)}
        for name, g in cube.grids.items()
    }
    # Names this writing of it: what was made of another one is told from what was made of this.
    attributes = {**cube.attributes, "content_id": uuid.uuid4().hex}
    # Of all other grids the times are those of the main one.
    own_times = [name for name in grids if f"{name}/time" in cube.coordinates]
    about = {"grids": grids, "own_times": own_times, "attributes": attributes, _LAYOUT: LAYOUT}
    return {ATTRIBUTE: about}


class ZarrCube:
    """A stored cube, read by window; holds no pixels."""

    def __init__(self, store: Store, key: str, kept: KeptChunks | None = None) -> None:
        """
        kept  what is kept of files in an object store; their indexes alone, for this cube, where
              None
        """
        if not store.exists(key):
            raise MissingArtefactError(f"{store.path(key)}: is not there. Materialize it first")
        self.path = store.path(key)
        self._store = store
        self._key = key
        self._kept = KeptChunks() if kept is None else kept
        try:
            with _CHOOSING:
                store.current(key, lambda path: self._describe(path, store))
        except (KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
            _check_is_damage(self.path, error)
            raise DamagedArtefactError(
                f"{self.path}: is not a cube of this platform, or is damaged ({error}). "
                "Materialize it again",
                key,
            ) from error

    def _describe(self, physical: str, store: Store) -> None:
        source = _open(store, physical, read_only=True)
        strict = zarr.open_group(Strict(source), mode="r", zarr_format=3, use_consolidated=True)
        about: Mapping[str, Any] = strict.attrs[ATTRIBUTE]  # type: ignore[assignment]
        self.layout = str(about.get(_LAYOUT))
        self._folder = Path(physical) if store.local else None
        self._process = os.getpid()
        self.opened = physical
        if store.local:
            with _in_rust():
                members = dict(zarr.open_group(source, mode="r").members(max_depth=None))
        else:
            members = dict(strict.members(max_depth=None))
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._sharded: dict[str, ShardedArray] = {}
        self.grids: Mapping[str, GeoBox] = {
            name: GeoBox(tuple(g["shape"]), Affine(*g["affine"]), g["crs"])
            for name, g in about["grids"].items()
        }
        self.attributes: Mapping[str, Any] = about["attributes"]
        own_times = about.get("own_times", ())
        layers: dict[str, Layer] = {}
        coordinates: dict[str, NDArray[Any]] = {}
        for name, array in members.items():
            if not isinstance(array, zarr.Array) or _dims(array)[-2:] != ("y", "x"):
                continue
            grid = name.rpartition("/")[0]
            prefix = f"{grid}/" if grid else ""
            own = _dims(array)[:-2]
            shared = () if grid in own_times else ("time",)
            dims = tuple(d if d in shared else f"{prefix}{d}" for d in own)
            fill: Any = array.attrs.get("nodata")
            layers[name] = Layer(dims, str(array.dtype), grid, fill, attributes=dict(array.attrs))
            self._arrays[name] = array
            if not store.local:
                with contextlib.suppress(UnknownStorageError):
                    self._sharded[name] = ShardedArray(array, physical, store.fs, self._kept)
            for dim, short in zip(dims, own, strict=True):
                coordinates[dim] = _read_labels(strict[f"{prefix}{short}"])
        self.layers: Mapping[str, Layer] = layers
        self.coordinates: Mapping[str, NDArray[Any]] = coordinates

    def read(
        self, layer: str, window: Window | None = None, **select: int | slice | Sequence[int]
    ) -> NDArray[Any]:
        """A layer's values in a window; see `lc_platform.cube.Cube.read`.

        Raises StorageError where a part of the store is missing, or cannot be reached.
        """
        if self._process != os.getpid():
            with _CHOOSING:
                self._describe(self.opened, self._store)
        array = self._arrays[layer]
        asked = [select.get(d, slice(None)) for d in _dims(array)]
        asked[-2:] = whole(self.grids[self.layers[layer].grid]) if window is None else window
        picked = [positive(one, n) for one, n in zip(asked, array.shape, strict=True)]
        shape = [
            len(range(*one.indices(length))) if isinstance(one, slice) else len(one)
            for one, length in zip(picked, array.shape, strict=True)
            if not isinstance(one, int)
        ]
        runs = list(runs_of(picked, array.shape))
        try:
            with self._store.reaching(self.path):
                if len(runs) == 1:
                    return self._selected(layer, runs[0][0])
                result = np.empty(shape, array.dtype)
                for (_, here), part in zip(runs, self._each(layer, runs), strict=True):
                    result[here] = part
        except (OSError, ValueError, RuntimeError) as error:
            _check_is_damage(self.path, error)
            problem = f"{layer} is damaged ({error})"
            raise self._store.unreadable(self._key, self.opened, problem) from error
        return result

    def _selected(self, layer: str, wanted: tuple[int | slice, ...]) -> NDArray[Any]:
        if layer in self._sharded:
            return self._sharded[layer].read(wanted)
        array = self._arrays[layer]
        found: NDArray[Any] = np.asarray(array[wanted])
        self._check_was_there(array, wanted)
        return found

    def _each(
        self, layer: str, runs: Sequence[tuple[tuple[int | slice, ...], tuple[slice, ...]]]
    ) -> Iterable[NDArray[Any]]:
        if layer in self._sharded:
            return self._sharded[layer].read_together([there for there, _ in runs])
        return (self._selected(layer, there) for there, _ in runs)

    def check(self) -> None:
        """Read all of it. Raises StorageError where a part is missing or damaged."""
        parts = [
            (name, {layer.dims[0].rpartition("/")[2]: position} if layer.dims else {}, window)
            for name, layer in self.layers.items()
            for position in range(len(self.coordinates[layer.dims[0]]) if layer.dims else 1)
            for window in windows(self.grids[layer.grid].shape, _AT_ONCE)
        ]
        for name, along, window in track(parts, "windows", len(parts)):
            self.read(name, window, **along)

    def _check_was_there(self, array: zarr.Array[Any], wanted: tuple[int | slice, ...]) -> None:
        """Raises FileNotFoundError where a part is missing now that it has been read: parts go,
        but never come back."""
        if self._folder is not None and (missing := _missing(self._folder, array, wanted)):
            raise FileNotFoundError(f"{missing} is missing")


def _check_is_damage(path: str, error: Exception) -> None:
    """Raises UnavailableError where the system refuses for now, which says nothing of the files."""
    told = re.search(r"os error (\d+)", str(error))  # Rust's, which tells it in words
    number = getattr(error, "errno", None) or (int(told[1]) if told else None)
    if number in _NOT_DAMAGE:
        raise UnavailableError(f"{path}: cannot be read now ({error}). Run again") from error


def remaining(store: Store, key: str) -> list[PartialWrite]:
    """What is there of a cube that is written again: of the current one, and of writings that did
    not end; of the same layout."""
    found: list[PartialWrite] = []
    try:
        cube = ZarrCube(store, key)
    except StorageError as error:
        if not isinstance(error, MissingArtefactError | DamagedArtefactError):
            raise
    else:
        if cube.layout == LAYOUT:
            found.append(PartialWrite(store, key, cube.opened, (), cube))
    with store.reaching(store.path(key)):
        for path in store.versions(key):
            marks = partial_writes.marks(store, path)
            same = tuple(m for m in marks if m.get(_LAYOUT) == LAYOUT)
            found.append(PartialWrite(store, key, path, same))
    return found


def _missing(folder: Path, array: zarr.Array[Any], wanted: tuple[int | slice, ...]) -> str | None:
    """A file of an array in a folder that should be there for a selection, and is not."""
    parts = []
    for one, size, length in zip(wanted, array.shape, array.shards or array.chunks, strict=True):
        start, stop, _ = one.indices(size) if isinstance(one, slice) else (one, one + 1, 1)
        parts.append(range(start // length, -(-stop // length)))
    for part in itertools.product(*parts):
        file = "/".join((array.path, "c", *map(str, part)))
        if not os.path.exists(f"{folder}/{file}"):  # noqa: PTH110 - of hundreds a click
            return file
    return None


def _dims(array: zarr.Array[Any]) -> tuple[str, ...]:
    names = array.metadata.dimension_names  # type: ignore[union-attr]
    return tuple(str(name) for name in names or ())


def _read_labels(array: Any) -> NDArray[Any]:
    labels: NDArray[Any] = array[:]
    return labels.astype("datetime64[s]") if "units" in array.attrs else labels
