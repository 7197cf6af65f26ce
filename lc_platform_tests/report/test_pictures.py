"""Pictures and figures that people see."""

from __future__ import annotations

import base64
import io
import re
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lc_platform import report
from lc_platform.products.evaluation import Evaluation
from lc_platform.report.pictures import enlarged, inline
from lc_platform_tests.report.evaluations import metrics

RNG = np.random.default_rng(4)
COLORS = RNG.integers(0, 256, (10, 3))


def shown(markdown: str) -> NDArray[np.uint8]:
    assert len(markdown) < 1000
    data = re.fullmatch(r"!\[preview\]\(data:image/\w+;base64,(.+)\)", markdown)
    assert data
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("RGB"))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((64, 64, 3)),
        RNG.integers(0, 256, (64, 64, 3)),
        COLORS[RNG.integers(0, 10, (64, 64))],
        COLORS[RNG.integers(0, 10, (8, 8)).repeat(8, 0).repeat(8, 1)],
        RNG.integers(0, 256, (64, 3, 3)),
        RNG.integers(0, 256, (1, 1, 3)),
    ],
    ids=["empty", "noise", "classes as noise", "classes in fields", "narrow", "a pixel"],
)
def test_any_picture_is_small_enough_to_be_shown_in_place(picture: NDArray[Any]) -> None:
    markdown = inline(picture.astype(np.uint8))
    larger = enlarged(markdown)
    assert len(larger) < 1000
    assert larger != markdown
    found = shown(markdown)
    assert max(found.shape[:2]) <= 64
    assert max(found.shape[:2]) >= min(16, max(picture.shape[:2]))


def test_a_picture_is_seen_320_pixels_wide_with_the_same_pixels() -> None:
    colors = COLORS[RNG.integers(0, 10, (6, 12)).repeat(4, 0).repeat(4, 1)].astype(np.uint8)
    markdown = inline(colors)
    larger = enlarged(markdown)
    found = re.fullmatch(r"!\[preview\]\(data:image/svg\+xml,(\S+)\)", larger)
    assert found
    drawing = ElementTree.fromstring(unquote(found[1]))
    (image,) = drawing
    for one in (drawing, image):
        assert (one.get("width"), one.get("height")) == ("320", "160")
    assert image.get("image-rendering") == "pixelated"
    assert f"![preview]({image.get('href')})" == markdown


def test_a_picture_of_an_earlier_release_that_has_no_room_stays_as_it_is() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (14, 14, 3), np.uint8)).save(buffer, "PNG")
    markdown = f"![preview](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"
    assert 900 < len(markdown) < 1000
    assert enlarged(markdown) == markdown


def test_classes_in_fields_keep_their_colours() -> None:
    picture = COLORS[RNG.integers(0, 10, (8, 8)).repeat(8, 0).repeat(8, 1)].astype(np.uint8)
    colors = {tuple(c) for c in shown(inline(picture)).reshape(-1, 3).tolist()}
    assert colors <= {tuple(c) for c in COLORS.tolist()}


@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_confusion_matrix_is_drawn_and_shown_small(count: int) -> None:
    names = [f"class {i} " + "of a long name " * 3 for i in range(count)]
    matrix = RNG.integers(0, 10**6, (count, count))
    drawn = report.with_evaluation_figures(Evaluation(metrics(names, matrix)))
    assert set(drawn.pictures) == {
        "confusion_matrix.png",
        "confusion_matrix_by_map.png",
        "confusion_matrix_counts.png",
        "reliability.png",
        "learning_curve.png",
    }
    for picture in drawn.pictures.values():
        image = Image.open(io.BytesIO(picture))
        assert min(image.size) >= 400
        assert len(np.unique(np.asarray(image.convert("L")))) > 20
    picture = drawn.summary.picture
    assert picture is not None
    assert shown(inline(picture)).shape[0] >= 16
