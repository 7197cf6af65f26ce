"""The accuracy of objects, from what is said of their pixels on ground that was not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.config.input_files import InputFile
from lc_platform.cube import Cube
from lc_platform.products.object_scores import by_object
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform_tests.graphs import YEAR
from lc_platform_tests.products import cubes
from lc_platform_tests.products.parcels import CLASSES, GRID, box, drawn, prediction

SHAPES = [box(0, 0, 20, 20), box(20, 0, 30, 20), box(0, 20, 40, 30), box(60, 20, 20, 40)]
TRUE = [3, 8, 20, 8]


def percent_of(classes: NDArray[np.uint8], sure: int = 80) -> NDArray[np.uint8]:
    """(class, y, x), percent, that are sure of classes; 255 where there is none."""
    ids = np.array([*CLASSES])[:, np.newaxis, np.newaxis]
    percent = np.where(classes == ids, sure, (100 - sure) // 2).astype(np.uint8)
    percent[:, classes == 0] = 255
    return percent


def split(
    percent: NDArray[np.uint8], reference: NDArray[np.uint8], columns: int
) -> tuple[dict[str, Cube], dict[str, ReferenceMap]]:
    held_out, references = {}, {}
    for column in range(0, 80, columns):
        window = slice(0, 60), slice(column, column + columns)
        held_out[f"c{column}"] = prediction(percent[:, *window], GRID[window])
        references[f"c{column}"] = cubes.reference(reference[window], geobox=GRID[window])
    return held_out, references


def labelled() -> NDArray[np.uint8]:
    """The reference of SHAPES; a tenth of the pixels of each is of another class."""
    reference = np.zeros(GRID.shape, np.uint8)
    for (rows, columns), true in zip(
        ((slice(0, 20), slice(0, 20)), (slice(0, 20), slice(20, 50)),
         (slice(20, 50), slice(0, 40)), (slice(20, 60), slice(60, 80))),
        TRUE, strict=True,
    ):  # fmt: skip
        reference[rows, columns] = true
    other = np.random.default_rng(1).random(GRID.shape) < 0.1
    return np.where(other & (reference > 0), np.uint8(20), reference)


@pytest.mark.parametrize("columns", [80, 16])
def test_an_object_is_right_where_most_of_its_pixels_are(tmp_path: Path, columns: int) -> None:
    """Two in five pixels of each are taken for another class, and all of the second."""
    reference = labelled()
    seen = np.where(np.random.default_rng(2).random(GRID.shape) < 0.4, np.uint8(3), reference)
    seen = np.where(reference > 0, seen, np.uint8(0))
    seen[:20, 20:50] = 3
    scores = by_object(file(tmp_path), *split(percent_of(seen), reference, columns), YEAR, CLASSES)
    assert scores["objects"] == 4
    assert scores["confusion_matrix"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert scores["overall_accuracy"] == 0.75
    assert scores["per_class"]["grassland"]["recall"] == 0.5


def test_objects_without_a_reference_that_is_predicted_do_not_count(tmp_path: Path) -> None:
    reference = labelled()
    reference[20:, 60:] = 0
    seen = reference.copy()
    seen[:20, :20] = 0
    scores = by_object(file(tmp_path), *split(percent_of(seen), reference, 40), YEAR, CLASSES)
    assert scores["objects"] == 2
    assert scores["overall_accuracy"] == 1


def file(folder: Path) -> InputFile:
    found: Any = drawn(folder, SHAPES).polygons
    assert isinstance(found, InputFile)
    return found
