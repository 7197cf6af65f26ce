"""``/chips``: a place in one acquisition, as people look at it who judge it."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from lc_platform.artefacts.layout import Partition
from lc_platform.reading.places import Pixel
from lc_platform.storage.errors import UnavailableError
from lc_platform.viewer import png
from lc_platform.viewer.drawing import Drawing, Drawn
from lc_platform.viewer.imagery_layers import FALSE, TRUE, Bands, acquisition_of, shades, stretched
from lc_platform.viewer.layers import CurrentScene
from lc_platform.viewer.scene import Scene
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
    """A square of an acquisition around a place, in the patch that the place lies in and in its
    CRS; transparent beyond the patch and where there is no data."""
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


def _drawn(
    scene: Scene, where: Partition, pixel: Pixel, acquisition: str,
    meters: float, size: int, bands: Bands,
) -> Drawn:  # fmt: skip
    opened = scene.cubes.imagery(where)
    stack, patch = opened.handle, pixel.patch
    time = acquisition_of(stack, acquisition)
    step = meters / patch.resolution / size
    rows, columns = (
        np.floor(middle + 0.5 + (np.arange(size) + 0.5 - size / 2) * step).astype(np.int64)
        for middle in (pixel.row, pixel.column)
    )
    out = np.zeros((size, size, 4), np.uint8)
    down, across = (
        np.flatnonzero((places >= 0) & (places < length))
        for places, length in zip((rows, columns), patch.shape, strict=True)
    )
    if len(down) and len(across):
        there = (
            slice(int(rows[down[0]]), int(rows[down[-1]]) + 1),
            slice(int(columns[across[0]]), int(columns[across[-1]]) + 1),
        )
        numbers = stack.digital_numbers(there, [time], bands.names)
        picked = numbers[..., rows[down, None] - there[0].start, columns[across] - there[1].start]
        values = shades(stack, [time], bands, picked.reshape(1, len(bands.names), -1))
        shown = stretched(values[0], bands).reshape(len(down), len(across), 4)
        out[down[0] : down[-1] + 1, across[0] : across[-1] + 1] = shown
    content = png.colored(out)
    return Drawn(content, f"{opened.number}-{hash(content):x}", current=False)
