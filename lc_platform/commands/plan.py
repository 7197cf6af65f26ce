"""The cost of acquiring an area, before any of it is acquired."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import fmean
from typing import Any

from lc_platform import assets
from lc_platform.acquisition import revisit
from lc_platform.acquisition.budget import Spending
from lc_platform.acquisition.read_plan import Plan, plans
from lc_platform.acquisition.reuse import changed
from lc_platform.acquisition.search import (
    NoAcquisitionError,
    SearchResult,
    search_acquisitions,
)
from lc_platform.area import patches as area
from lc_platform.area.grid import Patch
from lc_platform.area.options import SplitOptions
from lc_platform.commands.instance import chosen
from lc_platform.config import Config
from lc_platform.platform import Platform
from lc_platform.sources.protocol import Acquisition, Cost, Source

BYTES_KEPT = 1.2
"""Bytes of a digital number in the store, with its masks; see docs/performance.md."""
REQUEST_SECONDS = {"sentinel_hub": 1.0, "stac": 0.2, "simulated": 0.0}
"""Assumed seconds of a request to an archive on the network, which computes an image or returns a
part of a file."""
NOTHING = Cost()


@dataclass(frozen=True)
class Need:
    """The acquisitions of patches and years, and their cost."""

    acquisitions: int = 0
    """Acquisitions that the archive has, or has by the estimate."""
    existing: int = 0
    """Acquisitions among them that need not be acquired again."""
    cost: Cost = NOTHING
    """The cost of the others."""
    bytes_kept: int = 0
    """Bytes of the others in the store: raw bands and cloud masks."""

    def __add__(self, other: Need) -> Need:
        return Need(
            self.acquisitions + other.acquisitions,
            self.existing + other.existing,
            self.cost + other.cost,
            self.bytes_kept + other.bytes_kept,
        )


@dataclass(frozen=True)
class Budgeted:
    """One limit of the budget, and what is needed of it."""

    key: str
    """The key in imagery.budget."""
    needed: float
    left: float
    most: float

    @property
    def suffices(self) -> bool:
        return self.needed <= self.left

    @property
    def months(self) -> int:
        """Months that all of it takes, this one included."""
        return 1 + max(0, math.ceil((self.needed - self.left) / self.most))


@dataclass(frozen=True)
class AreaPlan:
    """The needs of an area, by patch and year."""

    config: Config
    needs: dict[tuple[str, int], Need]
    """(patch, year) -> need."""
    remote: bool
    """Whether the archive is on the network."""
    estimated: str
    """The assumptions of an estimate; empty where the archive was searched."""
    spending: Spending

    @property
    def total(self) -> Need:
        return sum(self.needs.values(), Need())

    @property
    def patches(self) -> list[str]:
        return list(dict.fromkeys(patch for patch, _ in self.needs))

    @property
    def years(self) -> dict[int, Need]:
        years = dict.fromkeys(sorted({year for _, year in self.needs}), Need())
        for (_, year), need in self.needs.items():
            years[year] += need
        return years

    @property
    def without(self) -> list[tuple[str, int]]:
        """Patches and years of which the archive has nothing."""
        return [where for where, need in self.needs.items() if not need.acquisitions]

    @property
    def seconds_a_request(self) -> float:
        return REQUEST_SECONDS[self.config.imagery.source]

    def hours(self, need: Need) -> float:
        """Return the hours of one worker, at the limits of the configuration."""
        imagery = self.config.imagery
        seconds = need.cost.requests * self.seconds_a_request / imagery.connections
        if imagery.requests_per_minute:
            seconds = max(seconds, need.cost.requests * 60 / imagery.requests_per_minute)
        return seconds / 3600

    @property
    def budget(self) -> list[Budgeted]:
        """Each limit of the budget; empty where there is none."""
        cost, limits = self.total.cost, self.config.imagery.budget.model_dump()
        return [
            Budgeted(key, getattr(cost, key), left, limits[key])
            for key, left in self.spending.left.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        imagery, spending = self.config.imagery, self.spending
        return {
            "name": self.config.name,
            "source": imagery.source,
            "collection": imagery.collection,
            "over_the_network": self.remote,
            "estimated": self.estimated or None,
            "seconds_a_request": self.seconds_a_request,
            "bytes_a_digital_number": BYTES_KEPT,
            "total": self._amounts(self.total),
            "years": [{"year": year, **self._amounts(need)} for year, need in self.years.items()],
            "patches": [
                {"patch": patch, "year": year, **self._amounts(need)}
                for (patch, year), need in self.needs.items()
            ],
            "budget": {
                "month": spending.month,
                "spent": _costs(spending.spent),
                "set_aside": _costs(spending.set_aside),
                "limits": {
                    one.key: {
                        "most": one.most,
                        "left": one.left,
                        "needed": one.needed,
                        "suffices": one.suffices,
                    }
                    for one in self.budget
                },
            },
        }

    def _amounts(self, need: Need) -> dict[str, Any]:
        return {
            "acquisitions": need.acquisitions,
            "there": need.existing,
            **_costs(need.cost),
            "bytes_kept": need.bytes_kept,
            "hours": round(self.hours(need), 4),
        }


def _costs(cost: Cost) -> dict[str, Any]:
    return {
        "requests": cost.requests,
        "processing_units": round(cost.processing_units, 3),
        "bytes_moved": cost.bytes,
    }


Progress = Callable[[int, Iterable[Any]], Iterator[Any]]
"""(how many, results as they come) -> the same results, with their progress shown."""


def make(
    config: Config,
    progress: Progress,
    *,
    years: Sequence[int] = (),
    patches: Sequence[str] = (),
    offline: bool = False,
    today: date | None = None,
) -> AreaPlan:
    """Search the archive for all patches and years, or the chosen ones, and compare with the store.

    offline  do not search an archive on the network: its acquisitions are estimated, and a past
             year that has any is taken as complete

    Raises RunError where a year or a patch is asked for that there is not, SourceError where the
    archive cannot be searched, StorageError where the store cannot be read, or is a file.
    """
    platform = Platform(config, [asset.recipe for asset in assets.ALL])
    platform.store.expect_folder()
    wanted = chosen(years, config.years, "--year", "years of the configuration")
    found = {patch.key: patch for patch in area.patches(SplitOptions.of(config))[0]}
    keys = chosen(patches, list(found), "--patch", "patches of the area")
    sources = {"": platform.source, **platform.auxiliary}
    remote = any(source.remote for source in sources.values())
    estimates = None
    if offline and remote:
        day = today or datetime.now(UTC).date()
        imagery = config.imagery
        named = {"": imagery.collection} | {one.name: one.collection for one in imagery.also}
        estimates = {name: _Estimate(config, named[name], day) for name in sources}

    def need(where: tuple[str, int]) -> tuple[tuple[str, int], Need]:
        patch, year = found[where[0]], where[1]
        return where, _need(platform, sources, patch, year, estimates, year - 1 in wanted)

    places = [(key, year) for year in wanted for key in keys]
    pool = ThreadPoolExecutor(config.imagery.connections)
    try:
        needs = dict(progress(len(places), pool.map(need, places)))
    finally:
        pool.shutdown(cancel_futures=True)
    laid = [found[key] for key in keys]
    estimated = "; ".join(one.assumptions(laid) for one in (estimates or {}).values())
    return AreaPlan(config, needs, remote, estimated, platform.ledger.spending())


def _need(
    platform: Platform,
    sources: Mapping[str, Source],
    patch: Patch,
    year: int,
    estimates: Mapping[str, _Estimate] | None,
    after_another: bool,
) -> Need:
    """Return the need of a patch's year; where it comes after another one, without what this has
    acquired then."""
    readings = plans(patch, platform.acquisition_options())
    own, beside = platform.reusable(patch.key, year), platform.reusable_beside(patch.key, year)
    stored = [one.facts for one in (*own, *beside)]
    if estimates is not None:
        counted = [
            _estimated(
                estimates[reading.name],
                patch,
                year,
                _by_key(reading, [one.facts for one in own]),
                _by_key(reading, stored),
                after_another,
            )
            for reading in readings
        ]
    else:
        try:
            found_now = search_acquisitions(
                platform.source, patch, year, platform.acquisition_options(), platform.auxiliary
            )
        except NoAcquisitionError:
            return Need()
        there = {"": found_now.acquisitions, **found_now.auxiliary}
        counted = [
            _searched(r, there[r.name], _by_key(r, stored), found_now if after_another else None)
            for r in readings
        ]
    needs = []
    for reading, (count, known, shared) in zip(readings, counted, strict=True):
        each, new = reading.cost(sources[reading.name]), count - known - shared
        cost = Cost(each.requests * new, each.processing_units * new, each.bytes * new)
        numbers = sum(math.prod(g.geobox.shape) * len(g.bands) for g in reading.grids)
        needs.append(Need(count, known, cost, round(BYTES_KEPT * numbers * new)))
    return sum(needs, Need())


def _by_key(
    reading: Plan, stored: Iterable[Mapping[str, Any]]
) -> dict[str, list[Mapping[str, Any]]]:
    """Return key -> stored acquisitions that were read as they would be now."""
    read_as = reading.digest()
    found: dict[str, list[Mapping[str, Any]]] = {}
    for facts in stored:
        if facts.get("read_as") == read_as:
            found.setdefault(str(facts["key"]), []).append(facts)
    return found


def _searched(
    reading: Plan,
    acquisitions: Sequence[Acquisition],
    stored: Mapping[str, Sequence[Mapping[str, Any]]],
    after_another: SearchResult | None,
) -> tuple[int, int, int]:
    """Return the numbers of acquisitions, of those that are stored as the archive has them, and of
    those of the rest that the year before will have, where it comes first."""
    missing = [
        a
        for a in acquisitions
        if not any(
            changed(facts, a, reading.bands) == frozenset() for facts in stored.get(a.key, ())
        )
    ]
    shared = sum(after_another is not None and after_another.is_of_year_before(a) for a in missing)
    return len(acquisitions), len(acquisitions) - len(missing), shared


def _estimated(
    estimate: _Estimate,
    patch: Patch,
    year: int,
    own: Mapping[str, Any],
    stored: Mapping[str, Sequence[Mapping[str, Any]]],
    after_another: bool,
) -> tuple[int, int, int]:
    """Return the numbers of acquisitions, of stored ones, and of those of the rest that the year
    before will have, where it comes first.

    own     key -> stored acquisitions of the year itself
    stored  those of the years beside it too
    """
    if own and not estimate.is_current(year):
        return len(own), len(own), 0
    there = sum(estimate.has(year, str(facts[0]["datetime"])) for facts in stored.values())
    count = max(there, estimate.acquisitions(patch, year))
    shared = max(0, estimate.shared(patch, year) - there) if after_another else 0
    return count, there, min(shared, count - there)


class _Estimate:
    """The number of acquisitions, estimated from the satellites' orbit."""

    def __init__(self, config: Config, collection: str, today: date) -> None:
        self._collection = collection
        self._clearest = config.imagery.max_cloud_cover
        self._orbit = revisit.orbit_of(collection)
        self._today = today
        self._season, self._padding = config.season.span, config.features.padding

    @property
    def _share(self) -> float:
        sees = self._orbit.sees_clouds
        return revisit.share_kept(self._clearest) if sees else 1.0

    def is_current(self, year: int) -> bool:
        """Whether days of a year's season, or of its padding, are to come."""
        return self._today <= self._season.padded(year, self._padding)[1]

    def acquisitions(self, patch: Patch, year: int) -> int:
        """Return the number of acquisitions of a patch in a year, before today."""
        return self._between(patch, *self._season.padded(year, self._padding))

    def shared(self, patch: Patch, year: int) -> int:
        """Return the number of those that the year before has too."""
        first, _ = self._season.padded(year, self._padding)
        return self._between(patch, first, self._season.padded(year - 1, self._padding)[1])

    def has(self, year: int, when: str) -> bool:
        """Whether an acquisition of a time, as JSON has it, is one of a year."""
        first, last = self._season.padded(year, self._padding)
        return first <= date.fromisoformat(when[:10]) <= last

    def _between(self, patch: Patch, first: date, last: date) -> int:
        days = max(0, (min(last + timedelta(1), self._today) - first).days)
        return round(self._passes(patch, days) * self._share)

    def _passes(self, patch: Patch, days: float) -> float:
        xmin, _, xmax, _ = patch.box
        return self._orbit.passes(patch.centre[1], xmax - xmin, days)

    def assumptions(self, patches: Sequence[Patch]) -> str:
        """Return the assumptions as text."""
        every = 1 / fmean(self._passes(patch, 1) for patch in patches)
        latitude = fmean(patch.centre[1] for patch in patches)
        text = (
            f"{self._collection} every {every:.1f} days "
            f"({self._orbit.satellites} satellites, at {abs(latitude):.0f}"
            f"{'N' if latitude >= 0 else 'S'})"
        )
        if self._orbit.sees_clouds:
            text += f", {self._share:.0%} of it with at most {self._clearest:g} % cloud"
        return text
