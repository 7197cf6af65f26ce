"""Predictions that keep the probabilities of the classes, in a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.area.grid import Patch
from lc_platform.artefacts.formats import CogFormat
from lc_platform.cube import MAIN, Block, Layer, LazyCube, Summary, windows
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store


def percent(
    classes: NDArray[Any], ids: Sequence[int], sure: int = 100
) -> dict[str, NDArray[np.uint8]]:
    """Layers of probabilities, of which a pixel's class has ``sure`` percent, and another, the
    first where it is not the first, the rest."""
    found = {i: np.where(classes == i, sure, 0) for i in ids}
    found[ids[0]] += np.where((classes > 0) & (classes != ids[0]), 100 - sure, 0)
    found[ids[-1]] += np.where(classes == ids[0], 100 - sure, 0)
    return {
        f"probability_{i}": np.where(classes > 0, values, 255).astype(np.uint8)
        for i, values in found.items()
    }


class Country:
    """Predictions of patches and years in a store."""

    def __init__(self, folder: Path, years: Sequence[int], class_ids: Sequence[int]) -> None:
        self.store = Store(str(folder))
        self.years = years
        self.class_ids = class_ids
        self.patches: list[Patch] = []
        self.predictions: dict[int, dict[str, RasterCube]] = {year: {} for year in years}

    def add(self, one: Patch, *classes: NDArray[Any] | None, keep: bool = True) -> None:
        """A patch, and its classes of each year; None where it has no prediction."""
        self.patches.append(one)
        for year, values in zip(self.years, classes, strict=False):
            if values is not None:
                layers = {"class": values.astype(np.uint8)} | (
                    percent(values, self.class_ids) if keep else {}
                )
                self.predictions[year][one.key] = self._stored(one, year, layers)

    def _stored(self, one: Patch, year: int, layers: Mapping[str, NDArray[Any]]) -> RasterCube:
        def blocks(_: Summary) -> Iterator[Block]:
            for name, values in layers.items():
                for window in windows(one.shape, 512):
                    yield Block(name, (), window, values[window])

        cube = LazyCube(
            {MAIN: one.geobox}, {name: Layer((), "uint8") for name in layers}, blocks,
            attributes={"model_version": f"m{year}"},
        )  # fmt: skip
        key = f"predictions/{year}/{one.key}.tif"
        CogFormat(lambda found: found).write(self.store, key, cube)
        return RasterCube(self.store, key)
