"""Samples that users bring themselves, as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
from pyproj import Transformer

from lc_platform.config import parse
from lc_platform.config.input_files import InputFile
from lc_platform.sources.point_options import PointOptions
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.sample_points import PointReference, open_points
from lc_platform_tests.config.configurations import configured
from lc_platform_tests.products import cubes

CLASSES = {3: ("forest", "#00ff00"), 7: ("Wiese", "#ffff00")}
GRID = cubes.grid(20, 20)


def options(path: Path, **more: Any) -> PointOptions:
    asked: dict[str, Any] = {"attribute": "class", "date": "date", "years": (2017, 2018)} | more
    return PointOptions(file=InputFile(str(path), str(path)), classes=CLASSES, **asked)


def table(pixels: list[tuple[float, float]], **columns: Any) -> pandas.DataFrame:
    """Points by row and column of `GRID`, in degrees."""
    rows, across = np.array(pixels, float).T
    x, y = GRID.affine.c + 10 * across, GRID.affine.f - 10 * rows
    longitude, latitude = Transformer.from_crs(32633, 4326, always_xy=True).transform(x, y)
    return pandas.DataFrame({"longitude": longitude, "latitude": latitude, **columns})


HERE = [(0.5, 0.5), (3.5, 7.2), (19.9, 19.9), (25.5, 3.5)]
GOOD: dict[str, Any] = {
    "class": ["forest", "7", "wiese", "forest"],
    "date": ["2018-05-01", "2018", "20180301", "2018-12-31T23:00:00Z"],
}


def written(path: Path, of: pandas.DataFrame, kind: str) -> Path:
    if kind == "table.parquet":
        of.to_parquet(path / kind)
        return path / kind
    places = geopandas.points_from_xy(of.longitude, of.latitude)
    drawn = geopandas.GeoDataFrame(of.drop(columns=["longitude", "latitude"]), geometry=places)
    drawn = drawn.set_crs(4326).to_crs(3035)
    if kind == "points.parquet":
        drawn.to_parquet(path / kind)
    else:
        drawn.to_file(path / kind)
    return path / kind


@pytest.mark.parametrize("kind", ["table.parquet", "points.parquet", "points.gpkg"])
def test_points_are_of_the_pixels_that_they_lie_in_and_of_their_year(
    tmp_path: Path, kind: str
) -> None:
    of = table([*HERE, (5.5, 5.5)], **{name: [*v, v[0]] for name, v in GOOD.items()}, w=2.0)
    of.loc[4, "date"] = "2017-01-01"
    points = open_points(options(written(tmp_path, of, kind), weight="w"))
    found = points.on(GRID, 2018)
    assert found.rows.tolist() == [0, 3, 19]
    assert found.columns.tolist() == [0, 7, 19]
    assert found.classes.tolist() == [3, 7, 7]
    assert found.weights.tolist() == [2, 2, 2]
    assert points.on(GRID, 2017).rows.tolist() == [5]
    assert (points.count(2018), points.outside([GRID], 2018)) == (4, 1)


def sits_samples(path: Path, **columns: list[str]) -> Path:
    """A CSV as sits_to_csv writes it: a label holds from a day to another."""
    of = table(HERE[:3]).assign(
        id=[1, 2, 3],
        start_date=["2017-09-14", "2017-01-01", "2016-09-14"],
        end_date=["2018-08-29", "2017-12-31", "2017-08-29"],
        label=["forest", "Wiese", "forest"],
        **columns,
    )
    names = ["id", "longitude", "latitude", "start_date", "end_date", "label"]
    of[names].to_csv(path / "samples.csv", index=False)
    return path / "samples.csv"


def test_samples_of_sits_are_of_the_season_in_the_middle_of_their_time(tmp_path: Path) -> None:
    points = open_points(options(sits_samples(tmp_path), attribute="label"))
    assert points.years.tolist() == [2018, 2017, 2017]
    assert points.classes.tolist() == [3, 7, 3]
    assert points.on(GRID, 2017).rows.tolist() == [3, 19]


def test_a_label_that_ends_before_it_begins_has_no_date(tmp_path: Path) -> None:
    file = sits_samples(tmp_path)
    file.write_text(file.read_text("utf-8").replace("2017-12-31", "2016-12-31"), "utf-8")
    with pytest.raises(SourceError, match=r"sampling\.points\.date: .* row 2: no date is given"):
        open_points(options(file, attribute="label"))


def test_a_csv_of_sits_needs_its_path_alone(tmp_path: Path) -> None:
    sits_samples(tmp_path)
    change = "{years: [2018], sampling: {points: {path: samples.csv}}, reference: {classes: ["
    change += "{id: 3, name: forest}, {id: 7, name: Wiese}]}}"
    config = configured(change)
    found = PointOptions.of(parse(config.model_dump(exclude_unset=True), tmp_path))
    assert found is not None
    assert open_points(found).count(2018) == 1


def test_of_points_in_one_pixel_one_counts_and_of_several_classes_none(tmp_path: Path) -> None:
    pixels = [(4.2, 4.2), (4.8, 4.8), (9.2, 9.2), (9.8, 9.8), (1.5, 1.5)]
    of = table(pixels, **{"class": [3, 3, 3, 7, 7], "date": 2018})
    found = open_points(options(written(tmp_path, of, "table.parquet"))).on(GRID, 2018)
    assert list(zip(found.rows.tolist(), found.classes.tolist(), strict=True)) == [(1, 7), (4, 3)]
    assert found.ambiguous == 2


def test_points_in_place_of_a_map_label_their_pixels(tmp_path: Path) -> None:
    of = table(HERE, **GOOD)
    reference = PointReference(options(written(tmp_path, of, "table.parquet")))
    raster = reference.burnt(GRID)
    labelled = [tuple(place) for place in np.argwhere(raster.classes).tolist()]
    assert labelled == [(0, 0), (3, 7), (19, 19)]
    assert (raster.masks[0] == (raster.classes == 3)).all()
    assert (raster.masks[1] == (raster.classes == 7)).all()
    assert not raster.ambiguous.any()
    assert not raster.polygons.any()
    assert (reference.covers(GRID), reference.covers(cubes.grid(9, 9, west=600_000))) == (
        True,
        False,
    )
    assert reference.values().counts == {"": {"3": 2, "7": 2}}


def changed(**columns: Any) -> pandas.DataFrame:
    return table(HERE, **(GOOD | columns))


@pytest.mark.parametrize(
    ("of", "asked", "message"),
    [
        (
            changed(**{"class": ["forest", "forst", "7", "forst"]}),
            {},
            r"sampling\.points\.attribute: .*: rows 2, 4: 'forst' is no class\. Did you mean "
            r"'forest'\? The classes are forest, Wiese",
        ),
        (changed(**{"class": [3, None, 3, 7]}), {}, r"row 2: no class is given\."),
        (
            changed(date=["2018", None, "2018", "2018"]),
            {},
            r"sampling\.points\.date: .*: row 2: no date is given\. Write dates such as",
        ),
        (changed(date=["2018", "2018", "May", "2018"]), {}, r"row 3: 'May' is no date"),
        (
            changed(date="2015-06-01"),
            {},
            r"sampling\.points\.path: no point of .* is of 2017, 2018; they are of 2015 \(4\)",
        ),
        (table([*HERE[:3], HERE[1]], **GOOD), {}, r"rows 2, 4: the same place is there twice in"),
        (changed(latitude=[46.9, 46.9, 146.9, 46.9]), {}, r"row 3: longitude and latitude are no"),
        (changed(), {"attribute": "klass"}, r"has no column klass; it has .*\. Did you mean class"),
        (changed(w=[1, 0, 1, 1]), {"weight": "w"}, r"sampling\.points\.weight: .*: row 2: w is no"),
        (
            changed().rename(columns={"longitude": "u"}),
            {},
            r"sampling\.points\.longitude: .* has no",
        ),
        (changed().iloc[:0], {}, r"sampling\.points\.path: .* has no point\."),
    ],
)
def test_points_that_cannot_be_samples_are_named(
    tmp_path: Path, of: pandas.DataFrame, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        open_points(options(written(tmp_path, of, "table.parquet"), **asked))


def test_files_that_are_no_points_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.parquet is not there"):
        open_points(options(tmp_path / "nowhere.parquet"))
    file = written(tmp_path, table(HERE, **GOOD), "points.gpkg")
    around = geopandas.read_file(file).set_geometry(geopandas.read_file(file).buffer(5))
    around.to_file(tmp_path / "areas.gpkg")
    with pytest.raises(SourceError, match=r"rows 1, 2, 3, 4: there is Polygon and no point"):
        open_points(options(tmp_path / "areas.gpkg"))
    around.to_file(file, layer="areas")
    with pytest.raises(SourceError, match=r"sampling\.points\.layer: .* has several layers"):
        open_points(options(file))
