"""Points that are drawn from a map for people to judge."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest

from lc_platform.commands.instance import RunError
from lc_platform.runtime.progress import Step, listen
from lc_platform.storage.errors import MissingArtefactError, StorageError
from lc_platform_tests.judged_maps import METRES, NORTH, WEST, JudgedMap, map_of_three


@pytest.fixture
def judged(tmp_path: Path) -> JudgedMap:
    made = JudgedMap(tmp_path)
    made.write(map_of_three())
    return made


def places(points: geopandas.GeoDataFrame) -> set[tuple[float, float]]:
    return set(zip(points.geometry.x, points.geometry.y, strict=True))


def test_every_point_lies_on_a_pixel_of_its_stratum_and_carries_its_weight(
    judged: JudgedMap,
) -> None:
    found = judged.sample(points=90)
    points, values = judged.points(), map_of_three()
    rows = np.floor((NORTH - points.geometry.y) / METRES).astype(int)
    columns = np.floor((points.geometry.x - WEST) / METRES).astype(int)
    assert (values[rows, columns] == points["stratum"]).all()
    assert len(set(zip(rows, columns, strict=True))) == len(points) == found.points == 90
    pixels = {2: 7000, 5: 3000, 9: 1800}
    assert dict(zip(points["stratum"], points["stratum_pixels"], strict=True)) == pixels
    assert set(points["map_class_name"]) == {"forest", "water", "built-up"}
    assert set(points["reference"].fillna("")) == {""}
    assert points.crs.to_epsg() == 32633
    lonlat = points.to_crs(4326).geometry
    np.testing.assert_allclose(points["longitude"], lonlat.x, atol=1e-6)
    np.testing.assert_allclose(points["latitude"], lonlat.y, atol=1e-6)
    assert [one.points for one in found.strata] == judged.design()["points"].tolist()
    assert not found.complemented


def test_the_number_of_points_follows_from_the_standard_error(judged: JudgedMap) -> None:
    """Cochran's sum of W * sqrt(U * (1 - U)) is 0.357 where U is 0.85 of every class: without an
    evaluation (0.3571 / 0.02)^2 is 318.75."""
    found = judged.sample(standard_error=0.02)
    assert found.points == 319
    assert found.standard_error == pytest.approx(0.02, rel=0.05)


def test_the_same_seed_draws_the_same_points_and_another_others(
    judged: JudgedMap,
) -> None:
    judged.sample(points=60)
    first = places(judged.points())
    judged.file.unlink()
    judged.sample(points=60)
    assert places(judged.points()) == first
    judged.file.unlink()
    judged.sample(points=60, seed=7)
    assert places(judged.points()) != first


def test_what_is_there_is_not_overwritten(judged: JudgedMap) -> None:
    judged.sample(points=60)
    judged.judge(map_of_three())
    before = judged.file.read_bytes()
    with pytest.raises(RunError, match=r"2023\.gpkg: is there already, .* with --again it is comp"):
        judged.sample(points=90)
    assert judged.file.read_bytes() == before


def test_a_larger_sample_has_all_judged_points_of_the_smaller_one(judged: JudgedMap) -> None:
    judged.sample(points=60, seed=7)
    judged.judge(map_of_three())

    def remark(points: geopandas.GeoDataFrame) -> None:
        points.loc[3, "remark"] = "a hedge"
        points["who"] = "Ana"

    judged.edit(remark)
    before = judged.points()
    found = judged.sample(points=120, again=True)
    after = judged.points()
    assert (found.complemented, found.kept, found.set_aside, found.seed) == (True, 60, 0, 7)
    assert len(after) == 120
    assert places(before) <= places(after)
    filled = after[after["reference"].fillna("") != ""]
    assert places(filled) == places(before)
    assert (filled["reference"] == filled["map_class_name"]).all()
    assert filled["remark"].tolist().count("a hedge") == 1
    assert set(filled["who"]) == {"Ana"}


def test_a_later_map_keeps_what_is_judged_in_the_sample_or_beside_it(judged: JudgedMap) -> None:
    judged.sample(points=60)
    judged.judge(map_of_three())
    before = judged.points()
    later = map_of_three()
    later[60:70] = 5  # a tenth of the map has another class, where some points lie
    judged.write(later, "two")
    found = judged.sample(points=60, again=True)
    after = judged.points()
    assert found.kept + found.set_aside == 60
    assert found.set_aside > 0
    filled = after[after["reference"].fillna("") != ""]
    assert len(filled) == found.kept
    assert places(filled) | places(judged.points("set_aside")) == places(before)
    assert set(after["mosaic_version"]) == {"two0"}


def test_a_pixel_keeps_its_number_when_the_map_begins_elsewhere(judged: JudgedMap) -> None:
    judged.sample(points=60)
    first = places(judged.points())
    judged.file.unlink()
    wider = np.zeros((120, 140), np.uint8)
    wider[:, 40:] = map_of_three()
    judged.write(wider, west=WEST - 40 * METRES)
    judged.sample(points=60)
    assert places(judged.points()) == first


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"points": 20_000}, "--points: 20000 points cannot be drawn from 11800 pixels"),
        ({"points": 3}, "--points: 3 points are too few for 3 strata"),
        ({"points": 60, "standard_error": 0.01}, "one follows from the other. Give one"),
        ({"standard_error": 0.0}, "--standard-error: A standard error of 0.0 cannot be aimed for"),
        ({"allocation": "even"}, "--allocation even: there are mixed, equal, proportional, optim"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    judged: JudgedMap, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(RunError, match=words):
        judged.sample(**asked)
    assert not judged.file.exists()


def test_a_sample_is_complemented_by_its_own_seed(judged: JudgedMap) -> None:
    judged.sample(points=60)
    with pytest.raises(RunError, match="--seed 7: the sample that is there was drawn with 42"):
        judged.sample(points=60, seed=7, again=True)


def test_there_is_no_sample_of_a_map_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match="there is no map of 2023 to draw points from"):
        JudgedMap(tmp_path).sample()


@pytest.mark.parametrize(
    "saved",
    [
        lambda points: points.set_geometry(points.translate(0.3, -0.2)),
        lambda points: points.to_crs(4326),
    ],
    ids=["moved by a hair", "in degrees"],
)
def test_what_is_judged_stays_however_an_editor_has_saved_the_place(
    judged: JudgedMap, saved: Callable[[geopandas.GeoDataFrame], geopandas.GeoDataFrame]
) -> None:
    judged.sample(points=60)
    judged.judge(map_of_three())
    before = places(judged.points())
    judged.edit(saved)
    found = judged.sample(points=90, again=True)
    assert (found.kept, found.set_aside) == (60, 0)
    after = judged.points()
    assert places(after[after["reference"].fillna("") != ""]) == before


def test_a_point_of_another_grid_is_another_however_near(judged: JudgedMap) -> None:
    judged.sample(points=60)
    judged.judge(map_of_three())
    judged.write(map_of_three(), "two", west=WEST + 3)
    found = judged.sample(points=60, again=True)
    assert (found.kept, found.set_aside) == (0, 60)


def test_a_remark_on_a_point_that_could_not_be_judged_stays(judged: JudgedMap) -> None:
    judged.sample(points=60)

    def doubt(points: geopandas.GeoDataFrame) -> None:
        points.loc[3, "remark"] = "under a cloud"

    judged.edit(doubt)
    found = judged.sample(points=90, again=True)
    assert found.kept == 0
    assert judged.points()["remark"].tolist().count("under a cloud") == 1


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_a_sample_that_is_open_elsewhere_is_not_replaced(judged: JudgedMap, end: str) -> None:
    judged.sample(points=60)
    other = sqlite3.connect(judged.file)
    other.execute(f"PRAGMA journal_mode = {'wal' if end == '-wal' else 'delete'}")
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE design SET name = 'changed'")
    before = judged.file.read_bytes()
    with pytest.raises(RunError, match=rf"2023\.gpkg: is open in another program.*gpkg{end}"):
        judged.sample(points=90, again=True)
    assert judged.file.read_bytes() == before
    other.rollback()
    other.close()
    assert judged.sample(points=90, again=True).points == 90


def test_what_another_sample_has_left_is_not_mixed_with_a_new_one(judged: JudgedMap) -> None:
    """SQLite would take the pages that an old journal holds for those of the new file."""
    judged.file.parent.mkdir(parents=True)
    judged.file.with_name("2023.gpkg-wal").write_bytes(b"pages of another file")
    with pytest.raises(RunError, match=r"remove that file where there is no sample beside it"):
        judged.sample(points=60)
    assert not judged.file.exists()


def test_what_is_saved_while_points_are_drawn_is_not_overwritten(judged: JudgedMap) -> None:
    judged.sample(points=60)

    def save(step: Step) -> None:
        if step.asset == "sample" and step.total:
            judged.judge(map_of_three())

    with listen(save), pytest.raises(RunError, match="was changed while points were drawn"):
        judged.sample(points=90, again=True)
    points = judged.points()
    assert len(points) == 60
    assert (points["reference"] == points["map_class_name"]).all()
    assert [one.name for one in judged.file.parent.iterdir()] == [judged.file.name]


@contextmanager
def nobody() -> Iterator[None]:
    """While it lasts this process may not write everywhere, as root may."""
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)


def test_a_folder_that_cannot_be_written_to_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:  # whose parents are open to all
        Path(folder).chmod(0o755)
        judged = JudgedMap(Path(folder))
        judged.write(map_of_three())
        judged.sample(points=60)
        judged.file.parent.chmod(0o555)
        refused = pytest.raises(StorageError, match=r"2023\.gpkg: cannot be written \(Permission d")
        with nobody(), refused:
            judged.sample(points=90, again=True)
        judged.file.parent.chmod(0o755)
