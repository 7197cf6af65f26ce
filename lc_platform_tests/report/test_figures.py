"""Figures: text as it is written, and no date drawn for more than it shows."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from lc_platform import report
from lc_platform.cube import MAIN, LazyCube, Summary
from lc_platform.products.evaluation import Evaluation
from lc_platform.products.training_samples import Samples
from lc_platform.report.text import as_written, wrapped
from lc_platform_tests.products import cubes
from lc_platform_tests.report.evaluations import metrics

pytestmark = pytest.mark.slow

# Confusion matrices


def drawn(*names: str) -> bytes:
    told = metrics(list(names), np.eye(len(names), dtype=int) * 500 + 1)
    made = report.with_evaluation_figures(Evaluation(told, summary=Summary({})))
    return made.pictures["confusion_matrix.png"]


ODD = [
    "rent <$5 & >$10",
    "$5_ to $10_",
    "<$50%, >$100",
    "$5 # $6",
    "US$ 5^ US$",
    "$\\frac{1}{",
    "Prés & bois <mixtes> 100 %",
    "\\alpha_{3} ~ `x` \"y\" 'z'",
    "{}{}$$",
    "tab\tand return\r\nand line\nand end",
    "n" * 300,
    "wheat or barley " * 20,
]


@pytest.mark.parametrize("names", [*zip(ODD[::2], ODD[1::2], strict=True)])
def test_any_name_is_drawn_as_it_is_written(names: tuple[str, str]) -> None:
    picture = Image.open(io.BytesIO(drawn(*names)))
    assert min(picture.size) > 400
    assert max(picture.size) < 2000


def test_a_formula_is_no_formula() -> None:
    """Typeset, the dollar signs would be gone, and the text no wider than without them."""
    figure = Figure()
    with_signs, without = figure.text(0, 0, "$mm$"), figure.text(0, 0.5, "mm")
    as_written(figure)
    width, least = (text.get_window_extent().width for text in (with_signs, without))
    assert width > 1.3 * least


def test_no_character_of_a_name_is_lost_and_its_own_lines_stay() -> None:
    assert wrapped("one\ntwo\r\nthree", 24) == "one\ntwo\nthree"
    assert wrapped("n" * 50, 24) == f"{'n' * 24}\n{'n' * 24}\nnn"
    assert wrapped("broadleaved woodland, unmanaged", 24) == "broadleaved woodland,\nunmanaged"
    assert wrapped("", 24) == ""


def a_font(path: Path, family: str, characters: str) -> None:
    """A font in which each character is a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", *(f"uni{ord(c):04X}" for c in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"uni{ord(c):04X}" for c in characters})
    builder.setupGlyf({name: pen.glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (900, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def installed(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    """This machine has no fonts but Matplotlib's own and these, which it has not listed yet."""
    own = [e for e in font_manager.fontManager.ttflist if "mpl-data" in e.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path) for path in paths])


def test_a_font_that_has_the_characters_is_used_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a_font(tmp_path / "han.ttf", "Test Sans Han", "农田森林")
    a_font(tmp_path / "hangul.ttf", "Test Sans Hangul", "논밭")
    installed(monkeypatch, tmp_path / "han.ttf", tmp_path / "hangul.ttf")
    with caplog.at_level(logging.WARNING):
        with_fonts = drawn("农田", "森林 $논$", "밭 maize")
    assert not caplog.records
    installed(monkeypatch)
    assert with_fonts != drawn("农 田", "森 林 $논$", "밭 maize")  # another text, so asked anew


def test_boxes_are_said_aloud_with_the_characters_that_they_stand_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a_font(tmp_path / "some.ttf", "Test Sans Some", "牧")
    installed(monkeypatch, tmp_path / "some.ttf")
    with caplog.at_level(logging.WARNING):
        drawn("牧草", "ማሳ")
    (record,) = caplog.records
    said = record.getMessage()
    for character, number in (("草", "U+8349"), ("ማ", "U+121B"), ("ሳ", "U+1233")):
        assert f"{character} ({number})" in said
    assert "牧" not in said
    assert "boxes" in said
    assert "Install" in said


def test_what_no_font_need_have_is_not_missed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        drawn(
            "narrow\u202fspace",
            "soft\u00adhyphen\u200b, \u2066isolated\u2069",
            "Čačak, Ωμέγα, Жито",
        )
    assert not caplog.records


# Dates


DAYS = np.array(["2021-02-01", "2021-05-01", "2021-06-01", "2021-07-01"], "datetime64[s]")


def year(without_data: float = 0.0, **changed: Any) -> bytes:
    """The figure of a year whose first date shows snow, and whose last shows next to nothing."""
    table = {
        "datetime": DAYS,
        "valid_fraction": np.array([0.9, 1.0, 0.5, 0.01]),
        "data_fraction": np.array([1.0, 1.0, 1.0, 1.0]),
        "snow_fraction": np.array([0.8, 0.0, 0.0, 0.0]),
        "ndvi_with_clouds": np.array([0.1, 0.5, 0.4, 0.2]),
        "ndvi_without_clouds": np.array([0.1, 0.5, 0.6, 0.3]),
        "ndvi_of_ground": np.array([0.4, 0.5, 0.6, 0.3]),
        "ndvi_of_snow": np.array([0.05, np.nan, np.nan, np.nan]),
    }
    table |= {name: np.array(values) for name, values in changed.items()}
    maps = dict.fromkeys(("valid_observations", "cloud_probability"), np.zeros((8, 8), np.float32))
    summary = Summary({"pixels_without_data": without_data}, table=table, maps=maps)
    cube = LazyCube({MAIN: cubes.grid(8, 8)}, {}, lambda _: iter(()))
    cube.attributes = {"patch": "33N-r0-c0", "year": 2021}
    return report.with_figure(cube).figures[".png"](summary)


def test_a_date_that_shows_less_than_a_tenth_is_not_drawn() -> None:
    assert year(ndvi_of_ground=[0.4, 0.5, 0.6, -0.9]) == year()
    assert year(ndvi_of_ground=[0.4, 0.5, 0.7, 0.3]) != year()


def test_a_date_that_shows_half_is_not_drawn_as_one_that_shows_all() -> None:
    assert year(valid_fraction=[0.9, 1.0, 1.0, 0.01]) != year()
    assert year(data_fraction=[1.0, 0.3, 1.0, 1.0]) != year()


def test_a_tenth_is_of_what_is_imaged() -> None:
    """Where 95 % of a patch never has data, 1 % of it is a fifth of what there is."""
    border = {"without_data": 0.95, "valid_fraction": [0.05, 0.05, 0.05, 0.01]}
    border |= {"data_fraction": [0.05] * 4, "snow_fraction": [0.0] * 4}
    other = year(**border, ndvi_of_ground=[0.4, 0.5, 0.6, -0.9])
    assert other != year(**border)


def test_snow_is_drawn_apart_from_ground() -> None:
    assert year(ndvi_of_snow=[0.15, np.nan, np.nan, np.nan]) != year()
    # Nine tenths of the first date are valid, and of these all but a tenth is snow.
    assert year(snow_fraction=[0.0] * 4) != year()


# Names


def test_what_is_counted_by_class_is_told_by_the_classes_names() -> None:
    names = {1: "农田", 7: "rent <$5>", 20: "forest"}
    describer = report.Describer()

    def describe(value: Any) -> Any:
        return describer.shown(describer.description(value))

    where = np.arange(3, dtype=np.int32)
    samples = Samples(
        "p",
        2021,
        ("a",),
        np.zeros((3, 1), np.float32),
        np.array([1, 20, 20], np.uint8),
        where,
        where,
        np.zeros(3, np.uint32),
        {i: (name, "#00ff00") for i, name in names.items()},
    )
    assert describe(samples)["class_samples"].value == {"农田": 1, "forest": 2}
    cube = LazyCube({MAIN: cubes.grid(8, 8)}, {}, lambda _: iter(()))
    # A class may be called as another one is numbered.
    cube.summary.facts = {"class_pixels": {"rent <$5>": 12, "2": 3}, "valid_fraction": 0.5}
    assert describe(cube)["class_pixels"].value == {"rent <$5>": 12, "2": 3}
