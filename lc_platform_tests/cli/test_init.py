"""`lc-platform init`: questions, answers, and what is written."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
import yaml

from lc_platform import config
from lc_platform.commands.new_configuration import area_of, around, path_of, years_of
from lc_platform.config.json_schema import FILE
from lc_platform.errors import PlatformError
from lc_platform_tests.command_line import Command
from lc_platform_tests.commands.reference_files import ODD, odd_shapefile, polygons
from lc_platform_tests.docs.snippets import TUTORIAL, merged
from lc_platform_tests.terminal import CTRL_C, started


def test_options_say_all_where_nothing_is_asked(lc: Command, tmp_path: Path) -> None:
    reference = polygons(tmp_path / "r.gpkg", lulc=[3, 4, 4], name=["field", "wood", "wood"])
    options = ("--area", "14.5 46.05", "--years", "2020-2022", "--reference", reference)
    ended = lc("init", tmp_path / "new map", "--catalog", "planetary-computer", *options)
    assert ended.status == 0, ended.err
    found = config.load(tmp_path / "new map" / config.FILE_NAME)
    assert found.imagery.catalog == "planetary-computer"
    assert found.years == (2020, 2021, 2022)
    assert found.aoi.bbox == tuple(around(14.5, 46.05))
    assert found.class_names == {3: "field", 4: "wood"}
    assert found.reference.attribute == "lulc"
    assert found.located(found.reference.path or "", "reference.path") == reference
    assert lc("config", "check", tmp_path / "new map" / config.FILE_NAME).status == 0


def test_an_odd_shapefile_becomes_a_configuration_of_its_own_area(
    lc: Command, tmp_path: Path
) -> None:
    odd = odd_shapefile(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    ended = lc("init", "new", "--source", "simulated", "--reference", ODD)
    assert ended.status == 0, ended.err
    assert "shows a landscape of its own" in " ".join(ended.err.split())
    assert {file: file.read_bytes() for file in before} == before
    found = config.load(tmp_path / "new" / config.FILE_NAME)
    assert list(found.class_names.values()) == ["Acker", "Grünland", "Straße / Siedlung"]
    assert found.located(found.reference.path or "", "reference.path") == str(odd)
    assert found.years == (2021,)  # as the file's name says
    assert found.aoi.clipped
    # The corners of the squares' box in degrees, each by itself, by pyproj.
    assert found.aoi.bbox == pytest.approx((16.63077, 48.20776, 16.65875, 48.22645), abs=2e-5)


def test_features_without_a_class_and_a_crs_for_the_map_are_told_of(
    lc: Command, tmp_path: Path
) -> None:
    odd_shapefile(tmp_path)
    ended = lc("init", "new", "--source", "simulated", "--reference", ODD)
    # Of 25 features 3 have no code: "k.A.", a blank, and none in place of a name.
    assert "3 features have no value of SCHL_NR, so no class, and are left out" in ended.out
    assert 'for a map in EPSG:31287 write `crs: "EPSG:31287"` in the section aoi' in ended.out
    degrees = polygons(tmp_path / "r.gpkg", lulc=[3, 4, 4])
    ended = lc("init", "other", "--source", "simulated", "--reference", degrees)
    assert ended.status == 0
    assert "no value" not in ended.out
    assert "The reference is in" not in ended.out


@pytest.mark.parametrize(
    ("source", "area", "patch", "block", "folds"),
    [
        # By the kilometres of a degree, 111.3, and the cosine of 38 degrees, 0.788.
        ("stac", "-8.0 38.0 -7.8 38.2", 2560, None, 5),  # 17.5 x 22.3 km: 60 patches
        ("stac", "-8.0 38.0 -7.937 38.042", 2560, 1280, 5),  # 5.5 x 4.7 km: 4 patches, 16 blocks
        ("simulated", "-8.0 38.0 -7.937 38.042", 2560, 1280, 3),
        ("simulated", "-8.0 38.0 -7.98 38.02", 2560, 640, 3),  # 1.8 x 2.2 km
        ("stac", "-8.0 38.0 -7.7 38.3", 10_000, 5000, 5),  # 26 x 33 km: 9 patches, 35 blocks
        ("stac", "-8.0 38.0 -7.0 39.0", 10_000, None, 5),
    ],
)
def test_a_small_area_is_judged_by_enough_blocks_of_ground(
    lc: Command, tmp_path: Path, source: str, area: str, patch: int, block: int | None, folds: int
) -> None:
    ended = lc("init", tmp_path, "--source", source, "--area", area)
    assert ended.status == 0, ended.err
    found = config.load(tmp_path / config.FILE_NAME)
    assert (found.aoi.patch_size, found.validation.block_size) == (patch, block)
    assert found.validation.folds == folds


def test_files_near_the_configuration_are_named_relative_to_it(lc: Command, tmp_path: Path) -> None:
    named = {"maps/one": "../../r.gpkg", "maps/one/first/deep": str(tmp_path / "r.gpkg")}
    named["beside"] = "../r.gpkg"
    reference = polygons(tmp_path / "r.gpkg", lulc=[3, 4, 4])
    for folder, written in named.items():
        options = ("--source", "simulated", "--reference", reference, "--area", reference)
        assert lc("init", tmp_path / folder, *options).status == 0
        found = config.load(tmp_path / folder / config.FILE_NAME)
        assert found.reference.path == found.aoi.boundary == written
    (tmp_path / "maps").rename(tmp_path / "moved")
    config.load(tmp_path / "moved" / "one" / config.FILE_NAME)


def test_the_classes_that_the_comments_name_are_those_of_the_file(
    lc: Command, tmp_path: Path
) -> None:
    reference = polygons(tmp_path / "r.gpkg", lulc=[3, 4, 4])
    for folder, options in (("own", ("--reference", reference)), ("archive's", ())):
        assert lc("init", tmp_path / folder, "--source", "simulated", *options).status == 0
    text = {
        folder: (tmp_path / folder / config.FILE_NAME).read_text("utf-8")
        for folder in ("own", "archive's")
    }
    assert "the ten of the simulated landscape" in text["archive's"]
    assert "the ten of the simulated landscape" not in text["own"]
    assert all("an invented landscape" in one for one in text.values())


def test_a_place_with_latitude_and_longitude_swapped_is_asked_about(
    lc: Command, tmp_path: Path
) -> None:
    reference = polygons(tmp_path / "r.gpkg", lulc=[3, 4, 4])
    options = ("--source", "stac", "--reference", reference, "--area")
    ended = lc("init", tmp_path / "new", *options, "46.005 14.015")
    assert ended.status == 1
    said = " ".join(ended.err.split())
    assert "Are latitude and longitude of aoi.bbox swapped? Then write [" in said
    assert not (tmp_path / "new").exists()
    meant = said.split("Then write ")[1].split("]")[0]
    assert lc("init", tmp_path / "new", *options, f"{meant}]").status == 0
    west, south, east, north = config.load(tmp_path / "new" / config.FILE_NAME).aoi.bbox or ()
    assert (west + east) / 2 == pytest.approx(14.015, abs=1e-4)
    assert (south + north) / 2 == pytest.approx(46.005, abs=1e-4)
    assert lc("init", tmp_path / "beside", *options, "16 48").status == 0


def test_without_an_area_it_is_that_of_the_reference(lc: Command, tmp_path: Path) -> None:
    reference = polygons(tmp_path / "r.parquet", lulc=[3, 4, 4])
    ended = lc("init", tmp_path / "new", "--source", "stac", "--reference", reference)
    assert ended.status == 0, ended.err
    found = config.load(tmp_path / "new" / config.FILE_NAME)
    assert found.aoi.bbox == pytest.approx((14, 46, 14.03, 46.01), abs=1e-5)


def test_a_rehearsal_becomes_a_map_by_the_keys_that_the_tutorial_names(
    lc: Command, tmp_path: Path
) -> None:
    reference = polygons(tmp_path / "parcels 2021.gpkg", lulc=[3, 4, 4])
    assert lc("init", "new", "--source", "simulated", "--reference", reference).status == 0
    file = tmp_path / "new" / config.FILE_NAME
    rehearsal = config.load(file)
    page = (TUTORIAL / "2-own-area.md").read_text("utf-8").split("## From a rehearsal")[1]
    settings = yaml.safe_load(file.read_text("utf-8"))
    changed = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    settings = merged(settings, changed)
    removed = re.findall(r"`(\w+)\.(\w+)`", page.split("Remove ")[1].split(", which")[0])
    assert len(removed) == 3
    for section, key in removed:
        del settings[section][key]
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    checked = lc("config", "check", file)
    assert checked.status == 0, checked.err
    found = config.load(file)
    assert (found.imagery.source, found.imagery.catalog) == ("stac", "earth-search")
    assert found.aoi == rehearsal.aoi
    assert found.years == rehearsal.years == (2021,)
    assert found.reference == rehearsal.reference


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--area", "200 46"), "that is no place between 80 S and 84 N"),
        (("--area", "1 2 3"), "3 numbers are no area"),
        (("--area", "border.gpkg"), "there is no such file"),
        (("--years", "2030"), "has not begun"),
        (("--years", "soon"), "that is no list of years"),
        (("--reference", "r.gpkg"), "is not there"),
    ],
)
def test_an_option_that_is_no_answer_leaves_nothing(
    lc: Command, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    ended = lc("init", tmp_path / "new", "--source", "stac", *options)
    assert ended.status == 1
    assert said in ended.err
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_dropped_on_the_terminal_is_found(tmp_path: Path) -> None:
    file = tmp_path / "Straße (1).gpkg"
    file.touch()
    escaped = str(file).replace(" ", "\\ ").replace("(", "\\(").replace(")", "\\)")
    for typed_as in (str(file), f" '{file}' ", f'"{file}"', escaped, file.as_uri()):
        assert path_of(typed_as) == str(file), typed_as
    assert path_of("s3://bucket/r.gpkg") == "s3://bucket/r.gpkg"


def test_answers_are_read_in_the_forms_that_people_write() -> None:
    assert area_of("[14.1, 45.9, 14.2, 46]") == {"bbox": [14.1, 45.9, 14.2, 46.0]}
    assert years_of("2020, 2022") == [2020, 2022]
    west, south, east, north = around(0, 60, side=111.32)
    assert (north - south, east - west) == pytest.approx((1, 2), abs=1e-3)
    with pytest.raises(PlatformError):
        area_of("14.1 46 13 45")


def typed(session: object, question: str, answer: str) -> None:
    session.until(question, 120)  # type: ignore[attr-defined]
    os.write(session._terminal, answer.encode() + b"\n")  # type: ignore[attr-defined]


@pytest.mark.slow
def test_at_a_terminal_it_asks_and_what_it_writes_is_ready_to_be_checked(tmp_path: Path) -> None:
    folder = tmp_path / "моя карта"
    folder.mkdir()
    polygons(folder / "parcels 2023.shp", KULTURA=["хлеб", "лес", "лес"], nr=[1, 2, 3])
    with started("init", "new", terminal=True, folder=folder) as session:
        typed(session, "Imagery archive", "landsat")
        typed(session, "there is no such archive", "simulated")
        session.until("Reference map", 120)
        typed(session, "parcels 2023.shp]", "parcels 2022.shp")
        typed(session, "is not there", "parcels 2023.shp")
        if session.says("Attribute that holds", 5):
            os.write(session._terminal, b"\n")
        typed(session, "Area", "15.04 46.73 15.06 46.75")
        typed(session, "file name says 2023) [2023]", "")
        assert session.ended(120) == 0, session.words
        assert "хлеб" in session.words
    file = folder / "new" / config.FILE_NAME
    found = config.load(file)
    assert sorted(found.class_names.values()) == ["лес", "хлеб"]
    assert found.reference.attribute == "KULTURA"
    assert found.years == (2023,)
    with started("config", "check", "new/lc-platform.yaml", terminal=True, folder=folder) as check:
        assert check.ended(120) == 0, check.words
    assert {one.name for one in file.parent.iterdir()} == {config.FILE_NAME, FILE}


@pytest.mark.slow
def test_who_takes_no_reference_for_the_simulated_archive_is_told_of_its_classes(
    tmp_path: Path,
) -> None:
    for name in ("a.gpkg", "b.gpkg"):
        polygons(tmp_path / name, lulc=[3, 4, 4])
    with started("init", "new", terminal=True, folder=tmp_path) as session:
        typed(session, "Imagery archive", "simulated")
        typed(session, "[none]", "")
        typed(session, "Area", "")
        typed(session, "Years", "2023")
        assert session.ended(120) == 0, session.words
        question = session.words.index("Reference map (")
        assert "b.gpkg" in session.words[:question]
        assert "of ten classes" in session.words[question:]
        assert "winter cropland" in session.words[question:]


@pytest.mark.slow
def test_what_it_proposes_of_an_odd_shapefile_passes_the_check(lc: Command, tmp_path: Path) -> None:
    odd_shapefile(tmp_path)
    assert lc("init", "new", "--source", "simulated", "--reference", ODD).status == 0
    checked = lc("check", "-c", f"new/{config.FILE_NAME}")
    assert checked.status == 0, checked.err
    for name in ("Acker on", "Grünland on", "Straße / Siedlung on"):
        assert name in checked.out
    assert "new: ready" in checked.out
    assert "4 patches in EPSG:32633; the map ends at the area" in checked.out
    said = " ".join(checked.err.split())
    assert "have no value of SCHL_NR, so no class, and are left out" in said


@pytest.mark.slow
def test_an_encoding_that_is_not_said_or_wrong_is_told_of_by_init_and_by_check(
    lc: Command, tmp_path: Path
) -> None:
    said = odd_shapefile(tmp_path).with_suffix(".cpg")
    options = ("--source", "simulated", "--reference", ODD, "--attribute", "KULT_ART")
    true = said.read_text()
    said.unlink()
    unsaid = lc("init", "unsaid", *options)
    checked = lc("check", "-c", f"unsaid/{config.FILE_NAME}")
    said.write_text("UTF-8")
    wrong = lc("init", "wrong", *options)
    mistaken = lc("check", "-c", f"unsaid/{config.FILE_NAME}")
    for ended in (unsaid, checked):
        assert ended.status == 0, ended.err
        assert f"{ODD} says no encoding of its text" in ended.err
        assert "Grünland" in ended.out
    for ended in (wrong, mistaken):
        assert ended.status == 1
        assert "Traceback" not in ended.err
        told = " ".join((ended.out + ended.err).split())
        assert f"{ODD}: the attribute KULT_ART has text that is not UTF-8" in told
        assert "Write the true encoding into that file" in told
    assert not (tmp_path / "wrong").exists()
    said.write_text(true)
    assert "says no encoding" not in lc("check", "-c", f"unsaid/{config.FILE_NAME}").err


@pytest.mark.slow
def test_ctrl_c_at_a_question_leaves_nothing(tmp_path: Path) -> None:
    with started("init", "new", terminal=True, folder=tmp_path) as session:
        typed(session, "Imagery archive", "earth-search")
        session.until("Reference map", 120)
        while session.process.poll() is None:  # it may not have begun to read yet
            session.signalled(CTRL_C)
            time.sleep(0.2)
        assert session.ended(60) == 130
        assert "Traceback" not in session.words
    assert list(tmp_path.iterdir()) == []
