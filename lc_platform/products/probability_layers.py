"""Probabilities of classes as layers of a raster, in percent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Layer

NO_DATA = 255
"""Of a pixel that nothing is known of."""
_PREFIX = "probability_"


def probability_layer(class_id: int) -> str:
    """Return the name of the layer of a class."""
    return f"{_PREFIX}{class_id}"


def probability_layers(class_ids: Sequence[int]) -> dict[str, Layer]:
    """Return the layers that hold the probabilities of classes."""
    return {probability_layer(one): Layer((), "uint8", fill=NO_DATA) for one in class_ids}


def classes_kept(layers: Iterable[str]) -> list[int]:
    """Return the ids of the classes that have a layer among these, in their order."""
    return [int(one.removeprefix(_PREFIX)) for one in layers if one.startswith(_PREFIX)]


def percent_of(
    probabilities: NDArray[np.float32], class_ids: Sequence[int]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield each layer's name and values, percent.

    probabilities  (class, ...), 0 to 1, NaN without data
    Yields (...).
    """
    for class_id, probability in zip(class_ids, probabilities, strict=True):
        percent = np.rint(np.nan_to_num(probability) * 100)
        values = np.where(np.isnan(probability), NO_DATA, percent).astype(np.uint8)
        yield probability_layer(class_id), values
