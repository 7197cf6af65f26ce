"""``/chips``: a place in one acquisition, as people look at it who judge it."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, NamedTuple

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from numpy.typing import NDArray
from starlette.responses import Response

from lc_platform.area.grid import Patch
from lc_platform.artefacts.layout import Partition
from lc_platform.eo.polygons import transformer
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.reading.places import Pixel
from lc_platform.storage.errors import (
    DamagedArtefactError,
    MissingArtefactError,
    UnavailableError,
)
from lc_platform.viewer import png
from lc_platform.viewer.drawing import Drawing, Drawn
from lc_platform.viewer.imagery_layers import FALSE, TRUE, Bands, acquisition_of, shades, stretched
from lc_platform.viewer.layers import CurrentScene
from lc_platform.viewer.scene import Scene
from lc_platform.viewer.tile_grid import Box, boxes_around
from lc_platform.viewer.tiles import PNG, answered

router = APIRouter(prefix="/chips")


@router.get("/{year}/{acquisition}.png", response_class=Response, responses=PNG)
async def chip(
    request: Request,
    scene: CurrentScene,
    year: Annotated[int, Path(ge=1900, le=2999)],
    acquisition: Annotated[str, Path(max_length=300, description="The key of an acquisition.")],
    lon: Annotated[float, Query(ge=-360, le=360, allow_inf_nan=False)],
    lat: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)],
    meters: Annotated[float, Query(ge=10, le=10_000, description="Along its side.")] = 640,
    size: Annotated[int, Query(ge=16, le=1024, description="Pixels along its side.")] = 256,
    bands: Annotated[
        bool, Query(description="true: near infrared, red, green; false: true colour.")
    ] = False,
) -> Response:
    """A square of an acquisition around a place, in the CRS of the patch that the place lies in;
    what lies in other patches is of the same acquisition or day. Transparent beyond all patches and
    where there is no data."""
    shown = FALSE if bands else TRUE

    def draw() -> Drawn:
        pixel = scene.reader.pixel(lon, lat)
        where = Partition(pixel.patch.key, scene.reader.artefacts.year(year))
        try:
            return _drawn(scene, where, pixel, acquisition, meters, size, shown)
        except UnavailableError:
            scene.cubes.forget()
            return _drawn(scene, where, pixel, acquisition, meters, size, shown)

    drawing: Drawing = request.app.state.drawing
    return answered(request, await drawing.of(draw))


class _Square(NamedTuple):
    """The pixels of a chip, in the CRS of the patch that its place lies in."""

    patch: Patch
    rows: NDArray[np.int64]
    """(pixel,), of the patch, and beyond it."""
    columns: NDArray[np.int64]

    @classmethod
    def around(cls, pixel: Pixel, meters: float, size: int) -> _Square:
        step = meters / pixel.patch.resolution / size
        offsets = 0.5 + (np.arange(size) + 0.5 - size / 2) * step
        rows, columns = (
            np.floor(middle + offsets).astype(np.int64) for middle in (pixel.row, pixel.column)
        )
        return cls(pixel.patch, rows, columns)

    @property
    def ground(self) -> list[Box]:
        """Where it lies in Web Mercator."""
        affine = self.patch.geobox.affine
        west, north = affine * (int(self.columns[0]), int(self.rows[0]))
        east, south = affine * (int(self.columns[-1]) + 1, int(self.rows[-1]) + 1)
        return boxes_around(self.patch.crs, np.array([(west, south, east, north)]))[0]

    def on(self, patch: Patch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows and columns of another patch, (row, column) each, where pixels lie."""
        if patch is self.patch:
            return self.rows[:, None], self.columns[None]
        affine = self.patch.geobox.affine
        x, y = np.meshgrid(
            affine.c + affine.a * (self.columns + 0.5), affine.f + affine.e * (self.rows + 0.5)
        )
        if patch.crs != self.patch.crs:
            x, y = transformer(self.patch.crs, patch.crs).transform(x, y)
        there = patch.geobox.affine
        return (
            np.floor((y - there.f) / there.e).astype(np.int64),
            np.floor((x - there.c) / there.a).astype(np.int64),
        )


def _drawn(
    scene: Scene, where: Partition, pixel: Pixel, acquisition: str,
    meters: float, size: int, bands: Bands,
) -> Drawn:  # fmt: skip
    opened = scene.cubes.imagery(where)
    square = _Square.around(pixel, meters, size)
    out = np.zeros((size, size, 4), np.uint8)
    time = acquisition_of(opened.handle, acquisition)
    _fill(out, square, pixel.patch, opened.handle, time, bands)
    numbers = [opened.number]
    day = str(opened.handle.acquisitions[time]["datetime"])[:10]
    others = [one for box in square.ground for one in scene.patches.touching(box)]
    made = scene.made("raw_bands", where.year)[0]
    for patch in (one for one in others if one.key != where.patch and one.key in made):
        if out[..., 3].all():
            break
        with suppress(MissingArtefactError, DamagedArtefactError):
            beside = scene.cubes.imagery(Partition(patch.key, where.year))
            numbers.append(beside.number)
            for at in _same(beside.handle, acquisition, day):
                _fill(out, square, patch, beside.handle, at, bands)
    content = png.colored(out)
    return Drawn(content, f"{'-'.join(map(str, numbers))}-{hash(content):x}", current=False)


def _same(stack: AcquisitionStack, acquisition: str, day: str) -> list[int]:
    """Return the acquisitions of another patch that show the ground at the same time: that of the
    same key, or else those of the day, since granules of other zones have other keys."""
    if acquisition in stack.keys:
        return [stack.keys.index(acquisition)]
    return [i for i, one in enumerate(stack.acquisitions) if str(one["datetime"])[:10] == day]


def _fill(
    out: NDArray[np.uint8], square: _Square, patch: Patch, stack: AcquisitionStack, time: int,
    bands: Bands,
) -> None:  # fmt: skip
    """Put into ``out`` what an acquisition shows of those pixels that a patch has and that are not
    known yet."""
    rows, columns = square.on(patch)
    height, width = patch.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    inside &= out[..., 3] == 0
    if not inside.any():
        return
    rows, columns = (np.broadcast_to(one, inside.shape)[inside] for one in (rows, columns))
    there = (
        slice(int(rows.min()), int(rows.max()) + 1),
        slice(int(columns.min()), int(columns.max()) + 1),
    )
    numbers = stack.digital_numbers(there, [time], bands.names)
    picked = numbers[..., rows - there[0].start, columns - there[1].start]
    values = shades(stack, [time], bands, picked)
    out[inside] = stretched(values[0], bands)
