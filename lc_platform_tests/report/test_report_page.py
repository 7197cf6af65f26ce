"""The report of a year's map: one file that needs no other, with the numbers of the artefacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.area.grid import PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.artefacts.tables import write_columns
from lc_platform.config.differing import differing
from lc_platform.eo.season import Season
from lc_platform.products.alignment import Alignment, Comparison
from lc_platform.products.options import ReportOptions
from lc_platform.products.report import Report
from lc_platform.report.report_facts import Contents
from lc_platform.report.report_page import write_report
from lc_platform.storage.errors import DamagedArtefactError
from lc_platform.storage.raster_cube import tiled
from lc_platform_tests.judged_maps import CLASSES, NORTH, WEST, YEAR, JudgedMap, map_of_three

pytestmark = pytest.mark.slow

PATCHES = ("33N-r0-c0", "33N-r0-c1")
MATRIX = [[700, 20, 0], [15, 300, 5], [0, 10, 170]]
SCORES = {"precision": 0.9123, "recall": 0.8765, "f1": 0.8941, "support": 720}
METRICS: dict[str, Any] = {
    "classes": [{"id": one["id"], "name": one["name"]} for one in CLASSES],
    "overall_accuracy": 0.95902,
    "f1_weighted": 0.95917,
    "f1_macro": 0.94321,
    "per_class": {str(one["name"]): SCORES for one in CLASSES},
    "confusion_matrix": MATRIX,
    "test_pixels": 1220,
    "test_patches": list(PATCHES[:1]),
    "missing_patches": [],
    "model_version": "model",
    "split_warnings": [],
}
DIAGRAM = {"edges": [0, 0.5, 1], "pixels": [4, 9], "confidence": [0.4, 0.9], "accuracy": [0.5, 0.8]}
CARD: dict[str, Any] = {
    "features": ["a", "b"],
    "samples": {"forest": 300, "water": 200},
    "training_patches": list(PATCHES),
    "parameters": {},
    "versions": {"lightgbm": "1.2.3"},
    "classes_without_samples": [],
}
LEGEND = {int(one["id"]): (str(one["name"]), str(one["color"])) for one in CLASSES}  # type: ignore[call-overload]
OPTIONS = ReportOptions(name="Judged land", classes=LEGEND, source="simulated",
                        collections=("sentinel-2-l1c",))  # fmt: skip


class Page(HTMLParser):
    """What is in a page: its tables, its text, and what it refers to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self._cell = False
        self.feed(html)
        self.rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "data", "action")]
        self._open += [tag] if tag in ("style", "title") else []
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if not self._open:
            self.text += data
        if self._cell:
            self.rows[-1][-1] += f" {data}"

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row[0] == name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> JudgedMap:
    """A map, its judged sample and the statistics of two patches."""
    of = JudgedMap(tmp_path_factory.mktemp("report"))
    of.write(map_of_three())
    of.sample(points=90)
    truth = map_of_three()
    truth[truth == 0] = 2
    of.judge(truth)
    for number, patch in enumerate(PATCHES):
        days = np.array([f"{YEAR}-03-01", f"{YEAR}-06-11"], "datetime64[s]")
        table = {
            "datetime": days[: 2 - number],
            "acquisition": np.array(["first", "second"])[: 2 - number],
            "valid_fraction": np.array([0.5, 1.0])[: 2 - number],
            "data_fraction": np.ones(2 - number),
            "snow_fraction": np.zeros(2 - number),
        }
        path = f"{key('observation_stats', patch, YEAR).removesuffix('.tif')}.parquet"
        with of.platform.store.file(path) as file:
            write_columns(file, table)
    return of


def contents(made: JudgedMap, **other: Any) -> Contents:
    mosaic = formats()["mosaic"].open(made.platform.store, key("mosaic", year=YEAR))
    of = Contents(
        YEAR,
        made.platform.store,
        PatchGrid([], {}),
        CARD,
        METRICS,
        mosaic,
        made.statistics().content,
        {"objects": None, "warnings": []},
        PATCHES,
        {},
        {"mosaic": "one", "predictions": "2 versions"},
    )
    return replace(of, **other)


def page(made: JudgedMap, options: ReportOptions = OPTIONS, **other: Any) -> Page:
    return Page(write_report(contents(made, **other), options).html)


def test_a_report_refers_to_nothing_outside_of_itself(made: JudgedMap) -> None:
    html = write_report(contents(made), OPTIONS).html
    found = Page(html)
    assert found.references
    assert all(one.startswith("data:image/png;base64,") for one in found.references)
    assert not {"script", "link", "iframe", "object", "base"} & found.tags
    for word in ("http:", "https:", "@import", "url("):
        assert word not in html


def test_it_says_of_which_days_it_is_where_they_are_no_calendar_year(made: JudgedMap) -> None:
    assert "Season" not in {row[0] for row in page(made).rows}
    found = page(made, replace(OPTIONS, season=Season(10, 1), source="stac"))
    assert found.row("Season")[1].strip() == f"{YEAR - 1}-10-01 to {YEAR}-09-30"
    assert f"Contains modified Copernicus Sentinel data {YEAR - 1}-{YEAR}." in found.text


def test_its_numbers_are_those_of_the_metrics(made: JudgedMap) -> None:
    found = page(made)
    for name, words in (
        ("overall_accuracy", "overall accuracy"),
        ("f1_weighted", "weighted F1"),
        ("f1_macro", "macro F1"),
    ):
        assert found.row(words)[1] == f"{METRICS[name]:.3f}"
    cells = next(row for row in found.rows if row[0] == "water" and len(row) == 5)
    assert cells[1:] == ["720", "0.912", "0.876", "0.894"]
    matrix = [row for row in found.rows if len(row) == 4 and "%" in " ".join(row)]
    assert matrix[0][1:] == ["97.2 % 700", "2.8 % 20", ""]


def test_its_areas_are_those_of_the_statistics_with_their_intervals(made: JudgedMap) -> None:
    found, total = page(made), made.statistics().content["total"]
    (water,) = (one for one in total["classes"] if one["name"] == "water")
    row = next(r for r in found.rows if r[0] == "water" and "to" in " ".join(r))
    area = water["hectares"]
    assert row[1] == f"{water['mapped_hectares']:,.1f}" == "30.0"
    assert row[2] == f"{area['value']:,.1f}"
    assert row[3] == f"{area['low']:,.1f} to {area['high']:,.1f}"
    assert "90 of 90 points judged" in found.text


def test_units_have_their_estimates_with_intervals_where_a_point_was_judged(
    made: JudgedMap,
) -> None:
    content = made.statistics().content
    bare = [
        {name: one[name] for name in ("id", "name", "pixels", "mapped_hectares")}
        for one in content["total"]["classes"]
    ]
    area = {"value": 12.34, "standard_error": 3.0, "low": 8.76, "high": 21.09}
    units = [
        {"unit": "north", "mapped_hectares": 50.0, "judged_points": 31,
         "classes": [one | {"hectares": area} for one in bare]},
        {"unit": "south", "mapped_hectares": 9.0, "judged_points": 0, "classes": bare},
    ]  # fmt: skip
    found = page(made, areas={**content, "units": units})
    interval = "12.3 (8.8 to 21.1)"
    assert ["north", "31", interval, interval, interval] in found.rows
    assert ["south", "0", "", "", ""] in found.rows
    assert "By unit" in found.text


def test_the_report_says_by_what_points_must_not_be_judged(made: JudgedMap) -> None:
    assert "Filled in from the training reference" in page(made).text
    areas = {**made.statistics().content, "no_estimate_because": "there is no sample"}
    areas["total"] = {"mapped_hectares": 1.0, "classes": []}
    assert "Filled in from the training reference" not in page(made, areas=areas).text


def test_a_warning_of_the_areas_is_told_beside_their_intervals(made: JudgedMap) -> None:
    areas = {**made.statistics().content, "warnings": ["areas: 3 of 90 points are not judged"]}
    assert not areas["no_estimate_because"]
    assert "3 of 90 points are not judged" in page(made, areas=areas).text


def test_intervals_calibration_and_the_gap_appear_where_the_evaluation_has_them(
    made: JudgedMap,
) -> None:
    metrics = METRICS | {
        "balanced_accuracy": 0.9,
        "intervals": {
            "confidence": 0.95,
            "blocks": 12,
            "overall_accuracy": [0.94, 0.97],
            "per_class": {"water": {"f1": [0.81, 0.93]}},
        },
        "calibration": {
            "method": "temperature",
            "temperature": 1.25,
            "expected_calibration_error_before": 0.0712,
            "expected_calibration_error_map": 0.0123,
            "reliability_map": DIAGRAM,
        },
        "random_split": {"overall_accuracy": 0.987},
        "block_split": {"overall_accuracy": 0.912},
        "prediction_sets": {"coverage": 0.9, "covered": 0.913, "mean_size": 1.2},
    }
    found = page(made, metrics=metrics)
    assert found.row("overall accuracy") == ["overall accuracy", "0.959", "0.940 to 0.970"]
    assert "bootstrap over 12 blocks" in found.text
    assert "There are only 12 blocks: intervals from fewer than 15" in found.text
    assert "validation.block_size" in found.text
    enough = {**metrics, "intervals": {**metrics["intervals"], "blocks": 15}}
    assert "There are only" not in page(made, metrics=enough).text
    water = next(row for row in found.rows if row[0] == "water" and len(row) == 6)
    assert water[-1] == "0.810 to 0.930"
    assert found.row("the map, on all reference pixels")[1] == "0.0123"
    assert found.row("before calibration")[1] == "0.0712"
    assert "temperature" in found.text
    assert "accuracy of 0.987 where it is tested on pixels drawn at random" in found.text
    assert "and of 0.912 on ground that it has not seen" in found.text
    assert "A random split would promise 0.075 too much here" in found.text
    even = page(made, metrics=metrics | {"random_split": {"overall_accuracy": 0.912}})
    assert "a random split would promise no more" in even.text
    assert "hold it in 91.3 % of the pixels" in found.text


def test_scores_by_object_appear_where_objects_were_given(made: JudgedMap) -> None:
    told = {"objects": 321, "overall_accuracy": 0.98765, "f1_weighted": 0.98765, "per_class": {}}
    found = page(made, metrics=METRICS | {"by_object": told})
    assert "By object" in found.text
    assert found.row("objects") == ["objects", "321"]
    assert found.row("f1 weighted") == ["f1 weighted", "0.988"]
    assert "By object" not in page(made).text


def test_a_section_without_an_artefact_says_what_is_missing(made: JudgedMap) -> None:
    found = page(made)
    for words in (
        "There are no intervals: they need several blocks",
        "The evaluation says nothing of calibration",
        "The mosaic has no layer of applicability",
        "There is no change from the year before",
        "Nothing was compared: materialize alignment",
        "The mosaic has no layer of valid observations",
    ):
        assert words in found.text
    assert "There are no observation statistics" in page(made, observed=()).text


def test_acquisitions_of_all_patches_are_told_once_with_their_dates(made: JudgedMap) -> None:
    found = page(made)
    assert found.row("Acquisitions")[1] == f"2, from {YEAR}-03-01 to {YEAR}-06-11"
    assert found.row("first") == ["first", f"{YEAR}-03-01", "2", "50 %"]
    assert found.row("second") == ["second", f"{YEAR}-06-11", "1", "100 %"]


def test_what_lies_elsewhere_is_told_with_its_words(made: JudgedMap) -> None:
    one = Comparison(
        "reference", "imagery", "reference", None, 2.0, -1.0, 20.0, -10.0, 0.1, 9, True
    )
    found = page(made, alignments={"p": Alignment("p", YEAR, [one])})
    assert found.row("imagery and the reference")[1:] == [
        "1", "2.24", "2.24 +- 0.10", "22.4", "1", "0",
    ]  # fmt: skip
    assert "p: the imagery lies 2.2 pixels +- 0.1 (20.0 m south and 10.0 m west)" in found.text


def test_what_several_patches_say_of_their_alignment_is_told_once(made: JudgedMap) -> None:
    one = Comparison(
        "reference", "imagery", "reference", None, 2.0, -1.0, 20.0, -10.0, 0.1, 9, True
    )
    found = page(made, alignments={name: Alignment(name, YEAR, [one]) for name in "abc"})
    assert "a (and 2 more of 3 patches: b, c): the imagery lies 2.2 pixels" in found.text
    assert found.text.count("check the CRS") == 1


def test_an_invented_landscape_is_said_not_to_be_compared_with_the_reference(
    made: JudgedMap,
) -> None:
    one = Comparison("band", "B02", "B03", "first", 0.1, 0.0, 1.0, 0.0, 0.1, 9, False)
    alignments = {"a": Alignment("a", YEAR, [one])}
    words = "Imagery and the reference are not compared: the landscape is invented"
    for options, said in (
        (replace(OPTIONS, reference="parcels.shp"), True),
        (OPTIONS, False),
        (replace(OPTIONS, source="stac", reference="parcels.shp"), False),
    ):
        assert (words in page(made, options, alignments=alignments).text) is said


def test_a_shift_that_cannot_be_told_is_counted_as_such(made: JudgedMap) -> None:
    far = Comparison("reference", "imagery", "reference", None, 3.0, 4.0, 30.0, 40.0, 2.5, 9, False)
    none = Comparison(
        "reference", "imagery", "reference", None, *4 * [float("nan")], float("inf"), 0, False
    )
    found = page(made, alignments={"p": Alignment("p", YEAR, [far]),
                                   "q": Alignment("q", YEAR, [none])})  # fmt: skip
    assert found.row("imagery and the reference")[1:] == [
        "1", "5.00", "5.00 +- 2.50", "50.0", "0", "1",
    ]  # fmt: skip
    found = page(made, alignments={"q": Alignment("q", YEAR, [none])})
    assert found.row("imagery and the reference")[1:] == ["0", "", "", "", "", "1"]
    assert "No patch has enough clear ground and edges to say" in found.text


def test_accuracy_stands_beside_that_of_the_most_frequent_class(made: JudgedMap) -> None:
    # 720 of 1,220 pixels are of the first class.
    name = CLASSES[0]["name"]
    found = page(made)
    words = (
        f"Always saying {name}, the most frequent class of these pixels, would be right in 0.590"
    )
    assert f"{words} of them." in found.text
    assert "no more often" not in found.text
    assert f"always {name}: 0.590" in found.text
    found = page(made, metrics=METRICS | {"overall_accuracy": 0.59})
    assert f"{words} of them: the map is right no more often." in found.text
    assert "says nothing of other ground" in found.text


def test_accuracy_below_that_of_guessing_is_said_to_be_so_and_why(made: JudgedMap) -> None:
    metrics = METRICS | {
        "overall_accuracy": 0.35,
        "intervals": {"confidence": 0.95, "blocks": 40, "overall_accuracy": [0.3, 0.4]},
    }
    text = page(made, metrics=metrics).text
    assert "0.590 of them: the map is right less often." in text
    assert "is right about once in 3." in text
    unweighted = replace(OPTIONS, settings={"sampling.class_weights": "none"})
    assert "right about once" not in page(made, unweighted, metrics=metrics).text


def test_labels_that_look_wrong_mean_nothing_where_accuracy_is_that_of_guessing(
    made: JudgedMap,
) -> None:
    card = CARD | {"wrong_labels": {"wrong_polygons": 76, "judged_polygons": 140}}
    assert "means nothing" not in page(made, card=card).text
    found = page(made, card=card, metrics=METRICS | {"overall_accuracy": 0.2})
    assert "76 of the 140 polygons that were judged" in found.text
    assert "so that this list means nothing" in found.text
    assert "samples: one or two are weak evidence" in found.text


def test_simulated_imagery_is_said_to_be_invented_at_the_top(made: JudgedMap) -> None:
    for reference, words in (
        ("parcels.shp", "an invented landscape, of which the reference knows nothing"),
        ("", "an invented landscape, for a demonstration"),
        ("reference.gpkg", "an invented landscape, for a demonstration"),
    ):
        text = page(made, replace(OPTIONS, reference=reference)).text
        assert "from simulated sentinel-2-l1c" in text
        assert text.index(words) < text.index("Area and data")
    text = page(made, replace(OPTIONS, source="stac", reference="parcels.shp")).text
    assert "invented" not in text
    assert "simulated" not in text


def test_change_is_told_by_transition(made: JudgedMap) -> None:
    content: Mapping[str, Any] = {
        "from_year": YEAR - 1,
        "changed": {"mapped_hectares": 3.5, "percent": 1.25},
        "transitions": [
            {"from_name": "forest", "to_name": "built-up", "is_change": True, "pixels": 350,
             "mapped_hectares": 3.5, "confirmed_pixels": 300},
            {"from_name": "forest", "to_name": "forest", "is_change": False, "pixels": 9,
             "mapped_hectares": 0.1, "confirmed_pixels": 0},
        ],
        "warnings": ["one warning"],
    }  # fmt: skip
    found = page(made, change=content)
    assert f"From {YEAR - 1} to {YEAR}, 3.5 ha have changed" in found.text
    assert [r for r in found.rows if r[0] == "forest" and len(r) == 4 and r[1] in LEGEND_NAMES] == [
        ["forest", "built-up", "3.5", "300"]
    ]
    assert "one warning" in found.text


LEGEND_NAMES = {name for name, _ in LEGEND.values()}


def test_what_was_left_out_is_told_with_the_reason(made: JudgedMap) -> None:
    nothing = page(made)
    assert "Nothing: every patch is in the map" in nothing.text
    found = page(
        made,
        replace(OPTIONS, excluded=("20230301",)),
        metrics=METRICS | {"missing_patches": ["p9"], "split_warnings": ["class water: too few"]},
        card=CARD
        | {"wrong_labels": {"wrong_polygons": 3, "judged_polygons": 80}}
        | {"missing_layers": {"soil": {"water": 0.123, "forest": 1.0}, "terrain": {}}},
    )
    assert "without terrain" not in found.text
    for words in (
        "1 patches are not in the map: p9",
        "Training pixels without soil: 12.3 % of water, 100 % of forest.",
        "Acquisitions left out by the configuration: 20230301",
        "class water: too few",
        "3 of the 80 polygons that were judged, kept in training",
    ):
        assert words in found.text


def test_names_are_text_and_never_markup(made: JudgedMap) -> None:
    odd = {2: ('<b>forest & "meadow"</b>', "#3f9b45"), **{i: LEGEND[i] for i in (5, 9)}}
    found = page(made, replace(OPTIONS, name="<script>alert(1)</script>", classes=odd))
    assert "script" not in found.tags
    assert '<b>forest & "meadow"</b>' in found.text


def test_versions_and_the_citation_name_the_map(made: JudgedMap) -> None:
    found = page(made)
    assert found.row("predictions") == ["predictions", "2 versions"]
    assert found.row("lightgbm")[1] == "1.2.3"
    assert f"Judged land: land cover of {YEAR}, from sentinel-2-l1c (simulated)" in found.text
    assert "Olofsson, P." in found.text  # a sample is judged
    assert "Meyer, H." not in found.text  # there is no applicability


def test_settings_that_differ_are_those_of_the_file_and_no_others(made: JudgedMap) -> None:
    found = differing(made.config)
    assert found["aoi.patch_size"] == "500.0"
    assert "storage" not in found
    assert not any(path.startswith("clouds") for path in found)
    rows = page(made, replace(OPTIONS, settings=found)).rows
    assert ["aoi.patch_size", "500.0"] in rows


def test_a_report_whose_end_is_missing_is_damaged(tmp_path: Path) -> None:
    of = JudgedMap(tmp_path)
    store, at = of.platform.store, key("report", year=YEAR)
    formats()["report"].write(store, at, Report("<html>all</html>\n"))
    assert formats()["report"].open(store, at).html == "<html>all</html>\n"
    store.put(at, b"<html>half")
    with pytest.raises(DamagedArtefactError, match="Materialize report again"):
        formats()["report"].check(store, at)


def test_what_the_map_is_asked_about_and_training_has_not_shown_is_told_by_class(
    tmp_path: Path,
) -> None:
    of = JudgedMap(tmp_path)
    values = map_of_three()
    of.write(values)
    mosaic = dict(formats()["mosaic"].open(of.platform.store, key("mosaic", year=YEAR)))
    percent = np.where(values == 9, 180, 60).astype(np.uint8)
    shares = {
        "share_outside": 0.1525,
        "classes": {"forest": {"share_outside": 0.0}, "built-up": {"share_outside": 1.0}},
        "patches": {"p1": {"share_outside": 0.4}, "p2": {"share_outside": 0.0}},
    }
    grid = GeoBox(values.shape, Affine(10, 0, WEST, 0, -10, NORTH), "EPSG:32633")
    for name in ("applicability.tif", "applicability.json"):
        mosaic[name] = str(tmp_path / name)
    with tiled(tmp_path / "applicability.tif", grid, ["applicability"], "uint8", 0) as raster:
        raster.write(percent, (slice(0, values.shape[0]), slice(0, values.shape[1])))
    (tmp_path / "applicability.json").write_text(json.dumps(shares))
    found = page(of, mosaic=mosaic, observed=())
    assert "15.2 % of the map lies outside" in found.text or "15.3 %" in found.text
    assert "Inside does not mean right" in found.text
    assert "no better than guessing" not in found.text
    poor = page(of, mosaic=mosaic, observed=(), metrics=METRICS | {"overall_accuracy": 0.2}).text
    assert "of the map is unlike training ground;the rest is no better than guessing" in poor
    assert "accuracy above applies there, which is no better than guessing" in poor
    assert ["built-up", "100.0 %"] in found.rows
    assert "Most of it is in patch p1 (40.0 %)." in found.text
