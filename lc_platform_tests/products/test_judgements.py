"""What is judged in the web map: its records, what holds by them, and the sample that they fill."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest

from lc_platform.artefacts.layout import Partition
from lc_platform.artefacts.records import Version
from lc_platform.artefacts.versions import digest
from lc_platform.products.judgements import Decision, Withdrawal, decided, now
from lc_platform_tests.judged_maps import (
    METRES,
    NORTH,
    WEST,
    YEAR,
    JudgedMap,
    map_of_three,
    truth_of_three,
)

LEGEND = {2: ("forest", "#3f9b45"), 5: ("water", "#2f6fd0"), 9: ("built-up", "#d03030")}


@pytest.fixture
def drawn(tmp_path: Path) -> JudgedMap:
    made = JudgedMap(tmp_path)
    made.write(map_of_three())
    made.sample(points=60)
    return made


def decision(of: JudgedMap, point: str = "p", legend: Any = None) -> Decision:
    return decided(of.records.read().standing, legend or LEGEND)[point]


# What holds of a point


@pytest.mark.parametrize(
    ("said", "state", "class_id", "agreement"),
    [
        ([("ana", "water", "first")], "judged", 5, "one opinion"),
        ([("ana", "water", "first"), ("bor", "water", "second")], "judged", 5, "agree"),
        ([("ana", "water", "first"), ("bor", "forest", "second")], "differ", 0, "differ"),
        ([("ana", "water", "first"), ("bor", None, "second")], "differ", 0, "differ"),
        ([("ana", None, "first")], "cannot be judged", 0, "one opinion"),
        (
            [("ana", "water", "first"), ("bor", "forest", "second"), ("cai", "water", "consensus")],
            "judged",
            5,
            "consensus",
        ),
        # A third opinion is no majority: who differ look again.
        (
            [("ana", "water", "first"), ("bor", "forest", "second"), ("cai", "water", "second")],
            "differ",
            0,
            "differ",
        ),
    ],
)
def test_what_all_say_holds_and_where_they_differ_a_consensus_does(
    drawn: JudgedMap,
    said: list[tuple[str, str | None, str]],
    state: str,
    class_id: int,
    agreement: str,
) -> None:
    for who, seen, opinion in said:
        drawn.say("p", who, seen, opinion=opinion)
    found = decision(drawn)
    assert (found.state, found.meant.now, found.agreement) == (state, class_id, agreement)


def test_what_was_withdrawn_does_not_count_and_what_it_replaced_does_again(
    drawn: JudgedMap,
) -> None:
    first = drawn.say("p", "ana", "water")
    second = drawn.say("p", "ana", "forest", replaces=first.id)
    third = drawn.say("p", "ana", None, replaces=second.id)
    assert decision(drawn).opinions == [third]
    drawn.records.append(Withdrawal("u1", "bor", now(), third.id))
    assert decision(drawn).opinions == [third]  # it is not Bor's
    drawn.records.append(Withdrawal("u2", "ana", now(), third.id))
    assert decision(drawn).opinions == [second]
    drawn.records.append(Withdrawal("u3", "ana", now(), second.id))
    assert decision(drawn).opinions == [first]
    drawn.records.append(Withdrawal("u4", "ana", now(), first.id))
    assert decided(drawn.records.read().standing, LEGEND) == {}


def test_what_was_sent_twice_counts_once_and_in_its_place(drawn: JudgedMap) -> None:
    sent = drawn.say("p", "ana", "water")
    later = drawn.say("p", "ana", "forest")
    drawn.records.append(sent)
    assert decision(drawn).opinions == [later]


def test_classes_are_known_by_their_names_when_the_list_of_classes_has_changed(
    drawn: JudgedMap,
) -> None:
    drawn.say("p", "ana", "water")
    drawn.say("q", "ana", "forest")
    legend = {1: ("water", "#2f6fd0"), 5: ("woods", "#3f9b45")}
    assert decision(drawn, "p", legend).meant.now == 1
    gone = decision(drawn, "q", legend)
    assert (gone.state, gone.meant.now) == ("class is gone", 0)


# Records


def test_several_write_at_once_and_nobody_overwrites_another(drawn: JudgedMap) -> None:
    with ThreadPoolExecutor(8) as people:
        said = people.map(lambda i: drawn.say(f"p{i}", f"person {i % 8}", "water"), range(80))
        ids = {one.id for one in said}
    assert {one.id for one in drawn.records.read().every} == ids


def _judge_without_end(folder: Path) -> None:
    judged = JudgedMap(folder)
    while True:
        judged.say("p", "ana", "water", remark="x" * 5000)


def test_who_is_killed_while_judging_leaves_whole_records_alone(drawn: JudgedMap) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=_judge_without_end, args=(drawn.folder,)
    )
    process.start()
    try:
        while len(drawn.records.read().every) < 20:
            assert process.is_alive()
    finally:
        process.kill()
        process.join()
    found = drawn.records.read()
    assert found.damaged == []
    assert all(len(one.remark) == 5000 for one in found.standing)
    drawn.say("q", "bor", "water")  # and others go on
    assert len(drawn.records.read().every) == len(found.every) + 1


@pytest.mark.parametrize(
    "content", ['{"kind": "judgement", "id": "a"', "[]", '{"kind": "other"}', '{"kind":["a"]}', ""]
)
def test_a_record_that_cannot_be_read_is_named_and_the_others_count(
    drawn: JudgedMap, content: str
) -> None:
    code = drawn.codes()[0]
    drawn.say(code, "ana", "water")
    broken = drawn.file.with_suffix("") / "20230101T000000000000Z-0badc0de.json"
    broken.write_text(content)
    warnings = drawn.statistics().content["warnings"]
    (told,) = (one for one in warnings if str(broken) in one)
    assert "is no record of a judgement" in told
    assert drawn.statistics().content["sample"]["judged"] == 1


def test_records_are_read_once(drawn: JudgedMap) -> None:
    drawn.say("p", "ana", "water")
    records = drawn.records
    before = records.read()
    (file,) = drawn.file.with_suffix("").glob("*.json")
    file.write_text("{}")
    assert records.read() == before


# The sample


def seen(of: JudgedMap) -> list[str]:
    """The class at each point of the truth, in the file's order."""
    points, truth = of.points(), truth_of_three()
    rows = np.floor((NORTH - points.geometry.y) / METRES).astype(int)
    columns = np.floor((points.geometry.x - WEST) / METRES).astype(int)
    return [LEGEND[int(one)][0] for one in truth[rows, columns]]


def fill(of: JudgedMap) -> None:
    """Have the file hold what is judged, as a run does."""
    of.platform.filled_sample(YEAR)


def test_the_areas_are_those_of_the_same_classes_written_by_hand(drawn: JudgedMap) -> None:
    for code, name in zip(drawn.codes(), seen(drawn), strict=True):
        drawn.say(code, "ana", name)
    by_web = drawn.statistics().content
    fill(drawn)
    filled = drawn.statistics().content
    for one in (drawn.file.with_suffix("")).glob("*.json"):
        one.unlink()
    drawn.judge(truth_of_three())
    by_hand = drawn.statistics().content
    assert by_web == filled == by_hand
    assert by_web["sample"]["judged"] == 60


@contextmanager
def areas_made_of_the_sample(of: JudgedMap) -> Iterator[None]:
    """As if the areas had been made of the sample as it is."""
    file = of.platform.filled_sample(YEAR)
    assert file is not None
    of.platform.store.put(f"area_statistics/{YEAR}.parquet", b"")
    version = Version("0", digest(file.identity), "0")
    of.platform.versions.records.write("area_statistics", Partition(year=YEAR), version, {})
    yield
    of.platform.versions.records.forget("area_statistics", Partition(year=YEAR))


def is_stale(of: JudgedMap) -> bool:
    return bool(of.platform.judged_since(of.platform.versions.look(), "area_statistics", YEAR))


def test_a_judgement_makes_the_areas_stale_until_they_are_made_of_it(drawn: JudgedMap) -> None:
    code = drawn.codes()[0]
    with areas_made_of_the_sample(drawn):
        assert not is_stale(drawn)
        said = drawn.say(code, "ana", "water")
        assert is_stale(drawn)
    with areas_made_of_the_sample(drawn):
        assert not is_stale(drawn)
        drawn.records.append(Withdrawal("u", "ana", now(), said.id))
        assert is_stale(drawn)
    with areas_made_of_the_sample(drawn):
        assert not is_stale(drawn)
        fill(drawn)  # once more changes nothing
        assert not is_stale(drawn)


def test_areas_that_were_made_while_the_file_was_open_are_current_when_it_is_closed(
    drawn: JudgedMap,
) -> None:
    drawn.say(drawn.codes()[0], "ana", "water")
    shared = drawn.file.with_name(f"{drawn.file.name}-shm")
    shared.write_bytes(b"")  # as of QGIS, which has it open
    before = drawn.file.read_bytes()
    with areas_made_of_the_sample(drawn):
        assert drawn.file.read_bytes() == before
        assert not is_stale(drawn)
        shared.unlink()
        fill(drawn)
        assert drawn.file.read_bytes() != before
        assert not is_stale(drawn)


def test_the_file_says_who_judged_how_many_did_and_whether_they_agree(drawn: JudgedMap) -> None:
    a, b, c, *_ = drawn.codes()
    drawn.say(a, "ana", "water", remark="a pond", confidence="low")
    drawn.say(a, "bor", "water", opinion="second")
    drawn.say(b, "ana", "water")
    drawn.say(b, "bor", "forest", opinion="second")
    drawn.say(c, "ana", None, remark="clouds all year")
    fill(drawn)
    points = drawn.points().astype(object).fillna("")
    columns = ["reference", "webmap_by", "webmap_agreement", "webmap_confidence", "webmap_remarks"]
    assert points[columns].to_numpy().tolist()[:4] == [
        ["water", "ana, bor", "agree", "low, high", "ana: a pond"],
        ["", "ana, bor", "differ", "high, high", ""],
        ["", "ana", "one opinion", "high", "ana: clouds all year"],
        ["", "", "", "", ""],
    ]
    assert points["webmap_opinions"].tolist()[:4] == [2, 2, 1, ""]
    warnings = drawn.statistics().content["warnings"]
    assert any(one.startswith("1 points have opinions that differ") for one in warnings)
    assert any(one.startswith("1 points could not be judged") for one in warnings)


def test_what_was_written_by_hand_stays_and_is_told(drawn: JudgedMap) -> None:
    a, b, c, *_ = drawn.codes()
    styles = "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY, styleQML TEXT)"
    with sqlite3.connect(drawn.file) as database:
        database.execute(styles)
        database.execute("INSERT INTO layer_styles (styleQML) VALUES ('<qgis/>')")
    drawn.edit(lambda points: points.assign(reference=["forest", *[""] * 59], note="mine"))
    drawn.say(a, "ana", "water")
    drawn.say(b, "ana", "water")
    said = drawn.say(c, "ana", "water")
    fill(drawn)
    assert drawn.points()["reference"].tolist()[:3] == ["forest", "water", "water"]

    drawn.edit(
        lambda points: points.assign(reference=["forest", "Built-up", *points["reference"][2:]])
    )
    drawn.say(b, "bor", "forest", opinion="second")
    drawn.records.append(Withdrawal("u", "ana", now(), said.id))
    fill(drawn)
    points = drawn.points()
    assert points["reference"].fillna("").tolist()[:3] == ["forest", "Built-up", ""]
    assert set(points["note"]) == {"mine"}
    with sqlite3.connect(drawn.file) as database:
        assert database.execute("SELECT styleQML FROM layer_styles").fetchall() == [("<qgis/>",)]
    warnings = drawn.statistics().content["warnings"]
    assert any(one.startswith("1 points have another class in the file") for one in warnings)


def test_the_file_is_whole_for_gdal_when_it_was_filled(drawn: JudgedMap) -> None:
    before = drawn.points()
    drawn.say(drawn.codes()[3], "ana", "water")
    fill(drawn)
    after = drawn.points()
    assert after.geometry.equals(before.geometry)
    assert after[["id", "x", "y"]].equals(before[["id", "x", "y"]])
    box = (WEST, NORTH - 300, WEST + 300, NORTH)
    near = geopandas.read_file(drawn.file, layer="reference_sample", bbox=box)
    assert set(near["id"]) == set(after.cx[box[0] : box[2], box[1] : box[3]]["id"])
    after.assign(reference="water").to_file(drawn.file, layer="reference_sample", driver="GPKG")


def test_a_sample_that_is_drawn_again_keeps_what_was_judged_in_the_web_map(
    drawn: JudgedMap,
) -> None:
    codes = drawn.codes()
    for code, name in zip(codes, seen(drawn), strict=True):
        drawn.say(code, "ana", name)
    drawn.write(map_of_three(), version="two", west=WEST + METRES)  # it begins elsewhere
    found = drawn.sample(points=90, again=True)
    assert found.kept + found.set_aside == 60
    assert found.kept > 20
    assert drawn.statistics().content["sample"]["judged"] == found.kept
    known = set(codes) & set(drawn.codes())
    assert len(known) == found.kept
    assert any(
        one.startswith(f"{found.set_aside} points that were judged in the web map are not")
        for one in drawn.statistics().content["warnings"]
    )


def test_the_class_of_the_year_before_is_filled_in_where_it_is_asked_for(tmp_path: Path) -> None:
    made = JudgedMap(tmp_path, years=[2022, YEAR], change={"enabled": True})
    made.write(map_of_three())
    made.sample(points=60)
    a, b, *_ = made.codes()
    assert made.platform.change_sample(YEAR) is None
    made.say(a, "ana", "water", before_id=2, before_name="forest")
    made.say(b, "ana", "water", before_id=2, before_name="forest")
    made.say(b, "bor", "water", opinion="second", before_id=5, before_name="water")
    assert made.platform.change_sample(YEAR) is not None
    fill(made)
    points = made.points()[["reference", "reference_before"]].fillna("")
    assert points.to_numpy().tolist()[:2] == [["water", "forest"], ["water", ""]]
