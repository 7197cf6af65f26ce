"""The map's picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from lc_platform import report
from lc_platform.products.mosaic import Mosaic
from lc_platform.products.options import MosaicOptions

CLASSES = {
    1: ("cropland", "#ffd700"),
    2: ("forest: $broad-leaved$ & evergreen, of mountains and plains", "#228b22"),
    7: ("water", "#0000ff"),
}


def drawn(classes: np.ndarray, pixels: dict[int, int]) -> np.ndarray:
    mosaic = Mosaic(2020, [], {}, {}, MosaicOptions(classes=CLASSES))
    with_picture = report.with_map_picture(mosaic)
    assert with_picture.drawn is not None
    picture = Image.open(io.BytesIO(with_picture.drawn(classes, pixels)))
    return np.asarray(picture.convert("RGB"))


def share(picture: np.ndarray, color: tuple[int, int, int]) -> float:
    return float((picture == color).all(axis=2).mean())


def test_the_picture_has_each_class_in_its_colour_and_no_data_in_grey() -> None:
    classes = np.zeros((90, 60), np.uint8)
    classes[:30], classes[30:60] = 1, 7
    picture = drawn(classes, {1: 10, 7: 10})
    height, width = picture.shape[:2]
    assert width > height * 60 / 90  # the classes stand beside the map
    third = share(picture, (255, 215, 0))
    assert third > 0.1
    assert abs(share(picture, (0, 0, 255)) - third) < 0.02
    assert abs(share(picture, (217, 217, 217)) - third) < 0.02
    assert share(picture, (34, 139, 34)) == 0  # forest is not in the map
    # The map keeps its order: cropland in the north.
    assert tuple(picture[height // 6, 20]) == (255, 215, 0)
    assert tuple(picture[height // 2, 20]) == (0, 0, 255)


def test_a_map_that_is_a_strip_and_a_map_of_a_pixel_are_drawn() -> None:
    for shape in ((1, 1), (4, 1000), (1000, 4)):
        picture = drawn(np.full(shape, 2, np.uint8), {2: 5})
        assert max(picture.shape) < 1600
        assert share(picture, (34, 139, 34)) > 0
