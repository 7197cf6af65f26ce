"""The points of a year's reference sample, with what is judged of them up to now."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lc_platform.artefacts.layout import JUDGEMENTS, REFERENCE_SAMPLE
from lc_platform.config.reference import plain_text
from lc_platform.cube import Legend
from lc_platform.products.filled_sample import BEFORE, CLASS, judged_in
from lc_platform.products.judgements import (
    Decision,
    Judgement,
    JudgementRecords,
    Opinion,
    Records,
    point_code,
)
from lc_platform.products.reference_sample import ReferenceSample, sample_file
from lc_platform.reading.errors import NotFoundError
from lc_platform.reading.reader import Reader

_HANDED_OUT = 180.0
"""Seconds for which a point that somebody looks at is given to nobody else, while there are
others."""


Round = tuple[int, Opinion]
"""What people are at: the opinions of a year's sample."""


@dataclass(frozen=True)
class Point:
    """A point of a sample, as it was drawn."""

    code: str
    longitude: float
    latitude: float
    x: float
    """In the sample's CRS."""
    y: float
    stratum: int
    by_hand: str | None
    """What was written in the file by hand; None where nothing was."""


@dataclass(frozen=True)
class SampleNow:
    """A sample, and what is judged of it at a moment."""

    year: int
    sample: ReferenceSample
    """As the file has it."""
    points: Mapping[str, Point]
    """By their codes, in the file's order."""
    legend: Legend
    records: Records
    log: JudgementRecords

    @cached_property
    def decisions(self) -> Mapping[str, Decision]:
        """By the points' codes; also of points that are not in the sample any more."""
        judged = judged_in(self.records, self.legend)
        return judged.decisions if judged else {}

    @property
    def pixel(self) -> float:
        """The side of a pixel, in units of the sample's CRS."""
        return float(self.sample.design.pixel_area**0.5)

    @property
    def asks_before(self) -> bool:
        """Whether the class of the year before is asked for too."""
        return BEFORE in self.sample.points

    def class_at(self, point: Point) -> int:
        """Return the class id that holds of a point, 0 where none does (yet)."""
        if point.by_hand is not None:
            return self._by_hand[point.code]
        decision = self.decisions.get(point.code)
        return decision.meant.now if decision else 0

    @cached_property
    def _by_hand(self) -> Mapping[str, int]:
        """What was written by hand: 0 where it is no class, which the areas are not made of."""
        names = {plain_text(name).casefold(): one for one, (name, _) in self.legend.items()}
        ids = {f"{one}{zeros}": one for one in self.legend for zeros in ("", ".0")}
        return {
            point.code: names.get(point.by_hand.casefold(), ids.get(point.by_hand, 0))
            for point in self.points.values()
            if point.by_hand is not None
        }

    def own(self, point: str, who: str, opinion: Opinion) -> Judgement | None:
        """Return the judgement of a point in whose place a person's new one would be."""
        decision = self.decisions.get(point)
        if decision is None:
            return None
        if opinion == "consensus":
            return decision.consensus
        return next((one for one in decision.opinions if one.who == who), None)

    def waiting(self, who: str, opinion: Opinion, stratum: int | None = None) -> list[Point]:
        """Return the points that a person may judge next, in an order of that person's own: that of
        the file would tell the strata, which are the map's classes."""
        found = [
            point
            for point in self.points.values()
            if (stratum is None or point.stratum == stratum) and self._waits(point, who, opinion)
        ]
        seed = f"{self.sample.design.seed} {who} "
        return sorted(found, key=lambda p: hashlib.sha256(f"{seed}{p.code}".encode()).digest())

    def _waits(self, point: Point, who: str, opinion: Opinion) -> bool:
        decision = self.decisions.get(point.code)
        if decision is None or decision.state == "class is gone":
            return opinion == "first" and point.by_hand is None
        if opinion == "second":
            others = [one for one in decision.opinions if one.who != who]
            return len(decision.opinions) == len(others) == 1 and decision.consensus is None
        return opinion == "consensus" and decision.needs_consensus


class Samples:
    """The samples of what was opened. It may be asked by several threads at once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._read: dict[int, tuple[str, ReferenceSample, Mapping[str, Point]]] = {}
        self._records: dict[int, JudgementRecords] = {}
        self._handed: dict[tuple[Round, str], tuple[str, float]] = {}
        self._lock = threading.Lock()

    def of(self, year: int) -> SampleNow:
        """Return a year's sample as it is now. Raises NotFoundError where there is none, DataError
        where it cannot be used."""
        if year not in self._reader.years:
            raise NotFoundError(
                f"{year}: is no year of the map; there are "
                f"{', '.join(map(str, self._reader.years))}"
            )
        store = self._reader.store
        file = sample_file(store, REFERENCE_SAMPLE.format(year=year))
        if file is None:
            raise NotFoundError(
                f"There is no reference sample of {year}. Draw one from the map by `lc-platform "
                f"sample --year {year}`"
            )
        identity = file.identity
        with self._lock:
            known = self._read.get(year)
            log = self._records.setdefault(
                year, JudgementRecords(store, JUDGEMENTS.format(year=year))
            )
        if known is None or known[0] != identity:
            sample = file.read()
            known = identity, sample, _points(sample)
            with self._lock:
                self._read[year] = known
        return SampleNow(year, known[1], known[2], self._reader.artefacts.legend, log.read(), log)

    def choose(self, of: Round, waiting: Sequence[Point], after: str | None, who: str) -> Point:
        """Return which of the points that wait a person judges next: one that nobody else looks at
        now, where there is one.

        after  the code of the one before, which need not wait any more
        """
        order = _from(waiting, after)
        now = time.monotonic()
        with self._lock:
            self._handed = {
                at: (to, when)
                for at, (to, when) in self._handed.items()
                if now - when < _HANDED_OUT
            }
            taken = {at for at, (to, _) in self._handed.items() if to != who}
            others = [point for point in order if point.code != after] or order
            free = (point for point in others if (of, point.code) not in taken)
            chosen = next(free, others[0])
            self._handed[of, chosen.code] = who, now
        return chosen


def _from(waiting: Sequence[Point], after: str | None) -> list[Point]:
    """Return points from the one after another on; those before it come last, itself at the end."""
    position = next((i for i, point in enumerate(waiting) if point.code == after), -1)
    return [*waiting[position + 1 :], *waiting[: position + 1]]


def _points(sample: ReferenceSample) -> dict[str, Point]:
    design = sample.design
    pixel = float(design.pixel_area**0.5)
    table = sample.points
    places = table.to_crs(4326).geometry
    own = table[CLASS] if CLASS in table else [None] * len(table)
    columns = (table["x"], table["y"], places.x, places.y, table["stratum"], sample.written, own)
    found = {}
    for x, y, lon, lat, stratum, written, filled in zip(*columns, strict=True):
        code = point_code(x, y, pixel, design.crs)
        from_here = plain_text(filled) if isinstance(filled, str) else ""
        by_hand = written if written != from_here else None
        found[code] = Point(code, lon, lat, x, y, int(stratum), by_hand)
    return found
