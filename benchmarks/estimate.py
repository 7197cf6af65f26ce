"""What areas of any size take, on paper: the tables of docs/scaling.md.

Every number is a measured constant, an assumption or a formula of these; change them here, and
``python -m benchmarks.scale --paper --write docs/scaling.md`` makes the tables again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.report import Table
from lc_platform.area.grid import MAX_PATCHES
from lc_platform.artefacts.layout import ASSETS, dimensions
from lc_platform.config import RUN_PATCHES, RUN_PIXELS

PIXELS_A_KM2 = 1e4
"""At 10 m."""
YEARS = (1, 10)
NAMES_A_LIST = 1000
"""That an object store tells in one answer."""


@dataclass(frozen=True)
class Constants:
    """What was measured, of docs/performance.md and of the tables above."""

    acquisitions: int = 70
    """A year."""
    microseconds: float = 18.8
    """Of a worker with two cores, a pixel and year: all assets, from the archive's answer on."""
    bytes_raw: float = 520.0
    """A pixel and year: imagery and cloud masks, the platform's defaults."""
    bytes_features: float = 260.0
    """Likewise, where features are stored: a third of all."""
    bytes_rest: float = 40.0
    """Likewise: samples, statistics, predictions, held-out predictions, map."""
    tile: int = 2048
    """Pixels along the side of one object of a Zarr store."""
    window: int = 256
    """Pixels along the side of what is read at a time."""
    small_objects: int = 5
    """Of an acquisition, whatever the patch's size: two on the cloud detector's grid, three layers
    of clouds. Two more, bands and mask, are in every tile."""
    other_objects: int = 67
    """Of a patch-year: coordinates and metadata of three Zarr stores, samples, statistics, shifts,
    predictions, held-out predictions, and the records of eight artefacts."""
    pointers: int = 3
    """Of a patch-year in an object store: one of each Zarr store."""
    reads: float = 11.3
    """Requests of an acquisition, of one window."""
    reads_a_window: float = 21.7
    """Of an acquisition, of each further window."""
    other_reads: float = 205.0
    """Of a patch-year."""
    events_a_step: float = 13.0
    """Rows in Dagster's event log of a step, beside two of each partition."""
    bytes_an_event: float = 1000.0
    bytes_a_materialization: float = 4100.0


@dataclass(frozen=True)
class Assumptions:
    """What was not measured: the archive, the machines and their prices. As of 2025, in euros,
    from memory of the providers' lists and without tax; look them up before anything is bought."""

    bytes_a_block: float = 1.3e6
    """Of the archive's files, compressed: 1024 x 1024 pixels."""
    block: int = 1024
    bands_10m: int = 4
    bands_20m: int = 2
    archive_rate: float = 100e6
    """Bytes a second that the archive gives to all downloads together."""
    workers: int = 8
    """At the same time, of two cores each."""
    core_hour: float = 0.04
    gigabyte_month: float = 0.023
    million_puts: float = 5.0
    million_gets: float = 0.4
    puts_a_second: float = 3500.0
    """That the store takes below one prefix."""
    gets_a_second: float = 5500.0
    rows: float = 1e8
    """Of an event log on one Postgres, with which the UI's questions stay a matter of seconds."""


@dataclass(frozen=True)
class Area:
    """Something to map."""

    name: str
    patches: int
    side: int
    """Pixels of a patch."""


AREAS = (
    Area("Slovenia", 293, 1000),
    Area("100 Slovenias, patches of 10 km", 29_300, 1000),
    Area("Europe, patches of 50 km", 4_000, 5000),
    Area("the world's land, patches of 50 km", 58_000, 5000),
    Area("the world's land, patches of 100 km", 15_500, 10_000),
)
"""Europe's 10 million km2; the world's land without Antarctica, 135 million km2: patches touch
coasts, and take 7 and 15 % more."""


class Estimate:
    """What an area takes in a number of years. All else follows from ``Constants`` and
    ``Assumptions``."""

    def __init__(
        self,
        area: Area,
        years: int,
        measured: Constants | None = None,
        assumed: Assumptions | None = None,
    ) -> None:
        self.area, self.years = area, years
        self.c, self.a = measured or Constants(), assumed or Assumptions()

    # Dagster

    @property
    def patch_years(self) -> int:
        return self.area.patches * self.years

    @property
    def partitions(self) -> int:
        """Of all assets."""
        sizes = {
            frozenset({"patch", "year"}): self.patch_years,
            frozenset({"patch"}): self.area.patches,
            frozenset({"year"}): self.years,
        }
        return sum(sizes.get(dimensions(asset), 1) for asset in ASSETS)

    @property
    def chunk(self) -> int:
        """Patches of a run."""
        return max(1, min(int(RUN_PIXELS // self.area.side**2), RUN_PATCHES))

    @property
    def runs(self) -> int:
        """Of a backfill of the whole graph: imagery and features, samples, predictions of each
        chunk of patches and year; the reference of each chunk; three of each year, and the grid."""
        chunks = math.ceil(self.area.patches / self.chunk)
        return chunks * (3 * self.years + 1) + 3 * self.years + 1

    @property
    def events(self) -> float:
        steps = self.runs * 2  # seven steps of patch-years in three runs, one or two in the others
        return 2 * self.partitions + self.c.events_a_step * steps

    @property
    def database_bytes(self) -> float:
        others = self.events - self.partitions
        return self.partitions * self.c.bytes_a_materialization + others * self.c.bytes_an_event

    # The store

    @property
    def pixels(self) -> float:
        """Pixel-years."""
        return float(self.patch_years) * self.area.side**2

    @property
    def bytes(self) -> float:
        c = self.c
        return self.pixels * (c.bytes_raw + c.bytes_features + c.bytes_rest)

    @property
    def _tiles(self) -> int:
        return math.ceil(self.area.side / self.c.tile) ** 2

    @property
    def objects(self) -> float:
        """Files of a folder."""
        c = self.c
        each = c.acquisitions * (2 * self._tiles + c.small_objects) + self._tiles
        return self.patch_years * (each + c.other_objects)

    @property
    def puts(self) -> float:
        """Objects of an object store, each written once."""
        return self.objects + self.patch_years * self.c.pointers

    @property
    def gets(self) -> float:
        """Reading, by windows."""
        c, windows = self.c, math.ceil(self.area.side / self.c.window) ** 2
        each = c.acquisitions * (c.reads + c.reads_a_window * (windows - 1))
        return self.patch_years * (each + c.other_reads)

    @property
    def lists(self) -> float:
        """Listings, of a thousand names each: of its year's records for each artefact."""
        of_year = math.ceil(self.area.patches / NAMES_A_LIST)
        return self.partitions * of_year

    # The archive

    @property
    def _blocks(self) -> float:
        """Of an acquisition of a patch, on average over where it lies among the blocks."""

        def touched(side: float) -> float:
            return (1 + side / self.a.block) ** 2

        fine, coarse = touched(self.area.side), touched(self.area.side / 2)
        return self.a.bands_10m * fine + self.a.bands_20m * coarse

    @property
    def archive_requests(self) -> float:
        bands = self.a.bands_10m + self.a.bands_20m
        return self.patch_years * self.c.acquisitions * (self._blocks + bands)

    @property
    def archive_bytes(self) -> float:
        return self.patch_years * self.c.acquisitions * self._blocks * self.a.bytes_a_block

    # Hours and euros

    @property
    def download_hours(self) -> float:
        return self.archive_bytes / self.a.archive_rate / 3600

    @property
    def worker_hours(self) -> float:
        return self.pixels * self.c.microseconds / 1e6 / 3600

    @property
    def hours(self) -> float:
        """Of the whole: acquisition and computing overlap, so the longer of the two."""
        return max(self.download_hours, self.worker_hours / self.a.workers)

    @property
    def compute_euros(self) -> float:
        return 2 * self.worker_hours * self.a.core_hour

    @property
    def month_euros(self) -> float:
        """Of what is stored."""
        return self.bytes / 1e9 * self.a.gigabyte_month

    @property
    def request_euros(self) -> float:
        written = self.puts + self.lists  # a listing costs what a write costs
        return written / 1e6 * self.a.million_puts + self.gets / 1e6 * self.a.million_gets

    # Limits

    @property
    def limits(self) -> dict[str, float]:
        """What share of each limit is used: above 1 it is met."""
        busy = self.a.workers / (self.worker_hours * 3600)
        return {
            "partitions of an asset": self.patch_years / MAX_PATCHES,
            "rows of the event log": self.events / self.a.rows,
            "writes to the store": self.puts * busy / self.a.puts_a_second,
            "reads from the store": self.gets * busy / self.a.gets_a_second,
            "the archive's rate": self.download_hours / (self.worker_hours / self.a.workers),
        }

    @property
    def first(self) -> str:
        """The limit of which most is used."""
        return max(self.limits, key=lambda name: self.limits[name])

    @property
    def most_years(self) -> int:
        """Until an asset has more partitions than it may."""
        return MAX_PATCHES // self.area.patches


def tables(measured: Constants | None = None, assumed: Assumptions | None = None) -> list[Table]:
    """The tables on paper."""
    all_of = [Estimate(a, y, measured, assumed) for a in AREAS for y in YEARS]
    names = [(e.area.name, str(e.years)) for e in all_of]
    orchestration = Table(
        "scale-orchestration",
        "What Dagster has to do",
        ("area", "years", "patches", "of a run", "runs", "partitions", "event rows", "database"),
        [
            (*n, f"{e.area.patches:,}", str(e.chunk), f"{e.runs:,}", f"{e.partitions:,}",
             amount(e.events), size(e.database_bytes))
            for n, e in zip(names, all_of, strict=True)
        ],
    )  # fmt: skip
    storage = Table(
        "scale-storage",
        "What is stored and asked for",
        ("area", "years", "stored", "files", "writes", "reads", "listings", "from the archive",
         "its requests"),
        [
            (*n, size(e.bytes), amount(e.objects), amount(e.puts), amount(e.gets), amount(e.lists),
             size(e.archive_bytes), amount(e.archive_requests))
            for n, e in zip(names, all_of, strict=True)
        ],
    )  # fmt: skip
    euros = Table(
        "scale-euros",
        "Hours and euros",
        ("area", "years", "worker-hours", "download", f"with {all_of[0].a.workers} workers",
         "machines", "requests", "storage a month"),
        [
            (*n, amount(e.worker_hours), hours(e.download_hours), hours(e.hours),
             f"{amount(e.compute_euros)} €", f"{amount(e.request_euros)} €",
             f"{amount(e.month_euros)} €")
            for n, e in zip(names, all_of, strict=True)
        ],
    )  # fmt: skip
    limits = Table(
        "scale-limits",
        "How much of each limit is used",
        ("area", "years", *all_of[0].limits, "years until the partitions are used up"),
        [
            (*n, *(_share(v, k == e.first) for k, v in e.limits.items()), str(e.most_years))
            for n, e in zip(names, all_of, strict=True)
        ],
        ("Bold: that of which most is used. Above 100 % it is met: the archive's rate then sets "
         "the pace, requests to the store wait, and of partitions there may not be so many.",),
    )  # fmt: skip
    return [orchestration, storage, euros, limits]


def amount(value: float) -> str:
    """A number to two digits, in words where it is large."""
    for limit, word in ((1e9, " billion"), (1e6, " million"), (1e4, ",000")):
        if value >= limit:
            scaled = value / (1e3 if word == ",000" else limit)
            return f"{_two(scaled)}{word}"
    return _two(value)


def size(value: float) -> str:
    for limit, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB")):
        if value >= limit:
            return f"{_two(value / limit)} {unit}"
    return f"{_two(value / 1e6)} MB"


def hours(value: float) -> str:
    return f"{_two(value)} h" if value < 72 else f"{_two(value / 24)} days"


def _two(value: float) -> str:
    if value >= 100:
        digits = 1 - math.floor(math.log10(value))
        return f"{round(value, digits):,.0f}"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _share(value: float, most: bool) -> str:
    text = f"{_two(value * 100)} %"
    return f"**{text}**" if most else text
