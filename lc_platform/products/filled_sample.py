"""The file of a sample with what people have judged in the web map written into it.

Its points get columns of their own for that, ``webmap_...``, and the class in ``reference`` (and in
``reference_before``, where change is judged too) where nobody has written anything else there: what
differs from ``webmap_class`` was written by hand, for example in QGIS, and stays as it is.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lc_platform.config.reference import plain_text
from lc_platform.cube import Legend
from lc_platform.products.judgements import Decision, Records, decided, point_code

POINTS, DESIGN = "reference_sample", "design"
"""Layers of the file."""
REFERENCE, BEFORE = "reference", "reference_before"
"""Columns of points: for their class, and for that in the year before, where change is to be judged
too."""
CLASS, CLASS_BEFORE = "webmap_class", "webmap_class_before"
_ABOUT = {
    "webmap_by": "TEXT",
    "webmap_opinions": "INTEGER",
    "webmap_agreement": "TEXT",
    "webmap_confidence": "TEXT",
    "webmap_remarks": "TEXT",
}


@dataclass(frozen=True)
class Judged:
    """What was judged of a sample in the web map."""

    decisions: Mapping[str, Decision]
    """By the points' codes."""
    names: Mapping[int, str]
    """Of the map's classes."""
    damaged: Sequence[str] = ()
    """What to say of records that cannot be read."""


def judged_in(records: Records, classes: Legend) -> Judged | None:
    """Return what records say of points, by the classes of the map; None where there are none."""
    if not records.every and not records.damaged:
        return None
    names = {one: name for one, (name, _) in classes.items()}
    return Judged(decided(records.standing, classes), names, records.damaged)


def fill(file: Path, judged: Judged) -> list[str]:
    """Write into the file of a sample what was judged of its points; returns what is to be told.

    A file that has it already is not touched, and the same file with the same judgements gives the
    same bytes. One that is no sample is left as it is: who reads it says so.
    """
    with contextlib.closing(sqlite3.connect(file)) as database:
        try:
            rows = list(_rows(database))
        except (sqlite3.DatabaseError, ValueError, TypeError):
            return []
        told = _Told(list(judged.damaged))
        known = {row.code for row in rows}
        told.elsewhere = sum(point not in known for point in judged.decisions)
        wanted = [(row, _filled(row, judged, told)) for row in rows]
        changed = {
            row.number: cells
            for row, cells in wanted
            if any(row.cells.get(name) != value for name, value in cells.items())
        }
        if changed:
            _write(database, changed, before=any(BEFORE in row.cells for row in rows))
    return told.sentences


@dataclass(frozen=True)
class _Row:
    """A point, as the file has it."""

    number: int
    code: str
    cells: Mapping[str, Any]
    """Of those columns that a judgement is about, as far as they are there."""

    def is_by_hand(self, column: str, own: str) -> bool:
        """Whether people wrote into a column what did not come from the web map."""
        return _text(self.cells.get(column)) != _text(self.cells.get(own))


def _rows(database: sqlite3.Connection) -> Iterator[_Row]:
    columns = _columns(database)
    pixel_area, crs = database.execute(f"SELECT pixel_area, crs FROM {DESIGN} LIMIT 1").fetchone()
    pixel = math.sqrt(float(pixel_area))
    asked = [c for c in (REFERENCE, BEFORE, CLASS, CLASS_BEFORE, *_ABOUT) if c in columns]
    named = ", ".join(f'"{column}"' for column in asked)
    for number, x, y, *cells in database.execute(f"SELECT rowid, x, y, {named} FROM {POINTS}"):
        code = point_code(float(x), float(y), pixel, str(crs))
        yield _Row(number, code, dict(zip(asked, cells, strict=True)))


def _columns(database: sqlite3.Connection) -> set[str]:
    found = database.execute(f"SELECT name FROM pragma_table_info('{POINTS}')")
    return {str(name) for (name,) in found}


def _text(value: Any) -> str:
    return "" if value is None else plain_text(str(value))


@dataclass
class _Told:
    """What is to be told of a sample's judgements."""

    damaged: Sequence[str]
    differ: int = 0
    differ_before: int = 0
    not_judged: int = 0
    gone: int = 0
    by_hand: int = 0
    elsewhere: int = 0

    @property
    def sentences(self) -> list[str]:
        said = [
            (
                self.differ,
                "have opinions that differ, and count as not judged until the web map has a "
                "consensus of them",
            ),
            (
                self.differ_before,
                "have opinions that differ in the year before, and count for no change until the "
                "web map has a consensus of them",
            ),
            (self.not_judged, "could not be judged by who has looked at them in the web map"),
            (
                self.gone,
                "were judged as a class that the map does not have any more, and count as not "
                "judged: judge them again in the web map",
            ),
            (
                self.by_hand,
                "have another class in the file than by the web map; what is written in the file "
                "counts. Empty it there to have the web map's",
            ),
            (
                self.elsewhere,
                "that were judged in the web map are not in the sample any more; what was said of "
                "them is kept",
            ),
        ]
        return [*self.damaged, *(f"{n} points {words}" for n, words in said if n)]


def _filled(row: _Row, judged: Judged, told: _Told) -> dict[str, Any]:
    """Return the cells that a point is to have, counting what is to be told."""
    decision = judged.decisions.get(row.code)
    if decision is None and CLASS not in row.cells:
        return {}
    cells = _about(decision)
    now = judged.names.get(decision.meant.now, "") if decision else ""
    before = judged.names.get(decision.meant.before, "") if decision else ""
    for column, own, value in ((REFERENCE, CLASS, now), (BEFORE, CLASS_BEFORE, before)):
        if column not in row.cells:
            continue
        if not row.is_by_hand(column, own):
            cells |= {column: value, own: value}
            # An empty cell may be one of two kinds; it is not changed for that.
            for name in (column, own):
                if not value and name in row.cells and not _text(row.cells[name]):
                    cells[name] = row.cells[name]
        elif decision is not None and column == REFERENCE and value:
            told.by_hand += not _is_class(row.cells[column], decision.meant.now, value)
    if decision is not None and not row.is_by_hand(REFERENCE, CLASS):
        told.differ += decision.state == "differ"
        told.differ_before += decision.agreement == "differ in the year before"
        told.not_judged += decision.state == "cannot be judged"
        told.gone += decision.state == "class is gone"
    return cells


def _is_class(cell: Any, class_id: int, name: str) -> bool:
    """Whether people have written a class into a cell, by its name or its id."""
    return _text(cell).casefold() in (plain_text(name).casefold(), f"{class_id}", f"{class_id}.0")


def _about(decision: Decision | None) -> dict[str, Any]:
    if decision is None:
        return dict.fromkeys(_ABOUT)
    every = decision.all
    remarks = [f"{one.who}: {one.remark}" for one in every if one.remark]
    return {
        "webmap_by": ", ".join(dict.fromkeys(one.who for one in every)),
        "webmap_opinions": len(decision.opinions),
        "webmap_agreement": decision.agreement,
        "webmap_confidence": ", ".join(one.confidence for one in every),
        "webmap_remarks": "; ".join(remarks),
    }


def _write(
    database: sqlite3.Connection, changed: Mapping[int, Mapping[str, Any]], *, before: bool
) -> None:
    there = _columns(database)
    wanted = {CLASS: "TEXT", **({CLASS_BEFORE: "TEXT"} if before else {}), **_ABOUT}
    with database:
        database.execute("BEGIN")
        # GDAL's triggers of the spatial index call functions that it alone has. No place is
        # changed, so that the index stays right.
        triggers = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? "
            "AND name LIKE 'rtree!_%' ESCAPE '!'",
            (POINTS,),
        ).fetchall()
        for name, _ in triggers:
            database.execute(f'DROP TRIGGER "{name}"')
        for column, kind in wanted.items():
            if column not in there:
                database.execute(f'ALTER TABLE {POINTS} ADD COLUMN "{column}" {kind}')
        for number, cells in changed.items():
            names = ", ".join(f'"{name}" = ?' for name in cells)
            database.execute(
                f"UPDATE {POINTS} SET {names} WHERE rowid = ?", (*cells.values(), number)
            )
        for _, statement in triggers:
            database.execute(statement)
