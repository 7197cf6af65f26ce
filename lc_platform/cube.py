"""Raster stacks that are read by window and computed by window.

A `Cube` is a set of named layers on one or more grids, which is read a window at a time.
A `LazyCube` is not computed yet: it says what its layers will look like and yields them block by
block, once, while they are written. Its `summary` is filled while the blocks pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo import Shape2d
from odc.geo.geobox import GeoBox

from lc_platform.runtime.interruption import checkpoint
from lc_platform.runtime.progress import track

Window = tuple[slice, slice]
"""Rows and columns of a grid, half-open, both with start and stop."""

Shape = Shape2d | tuple[int, int]
"""(rows, columns)"""

Legend = Mapping[int, tuple[str, str]]
"""Class id -> (name, colour ``#rrggbb``)"""

MAIN = ""
"""Name of a cube's own grid, that of the patch."""


def windows(shape: Shape, size: int) -> Iterator[Window]:
    """Yield windows of at most ``size`` x ``size`` pixels that tile ``shape`` (rows, columns).

    Raises StopRequested before a window where the work is to end.
    """
    rows, columns = shape
    for row in range(0, rows, size):
        for column in range(0, columns, size):
            checkpoint()
            yield (
                slice(row, min(row + size, rows)),
                slice(column, min(column + size, columns)),
            )


def tracked(shape: Shape, size: int) -> Iterator[Window]:
    """Return the same windows, each of which is a step of the progress that is shown."""
    return track(windows(shape, size), "windows", count_windows(shape, size))


def count_windows(shape: Shape, size: int) -> int:
    """Return how many windows of ``size`` tile ``shape``."""
    rows, columns = shape
    return -(-rows // size) * -(-columns // size)


def whole(geobox: GeoBox) -> Window:
    """Return the window that is all of a grid."""
    return slice(0, geobox.shape[0]), slice(0, geobox.shape[1])


def shifted(window: Window, by: int) -> Window:
    """Return a window further down and to the right by a number of pixels."""
    rows, columns = window
    return slice(rows.start + by, rows.stop + by), slice(columns.start + by, columns.stop + by)


def wider(window: Window, by: int) -> Window:
    """Return a window and a number of pixels more on each side."""
    rows, columns = window
    return slice(rows.start - by, rows.stop + by), slice(columns.start - by, columns.stop + by)


def within(window: Window, shape: Shape) -> Window:
    """Return the part of a window's own rows and columns that lies within 0 and ``shape``."""
    rows, columns = (
        slice(max(side.start, 0) - side.start, max(min(side.stop, length) - side.start, 0))
        for side, length in zip(window, shape, strict=True)
    )
    return rows, columns


def points_in(
    window: Window, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> tuple[NDArray[np.intp], tuple[NDArray[np.integer], NDArray[np.integer]]]:
    """Return which points lie in a window, their positions, and where in it.

    rows, columns  (point,), of the grid that the window is of, or beyond it
    """
    down, across = window
    here = np.flatnonzero(
        (rows >= down.start) & (rows < down.stop)
        & (columns >= across.start) & (columns < across.stop)
    )  # fmt: skip
    return here, (rows[here] - down.start, columns[here] - across.start)


def same_grid(one: GeoBox, other: GeoBox) -> bool:
    """Return whether two grids have the same pixels, to a thousandth of one."""
    return (
        tuple(one.shape) == tuple(other.shape)
        and one.crs == other.crs
        and one.affine.almost_equals(other.affine, precision=1e-3 * abs(one.affine.a))
    )


def first_pixel(geobox: GeoBox) -> tuple[int, int]:
    """Return the row and the column of a grid's first pixel, counted in pixels from the origin of
    the CRS, southwards and eastwards."""
    return round(-geobox.affine.f / geobox.affine.a), round(geobox.affine.c / geobox.affine.a)


def extent(geobox: GeoBox) -> str:
    """Return a grid in words, for messages: its CRS, north-west corner and size."""
    rows, columns = geobox.shape
    box = geobox.boundingbox
    return f"{geobox.crs}, {rows} x {columns} pixels from {box.left:.12g} {box.top:.12g}"


@dataclass(frozen=True)
class Layer:
    """One array of a cube: ``dims`` before (y, x), its type, and what it means."""

    dims: tuple[str, ...]
    dtype: str
    grid: str = MAIN
    fill: float | int | None = None
    """Value of a pixel that says nothing; None where every value says something."""
    chunks: tuple[int, ...] = ()
    """Lengths along ``dims`` that are stored together; 1 each where not given."""
    compressed: tuple[int, ...] = ()
    """Likewise, that are compressed together, and so read together."""
    tile: int = 2048
    """Pixels along the side of what is written together; blocks begin at multiples of it."""
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Block(NamedTuple):
    """A part of a layer: ``values`` belong at ``index`` (along the layer's dims) and ``window``.

    They are written while the next block is computed: who has yielded them changes them no more.
    """

    layer: str
    index: tuple[slice, ...]  # type: ignore[assignment]  # hides the tuple's own method
    window: Window
    values: NDArray[Any]


class Calibration(NamedTuple):
    """The physical values of a layer's numbers: number * scale + offset."""

    scale: NDArray[np.float64]
    """Along the layer's dims."""
    offset: NDArray[np.float64]
    """Likewise."""
    quantity: str
    """What that is, such as ``reflectance``."""
    missing: int | None = None
    """The number that stands for no value."""


class Origin(Protocol):
    """An earlier version of a cube, which has parts of it."""

    def part(self, layer: str, position: int) -> NDArray[Any]:
        """Return a layer's values at a position along its first dim, (its other dims..., y, x)."""
        ...


class ReusedPart(NamedTuple):
    """A part of a layer that is stored already: one position along its first dim, all of the grid.
    The store reuses its bytes where it can."""

    layer: str
    position: int
    origin: Origin
    at: int
    """Its position there."""


class Checkpoint(NamedTuple):
    """A point up to which all parts are complete: if the write does not end, they are kept, with
    ``content`` (of what JSON can hold) under ``name``."""

    name: str
    content: Mapping[str, Any]
    new: bool = True
    """False where the parts were stored before: for them alone nothing need be kept."""


class Cube(Protocol):
    """Layers on grids, read a window at a time."""

    @property
    def grids(self) -> Mapping[str, GeoBox]: ...
    @property
    def layers(self) -> Mapping[str, Layer]: ...
    @property
    def coordinates(self) -> Mapping[str, NDArray[Any]]:
        """Labels along each dim that is not y or x."""
        ...

    @property
    def attributes(self) -> Mapping[str, Any]: ...

    def read(
        self, layer: str, window: Window | None = None, **select: int | slice | Sequence[int]
    ) -> NDArray[Any]:
        """Return a layer's values, (its dims..., y, x), in ``window`` (all of the grid where None).

        ``select`` takes positions along a dim, named without its grid; an int drops the dim.
        """
        ...


@dataclass
class Summary:
    """The summary of a cube: ``facts`` under consistent names, and a small picture."""

    facts: dict[str, Any] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    """Warnings for a person, by the name of what they are about."""
    picture: NDArray[np.uint8] | None = None
    """(y, x, 3), at most 64 pixels a side."""
    table: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Columns of one length, where something is known along time."""
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """(y, x) each, at most 512 pixels a side, for figures."""


@dataclass
class LazyCube:
    """A cube whose blocks are computed when it is iterated, once."""

    grids: Mapping[str, GeoBox]
    layers: Mapping[str, Layer]
    blocks: Callable[[Summary], Iterator[Block | ReusedPart | Checkpoint]]
    """Yields all parts and fills the summary on the way."""
    coordinates: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)
    figures: Mapping[str, Callable[[Summary], bytes]] = field(default_factory=dict)
    """Pictures (PNG) by file name, drawn from the summary once all blocks have passed."""
    calibrations: Callable[[], Mapping[str, Calibration]] = dict
    """Of layers that hold numbers of something else, known once all blocks have passed."""
    legend: Legend = field(default_factory=dict)
    """The classes of the layer ``class``, where there is one."""

    @property
    def geobox(self) -> GeoBox:
        return self.grids[MAIN]

    def __iter__(self) -> Iterator[Block]:
        """Yield all blocks; of what is kept, blocks too."""
        for part in self.parts():
            if isinstance(part, ReusedPart):
                yield self.block(part)
            elif isinstance(part, Block):
                yield part

    def parts(self) -> Iterator[Block | ReusedPart | Checkpoint]:
        return self.blocks(self.summary)

    def block(self, part: ReusedPart) -> Block:
        """Read a part that is there from before."""
        spec = self.layers[part.layer]
        values = part.origin.part(part.layer, part.at)[None]
        index = (slice(part.position, part.position + 1), *(slice(None) for _ in spec.dims[1:]))
        return Block(part.layer, index, whole(self.grids[spec.grid]), values)

    def shape(self, layer: str) -> tuple[int, ...]:
        """Return the layer's full shape, (its dims..., rows, columns)."""
        spec = self.layers[layer]
        lead = tuple(len(self.coordinates[dim]) for dim in spec.dims)
        return (*lead, *self.grids[spec.grid].shape)

    def load(self) -> InMemoryCube:
        """Compute all of it into memory: for notebooks and tests, on areas that fit."""
        arrays = {
            name: np.full(self.shape(name), spec.fill or 0, dtype=spec.dtype)
            for name, spec in self.layers.items()
        }
        for block in self:
            arrays[block.layer][(*block.index, *block.window)] = block.values
        return InMemoryCube(self.grids, self.layers, arrays, self.coordinates, self.attributes)


@dataclass
class InMemoryCube:
    """A cube in memory."""

    grids: Mapping[str, GeoBox]
    layers: Mapping[str, Layer]
    arrays: Mapping[str, NDArray[Any]]
    coordinates: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def read(
        self, layer: str, window: Window | None = None, **select: int | slice | Sequence[int]
    ) -> NDArray[Any]:
        values = selected(self.arrays[layer], self.layers[layer].dims, select)
        return values if window is None else values[(..., *window)]


def selected(
    values: NDArray[Any], dims: Sequence[str], select: Mapping[str, int | slice | Sequence[int]]
) -> NDArray[Any]:
    """``values``, (``dims``..., y, x), at the positions that ``select`` takes; see `Cube.read`."""
    for axis, dim in reversed(list(enumerate(dims))):
        if (short := dim.rpartition("/")[2]) in select:
            wanted = select[short]
            chosen = wanted if isinstance(wanted, int | slice) else list(wanted)
            values = values[(slice(None),) * axis + (chosen,)]
    return values


class Thumbnail:
    """A picture of at most ``size`` pixels a side, filled from windows as they pass."""

    def __init__(self, shape: Shape, channels: int = 3, size: int = 64) -> None:
        step = max(1, -(-max(shape) // size))
        self.rows = np.arange(step // 2, shape[0], step)
        self.columns = np.arange(step // 2, shape[1], step)
        self.values = np.zeros((channels, len(self.rows), len(self.columns)), dtype=np.float32)

    def update(self, window: Window, values: NDArray[Any]) -> None:
        """Keep the picture's pixels of ``values`` (channel, y, x), which lie at ``window``."""
        rows = (self.rows >= window[0].start) & (self.rows < window[0].stop)
        columns = (self.columns >= window[1].start) & (self.columns < window[1].stop)
        picked = values[
            :,
            (self.rows[rows] - window[0].start)[:, None],
            (self.columns[columns] - window[1].start)[None, :],
        ]
        self.values[:, rows[:, None] & columns[None, :]] = picked.reshape(len(values), -1)


def stretched(values: NDArray[np.floating[Any]], low: float, high: float) -> NDArray[np.uint8]:
    """Return values scaled so that ``low`` is 0 and ``high`` is 255; NaN becomes 0."""
    scaled = (np.nan_to_num(values, nan=low) - low) / (high - low)
    shades: NDArray[np.uint8] = (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
    return shades
