"""Areas of a map: counted, estimated from a judged sample, by unit; samples that are no good."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
import shapely

from lc_platform.artefacts.formats import AreaStatisticsFormat
from lc_platform.errors import DataError
from lc_platform.report import Describer
from lc_platform_tests.judged_maps import (
    METRES,
    NORTH,
    WEST,
    JudgedMap,
    map_of_three,
    truth_of_three,
)

KEY = "area_statistics/2023.parquet"


@pytest.fixture
def judged(tmp_path: Path) -> JudgedMap:
    made = JudgedMap(tmp_path)
    made.write(map_of_three())
    return made


@pytest.fixture
def filled(judged: JudgedMap) -> JudgedMap:
    judged.sample(points=240)
    judged.judge(truth_of_three())
    return judged


def by_name(ground: Any) -> dict[str, Any]:
    return {one["name"]: one for one in ground["classes"]}


def test_pixels_are_counted_where_nobody_has_judged_and_it_says_why_that_is_all(
    judged: JudgedMap,
) -> None:
    content = judged.statistics().content
    counted = {name: one["mapped_hectares"] for name, one in by_name(content["total"]).items()}
    assert counted == {"forest": 70.0, "water": 30.0, "built-up": 18.0}  # 100 pixels a hectare
    assert content["total"]["no_data_pixels"] == 200
    assert "there is no reference sample" in content["no_estimate_because"]
    assert "hectares" not in by_name(content["total"])["forest"]
    assert content["warnings"] == []


def test_areas_are_those_of_the_stratified_estimator(filled: JudgedMap) -> None:
    """Olofsson et al. (2014), equations 9 and 10, without the finite population correction that the
    platform makes: at most 1 % of a stratum's pixels is sampled, or 4 % of the smallest."""
    content = filled.statistics().content
    points = filled.points()
    names = ["forest", "water", "built-up"]
    weights = np.array([7000, 3000, 1800]) / 11800
    table = pandas.crosstab(points["map_class_name"], points["reference"]).reindex(
        index=names, columns=names, fill_value=0
    )
    n = table.sum(axis=1).to_numpy()
    shares = table.to_numpy() / n[:, None]
    areas = 118.0 * weights @ shares
    variances = (weights[:, None] ** 2 * shares * (1 - shares) / (n[:, None] - 1)).sum(axis=0)
    for position, name in enumerate(names):
        told = by_name(content["total"])[name]["hectares"]
        assert told["value"] == pytest.approx(areas[position], rel=1e-9)
        error = 118.0 * np.sqrt(variances[position])
        assert told["standard_error"] == pytest.approx(error, rel=0.04)
        assert told["low"] < told["value"] < told["high"]
        users = by_name(content["total"])[name]["users_accuracy"]["value"]
        assert users == pytest.approx(shares[position, position])
    overall = (weights * np.diag(shares)).sum()
    assert content["total"]["overall_accuracy"]["value"] == pytest.approx(overall)
    assert content["no_estimate_because"] is None
    assert content["sample"]["judged"] == 240
    assert content["estimator"].endswith("(Olofsson et al. 2014)")
    assert content["warnings"] == []


def test_a_reference_may_be_written_as_a_number(filled: JudgedMap) -> None:
    before = filled.statistics().content["total"]
    ids = {"forest": 2, "water": 5, "built-up": 9}
    filled.edit(lambda points: points.assign(reference=points["reference"].map(ids)))
    assert filled.statistics().content["total"] == before


def test_points_that_could_not_be_judged_are_told(filled: JudgedMap) -> None:
    def doubt(points: geopandas.GeoDataFrame) -> None:
        points.loc[:9, "reference"] = ["", None, " ", *[""] * 7]

    filled.edit(doubt)
    content = filled.statistics().content
    assert content["sample"]["not_judged"] == 10
    assert content["warnings"] == ["10 of 240 points are not judged"]
    assert content["total"]["overall_accuracy"] is not None


@pytest.mark.parametrize(
    ("unjudged", "words"),
    [
        (lambda points: points["stratum"] > 0, "no point of .* is judged yet: fill in the column"),
        (lambda points: points["stratum"] == 5, "of stratum 5 fewer than two points are judged"),
    ],
)
def test_nothing_is_estimated_where_a_stratum_is_not_judged(
    filled: JudgedMap, unjudged: Callable[[Any], Any], words: str
) -> None:
    filled.edit(
        lambda points: points.assign(reference=points["reference"].mask(unjudged(points), ""))
    )
    found = filled.statistics()
    assert re.search(words, found.content["no_estimate_because"])
    assert found.content["warnings"][-1].startswith("no area is estimated: ")
    assert by_name(found.content["total"])["water"]["mapped_hectares"] == 30.0
    assert "overall_accuracy" not in found.content["total"]


def test_a_sample_of_an_earlier_map_serves_a_later_one(filled: JudgedMap) -> None:
    """The areas on the ground are those of the sample, whatever the map says; its accuracy is that
    of the later map, which is without fault where it is the truth."""
    before = filled.statistics().content
    filled.write(np.where(map_of_three() == 0, 0, truth_of_three()).astype(np.uint8), "two")
    content = filled.statistics().content
    for name in ("forest", "water", "built-up"):
        one, other = (by_name(c["total"])[name]["hectares"] for c in (before, content))
        assert one == pytest.approx(other)
    assert content["total"]["overall_accuracy"]["value"] == 1.0
    assert content["estimator"].endswith("(Stehman 2014)")
    assert [said for said in content["warnings"] if "drawn from an earlier map; it serves" in said]


def test_points_beyond_a_smaller_map_count_for_the_areas_alone(filled: JudgedMap) -> None:
    before = filled.statistics().content
    filled.write(map_of_three()[:, :60], "two")
    content = filled.statistics().content
    one, other = (by_name(c["total"])["water"]["hectares"] for c in (before, content))
    assert one == pytest.approx(other)
    assert [said for said in content["warnings"] if "beyond it: they count for the areas" in said]
    assert [said for said in content["warnings"] if "of the 118 ha that the sample" in said]


def moved(points: geopandas.GeoDataFrame) -> None:
    points.loc[4, "geometry"] = shapely.Point(WEST + 5, NORTH + 5000)


def added(points: geopandas.GeoDataFrame) -> Any:
    return pandas.concat([points, points.tail(1).assign(id=None, x=WEST)], ignore_index=True)


def one_more(points: geopandas.GeoDataFrame) -> Any:
    place = shapely.Point(WEST + 5, NORTH - 5)
    extra = points.tail(1).assign(id=999, x=place.x, y=place.y).set_geometry([place])
    return pandas.concat([points[~((points.x == place.x) & (points.y == place.y))], extra, extra
                          .assign(id=998, x=place.x + 10).set_geometry([shapely.Point(
                              place.x + 10, place.y)])], ignore_index=True)  # fmt: skip


def misspelt(points: geopandas.GeoDataFrame) -> None:
    points.loc[[3, 7], "reference"] = "forrest"


def unknown(points: geopandas.GeoDataFrame) -> None:
    points.loc[3, "reference"] = "17"


def reweighted(points: geopandas.GeoDataFrame) -> None:
    points.loc[0, "stratum_pixels"] = 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (moved, "point 5: not where it was drawn"),
        (lambda points: pandas.concat([points, points.head(1)]), "points 1, 1: the same id is the"),
        (
            lambda points: pandas.concat([points, points.head(1).assign(id=999)]),
            "points 1, 999: the same place is there twice",
        ),
        (added, "has points that were added by hand, without id or stratum"),
        (one_more, "stratum 9 has .* points, of which .* were drawn"),
        (misspelt, "points 4, 8: the map has no class 'forrest'. Did you mean 'forest'"),
        (unknown, "point 4: the map has no class '17'. Write one of forest, water, built-up"),
        (reweighted, "point 1: the stratum, or its number of pixels, is not the design's"),
        (
            lambda points: points.drop(columns="stratum"),
            r"2023\.gpkg: lacks stratum, which `lc-platform sample` wrote",
        ),
        (
            lambda points: points.rename(columns={"reference": "Reference"}),
            r"2023\.gpkg: lacks reference, which `lc-platform sample` wrote",
        ),
        (
            lambda points: points.assign(stratum="forest"),
            "the column stratum has 'forest', which is no number. Leave that column as it was",
        ),
        (
            lambda points: points.set_geometry(points.buffer(5)),
            "points 1, 2, .* and 230 more: no single point is drawn there but a Polygon",
        ),
    ],
)
def test_a_sample_that_is_not_the_one_drawn_is_refused(
    filled: JudgedMap, change: Callable[[Any], Any], words: str
) -> None:
    filled.edit(change)
    with pytest.raises(DataError, match=words):
        filled.statistics()


def test_every_word_that_is_no_class_is_named_at_once(filled: JudgedMap) -> None:
    def misspell(points: geopandas.GeoDataFrame) -> None:
        points.loc[[3, 7], "reference"] = "forrest"
        points.loc[8, "reference"] = "sea"

    filled.edit(misspell)
    with pytest.raises(DataError, match=r"points 4, 8: .* 'forrest'.* point 9: .* 'sea'"):
        filled.statistics()


def in_words(points: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    columns = ["id", "stratum", "stratum_pixels", "x", "y"]
    return points.assign(**{name: points[name].astype(str) for name in columns})


@pytest.mark.parametrize(
    "saved",
    [
        lambda points: points.assign(reference=points["reference"].str.title()),
        lambda points: points.assign(
            reference=points["reference"].map({"forest": "2.0", "water": " 5 ", "built-up": "9.0"})
        ),
        lambda points: points.set_geometry(
            geopandas.GeoSeries([shapely.MultiPoint([one]) for one in points.geometry], crs=32633)
        ),
        in_words,
    ],
    ids=["Capital Letters", "numbers with a decimal", "collections of one", "numbers in words"],
)
def test_what_editors_do_to_a_sample_changes_nothing(
    filled: JudgedMap, saved: Callable[[geopandas.GeoDataFrame], geopandas.GeoDataFrame]
) -> None:
    before = filled.statistics().content
    filled.edit(saved)
    assert filled.statistics().content == before


def test_names_that_differ_by_capital_letters_alone_are_told_apart(filled: JudgedMap) -> None:
    sample = filled.platform.reference_sample(2023)
    assert sample is not None
    legend = {1: ("Forest", "#000000"), 2: ("forest", "#000000"), 3: ("water", "#000000")}
    found = sample.read()
    found.points["reference"] = "forest"
    assert set(found.references(legend)) == {2}
    other = sample.read()
    other.points["reference"] = "FOREST"
    with pytest.raises(DataError, match="the map has no class 'FOREST'"):
        other.references(legend)


@pytest.mark.parametrize("layer", ["reference_sample", "judged"])
def test_a_sample_that_was_saved_as_a_new_file_is_told_from_chosen_points(
    filled: JudgedMap, layer: str
) -> None:
    points = filled.points()
    filled.file.unlink()
    points.to_file(filled.file, layer=layer, driver="GPKG")
    with pytest.raises(DataError, match=r"lacks .*design, which .* saved as a new file, or under"):
        filled.statistics()


def test_a_save_that_is_not_finished_is_not_read(filled: JudgedMap) -> None:
    """SQLite has then written some pages of the file, and keeps what they were in its journal."""
    before = filled.statistics().content["total"]
    other = sqlite3.connect(filled.file)
    for (name,) in other.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall():
        other.execute(f"DROP TRIGGER {name}")  # of GDAL's, with functions that it alone has
    other.commit()
    whole = filled.file.read_bytes()
    other.execute("PRAGMA cache_size = 1")
    other.execute("BEGIN")
    other.execute("UPDATE reference_sample SET reference = 'water'")
    try:
        assert filled.file.read_bytes() != whole
        assert filled.statistics().content["total"] == before
    finally:
        other.rollback()
        other.close()


def test_points_that_nobody_drew_at_random_are_refused_with_the_reason(judged: JudgedMap) -> None:
    judged.file.parent.mkdir(parents=True)
    places = geopandas.points_from_xy([WEST + 5, WEST + 25], [NORTH - 5, NORTH - 15])
    chosen = geopandas.GeoDataFrame({"reference": ["forest", "water"]}, geometry=places, crs=32633)
    chosen.to_file(judged.file, layer="reference_sample")
    with pytest.raises(DataError, match=r"from points drawn at random alone, .* training poly"):
        judged.statistics()


def test_a_file_that_is_no_geopackage_is_refused(judged: JudgedMap) -> None:
    judged.file.parent.mkdir(parents=True)
    judged.file.write_text("id,reference")
    with pytest.raises(DataError, match="cannot be read as a GeoPackage"):
        judged.statistics()


def test_points_that_were_removed_are_told(filled: JudgedMap) -> None:
    filled.file.unlink()
    filled.sample(points=240)
    filled.judge(truth_of_three())
    points = filled.points()
    filled.edit(lambda every: every.iloc[5:])
    if len(filled.points()) == len(points):  # GDAL appends to a layer of the same name
        pytest.fail("the layer was not written anew")
    assert "5 points of the sample have been removed" in filled.statistics().content["warnings"][0]


# By unit


def with_units(folder: Path, boxes: dict[str, tuple[int, int]]) -> JudgedMap:
    """A judged map with units that are bands of rows, from one to before another."""
    shapes = [
        shapely.box(WEST, NORTH - METRES * last, WEST + 1000, NORTH - METRES * first)
        for first, last in boxes.values()
    ]
    table = geopandas.GeoDataFrame({"town": list(boxes)}, geometry=shapes, crs="EPSG:32633")
    table.to_crs(4326).to_file(folder / "towns.gpkg")
    made = JudgedMap(folder, areas={"units": "towns.gpkg", "unit_name": "town"})
    made.write(map_of_three())
    return made


def test_areas_are_told_by_unit(tmp_path: Path) -> None:
    made = with_units(tmp_path, {"north": (0, 80), "south": (80, 120)})
    made.sample(points=240)
    made.judge(truth_of_three())
    found = made.statistics()
    north, south = found.content["units"]
    assert [one["unit"] for one in (north, south)] == ["north", "south"]
    pixels = {name: one["pixels"] for name, one in by_name(north).items()}
    assert pixels == {"forest": 7000, "water": 1000, "built-up": 0}
    assert {n: one["pixels"] for n, one in by_name(south).items()}["built-up"] == 1800
    # The estimates of parts that make up the whole add up to it where their sizes are known.
    assert north["judged_points"] + south["judged_points"] == 240
    estimated = sum(one["hectares"]["value"] for one in by_name(north).values())
    assert estimated == pytest.approx(80.0)
    assert by_name(north)["water"]["hectares"]["value"] > 10.0
    rows = [row for row in found.rows if row["unit"] == "south" and row["class"] == 9]
    assert rows[0]["hectares_low"] < rows[0]["hectares"] < rows[0]["hectares_high"]


@pytest.mark.parametrize(
    ("boxes", "areas", "words"),
    [
        ({"a": (0, 80), "b": (60, 120)}, {}, "a and b overlap on 20 ha, 33% of the smaller"),
        ({"a": (0, 80)}, {"unit_name": "name"}, "has no polygons with the attribute name. It has"),
        ({"a": (0, 80)}, {"units": "gone.gpkg"}, "gone.gpkg cannot be read as a vector file"),
    ],
)
def test_units_that_are_no_good_are_refused(
    tmp_path: Path, boxes: dict[str, tuple[int, int]], areas: dict[str, str], words: str
) -> None:
    with_units(tmp_path, boxes)
    named = {"units": "towns.gpkg", "unit_name": "town"} | areas
    made = JudgedMap(tmp_path, areas=named)
    with pytest.raises(DataError, match=words):
        made.statistics()


# As it is stored and shown


def test_areas_are_stored_as_a_table_and_as_json(filled: JudgedMap) -> None:
    found, store = filled.statistics(), filled.platform.store
    AreaStatisticsFormat().write(store, KEY, found)
    folder = Path(filled.config.storage_url) / "area_statistics"
    assert {"2023.json", "2023.parquet"} <= {path.name for path in folder.iterdir()}
    assert AreaStatisticsFormat().open(store, KEY).content == found.content
    AreaStatisticsFormat().check(store, KEY)
    table = pq.read_table(folder / "2023.parquet").to_pylist()
    assert table == found.rows
    assert [row["class_name"] for row in table] == ["forest", "water", "built-up"]


def test_the_page_shows_a_table_of_areas(filled: JudgedMap) -> None:
    describer = Describer()
    shown = describer.shown(describer.description(filled.statistics()))
    lines = shown["areas"].value.splitlines()
    assert lines[2].startswith("| forest | 70.0 | ")
    assert len(lines) == 5
    assert shown["preview"].value.startswith("![preview](data:image/svg+xml,")


def test_a_map_whose_crs_distorts_areas_says_so(judged: JudgedMap) -> None:
    """On the Mercator projection of web maps areas at 42 degrees, where this map would lie, are
    1 / cos(42 degrees)^2 = 1.81 times as large as on the ground."""
    judged.write(map_of_three(), crs="EPSG:3857")
    content = judged.statistics().content
    assert content["areal_scale"] == [pytest.approx(1.81, abs=0.01)] * 2
    (said,) = content["warnings"]
    assert "shows areas 1.8" in said
    assert "Give mosaic_crs an equal-area CRS" in said
