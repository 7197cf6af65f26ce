"""Pictures that are small enough for the text of the UI."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lc_platform.area.grid import PatchGrid
from lc_platform.eo.polygons import METRES_PER_DEGREE
from lc_platform.eo.series_layout import date_of
from lc_platform.products.alignment import Alignment
from lc_platform.products.area_statistics import AreaStatistics
from lc_platform.products.model import LandCoverModel
from lc_platform.products.reference_rasters import colored
from lc_platform.products.training_samples import Samples
from lc_platform.report.alignment_dots import alignment_dots
from lc_platform.report.area_table import area_bars

LIMIT = 999
"""Characters of markdown up to which Dagster shows an image in place."""
SHOWN = 320
"""Pixels along the longer side of a picture on the screen: what Dagster's page of a partition has
room for, and a multiple of most sizes below."""
_ENLARGED = (
    "![preview](data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%20width='{width}'"
    "%20height='{height}'%3E%3Cimage%20width='{width}'%20height='{height}'{sharp}%20href='{data}'"
    "/%3E%3C/svg%3E)"
)
_SHARP = "%20image-rendering='pixelated'"
_ROOM = LIMIT - len(_ENLARGED.format(width=SHOWN, height=SHOWN, sharp=_SHARP, data=""))
"""Characters of a picture's data, with what is around it."""

SIZE = 64
"""Pixels along a picture's longer side."""

_ATTEMPTS = tuple(
    (size, kind, grade)
    for size in (SIZE, 56, 48, 40, 32, 24)
    for kind, grade in (("PNG", 16), ("WEBP", 60), ("PNG", 8), ("WEBP", 30), ("WEBP", 10))
)


def picture_of(value: Any) -> NDArray[np.uint8] | None:
    """Return an artefact's picture (y, x, 3): the one in its summary, or for what has none there
    the patches, where samples were drawn, the importance of a model's features, the areas of
    classes, or how far imagery lies from where it should. None for others."""
    summary = getattr(value, "summary", None)
    if summary is not None and summary.picture is not None:
        return np.asarray(summary.picture)
    if isinstance(value, PatchGrid):
        return _patches(value)
    if isinstance(value, Samples):
        return _drawn(value)
    if isinstance(value, AreaStatistics):
        return area_bars(value)
    if isinstance(value, Alignment):
        return alignment_dots(value)
    return _importance(value) if isinstance(value, LandCoverModel) else None


def shades(shares: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return shares (y, x), 0 to 1, from nearly white to dark blue, each a square of some
    pixels."""
    scale = max(1, 60 // max(shares.shape))
    cells = np.kron(shares, np.ones((scale, scale)))[..., None]
    dark, light = np.array([8, 48, 107]), np.array([247, 251, 255])
    picture: NDArray[np.uint8] = (light + cells * (dark - light)).round().astype(np.uint8)
    return picture


def _patches(grid: PatchGrid) -> NDArray[np.uint8] | None:
    """Return patches with reference in green, those without in grey, on a map without
    projection."""
    if not grid.patches:
        return None
    centres = np.array([patch.centre for patch in grid.patches])
    narrower = np.cos(np.radians(centres[:, 1].mean()))
    east, north = centres[:, 0] * narrower, centres[:, 1]
    degrees = [max(p.shape) * p.resolution / METRES_PER_DEGREE for p in grid.patches]
    reach = np.array(degrees) / 2
    west, top = (east - reach).min(), (north + reach).max()
    scale = SIZE / max((east + reach).max() - west, top - (north - reach).min())
    height, width = (
        max(1, min(SIZE, round(length * scale)))
        for length in (top - (north - reach).min(), (east + reach).max() - west)
    )
    picture = np.full((height, width, 3), 255, np.uint8)
    for patch, x, y, r in zip(grid.patches, east, north, reach, strict=True):
        rows, columns = (
            slice(round(from_), max(round(to) - (r * scale > 2), round(from_) + 1))
            for from_, to in (
                ((top - y - r) * scale, (top - y + r) * scale),
                ((x - r - west) * scale, (x + r - west) * scale),
            )
        )
        covered = grid.has_reference.get(patch.key, False)
        picture[rows, columns] = (63, 155, 69) if covered else (170, 170, 170)
    return picture


def _drawn(samples: Samples) -> NDArray[np.uint8]:
    """Return where samples were drawn, in the colours of their classes."""
    side = int(max(samples.rows.max(), samples.columns.max())) + 1 if len(samples) else 1
    scale = min(1.0, SIZE / side)
    extent = max(16, int(np.ceil(side * scale)))
    classes = np.zeros((extent, extent), np.uint8)
    at = ((part * scale).astype(int) for part in (samples.rows, samples.columns))
    classes[tuple(at)] = samples.classes
    return colored(classes, samples.legend)


def _importance(model: LandCoverModel) -> NDArray[np.uint8]:
    """Return the gain of each feature (down) on each date (across), and below it of those without a
    date, the square root of its share of the highest."""
    names, gain = model.card["features"], model.classifier.importance()
    dated = np.array([date_of(name) is not None for name in names], np.bool_)
    dates = len({date_of(name) for name in names} - {None})
    if not dates or dated.sum() % dates:
        table = gain[None]
    else:
        rest = gain[~dated]
        below = np.zeros(-(-len(rest) // dates) * dates)
        below[: len(rest)] = rest
        table = np.concatenate([gain[dated].reshape(dates, -1).T, below.reshape(-1, dates)])
    return shades(np.sqrt(table / max(table.max(), 1e-12)))


def inline(picture: NDArray[np.uint8]) -> str:
    """Return a picture (y, x, 3) as markdown that `enlarged` makes less than 1,000 characters of.

    At most 64 pixels a side; fewer, or fewer colours, where it would not fit otherwise.
    """
    image = Image.fromarray(np.ascontiguousarray(picture), "RGB")
    few = len(np.unique(picture.reshape(-1, 3), axis=0)) <= 32
    for size, kind, grade in _ATTEMPTS:
        if few and kind == "WEBP":
            continue  # it would smear the colours of classes
        markdown = _markdown(_small(image, size, few), kind, grade)
        if len(markdown) <= _ROOM:
            return markdown
    return _markdown(_small(image, 16, few), "PNG", 8)


def enlarged(markdown: str) -> str:
    """Return the markdown of `inline` with its picture drawn 320 pixels wide or high, each of its
    pixels as a square where it is of few colours. The markdown of an earlier release may have no
    room for that, and stays as it is."""
    found = re.fullmatch(
        r"!\[preview\]\((data:image/(png|webp);base64,([A-Za-z0-9+/=]+))\)", markdown
    )
    if found is None:
        return markdown
    data, kind, content = found.groups()
    width, height = Image.open(io.BytesIO(base64.b64decode(content))).size
    scale = SHOWN / max(width, height)
    larger = _ENLARGED.format(
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        sharp=_SHARP if kind == "png" else "",
        data=data,
    )
    return larger if len(larger) <= LIMIT else markdown


def _small(image: Image.Image, size: int, few: bool) -> Image.Image:
    scale = size / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize(
        (width, height), Image.Resampling.NEAREST if few else Image.Resampling.LANCZOS
    )


def _markdown(image: Image.Image, kind: str, grade: int) -> str:
    buffer = io.BytesIO()
    if kind == "PNG":
        image.quantize(grade, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "WEBP", quality=grade, method=6)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"![preview](data:image/{kind.lower()};base64,{data})"
