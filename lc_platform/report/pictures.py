"""Pictures small enough to stand in the UI's own text."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LIMIT = 999
"""Characters of markdown up to which Dagster shows an image in place."""

_ATTEMPTS = tuple(
    (size, kind, grade)
    for size in (64, 56, 48, 40, 32, 24)
    for kind, grade in (("PNG", 16), ("WEBP", 60), ("PNG", 8), ("WEBP", 30), ("WEBP", 10))
)


def inline(picture: NDArray[np.uint8]) -> str:
    """A picture (y, x, 3) as markdown of less than 1,000 characters.

    At most 64 pixels a side; fewer, or fewer colours, where it would not fit otherwise.
    """
    image = Image.fromarray(np.ascontiguousarray(picture), "RGB")
    few = len(np.unique(picture.reshape(-1, 3), axis=0)) <= 32
    for size, kind, grade in _ATTEMPTS:
        if few and kind == "WEBP":
            continue  # it would smear the colours of classes
        markdown = _markdown(_small(image, size, few), kind, grade)
        if len(markdown) <= LIMIT:
            return markdown
    return _markdown(_small(image, 16, few), "PNG", 8)


def _small(image: Image.Image, size: int, few: bool) -> Image.Image:
    scale = size / max(image.size)
    if scale >= 1:
        return image
    shape = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(shape, Image.Resampling.NEAREST if few else Image.Resampling.LANCZOS)


def _markdown(image: Image.Image, kind: str, grade: int) -> str:
    buffer = io.BytesIO()
    if kind == "PNG":
        image.quantize(grade, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "WEBP", quality=grade, method=6)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"![preview](data:image/{kind.lower()};base64,{data})"
