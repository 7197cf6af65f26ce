"""Sets of classes as layers of a raster: bit i of all of them is of the i-th class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Cube, Layer, Window
from lc_platform.eo import conformal
from lc_platform.eo.conformal import Thresholds

_IN_A_LAYER = 8
"""Classes whose bits a layer holds."""
_PREFIX = "set_"


def set_layers(classes: int) -> dict[str, Layer]:
    """Return the layers ``set_1`` and so on that hold sets of so many classes."""
    count = -(-classes // _IN_A_LAYER)
    return {f"{_PREFIX}{part}": Layer((), "uint8", fill=0) for part in range(1, count + 1)}


def sets_of(
    probabilities: NDArray[np.float32], thresholds: Thresholds
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield each layer's name and values: the classes whose probability reaches its threshold.

    probabilities  (class, y, x), calibrated, 0 to 1, NaN without data, where the set is empty
    Yields (y, x).
    """
    count, *shape = probabilities.shape
    held = conformal.prediction_sets(probabilities.reshape(count, -1).T, thresholds)
    for position, name in enumerate(set_layers(count)):
        part = held[:, _IN_A_LAYER * position : _IN_A_LAYER * (position + 1)]
        yield name, conformal.to_bits(part).astype(np.uint8).reshape(shape)


def read_sets(cube: Cube, window: Window | None = None) -> NDArray[np.uint32] | None:
    """Return the sets of a window of a cube, (y, x), bit i for the i-th class; None where it has
    none."""
    names = [name for name in cube.layers if name.startswith(_PREFIX)]
    if not names:
        return None
    found = cube.read(names[0], window).astype(np.uint32)
    for position, name in enumerate(names[1:], 1):
        found |= cube.read(name, window).astype(np.uint32) << np.uint32(_IN_A_LAYER * position)
    return found
