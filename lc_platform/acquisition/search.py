"""Searching archives for the acquisitions of a patch in a year."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

from lc_platform.acquisition.read_plan import Plan, plans
from lc_platform.acquisition.reuse import (
    STATES,
    ReusableAcquisition,
    changed,
    identity,
    identity_without_files,
)
from lc_platform.area.grid import Patch
from lc_platform.eo.season import Season
from lc_platform.errors import DataError
from lc_platform.products.options import AcquisitionOptions
from lc_platform.sources.protocol import Acquisition, Source


class NoAcquisitionError(DataError):
    """The archive has nothing usable for a patch in a year."""


@dataclass(frozen=True)
class SearchResult:
    """The acquisitions of a patch in a year that the archives have and that are to be acquired."""

    patch: Patch
    year: int
    acquisitions: Sequence[Acquisition]
    """The acquisitions of the main collection."""
    too_cloudy: int
    """The number of acquisitions that are left out for their clouds."""
    options: AcquisitionOptions
    """The options by which the archives are searched and read."""
    auxiliary: Mapping[str, Sequence[Acquisition]] = field(default_factory=dict)
    """Name of an auxiliary collection -> its acquisitions, which may be none."""
    plans: Sequence[Plan] = ()
    """The read plan of each collection."""
    ignores_files: bool = False
    """Whether its identity is that from a time when the state of files was not recorded."""

    @property
    def identity(self) -> Any:
        """What the version of raw bands is made of: items, what is known of their processing, and
        the state of their files."""
        return self.identity_without_files if self.ignores_files else self._identity(identity)

    @property
    def identity_without_files(self) -> Any:
        """The same without the state of files."""
        return self._identity(lambda acquisition, _: identity_without_files(acquisition))

    def matches(self, stored: Iterable[ReusableAcquisition]) -> bool:
        """Whether stored acquisitions, from a time when the state of files was not recorded, are
        all that was found, and nothing shows that any has changed since."""
        known = [one.facts for one in stored if STATES not in one.facts]
        return all(
            any(
                facts["key"] == acquisition.key
                and changed(facts, acquisition, plan.bands) == frozenset()
                for facts in known
            )
            for plan, found in self._by_plan
            for acquisition in found
        )

    def is_of_year_before(self, acquisition: Acquisition) -> bool:
        """Whether the season of the year before, with its padding, has an acquisition too."""
        before = self.options.season.padded(self.year - 1, self.options.padding)
        return acquisition.datetime.date() <= before[1]

    def is_of_year_after(self, acquisition: Acquisition) -> bool:
        """Whether that of the year after has it too."""
        after = self.options.season.padded(self.year + 1, self.options.padding)
        return acquisition.datetime.date() >= after[0]

    @property
    def _by_plan(self) -> list[tuple[Plan, Sequence[Acquisition]]]:
        found = {"": self.acquisitions, **self.auxiliary}
        return [(plan, found[plan.name]) for plan in self.plans]

    def _identity(self, identity: Callable[[Acquisition, Iterable[str]], Any]) -> Any:
        found = {
            plan.name: [identity(one, plan.all_bands) for one in acquisitions]
            for plan, acquisitions in self._by_plan
        }
        main = found.pop("")
        return [main, found] if found else main


def search_acquisitions(
    source: Source,
    patch: Patch,
    year: int,
    options: AcquisitionOptions,
    auxiliary: Mapping[str, Source] = MappingProxyType({}),
) -> SearchResult:
    """Search the archive, and those of the auxiliary collections by name.

    Raises NoAcquisitionError where the main collection has none, SourceError where an archive
    cannot be searched.
    """
    first, last = options.season.padded(year, options.padding)
    start, end = _midnight(first), _midnight(last + timedelta(1))
    # What only the margin shows is needed too: a neighbour's map is made of it.
    mapped = patch.geobox.pad(options.map_margin) if options.map_margin else patch.geobox
    limit = options.max_cloud_cover
    read_as = plans(patch, options)

    def usable(archive: Source, plan: Plan) -> tuple[list[Acquisition], list[Acquisition]]:
        """Return all that is not excluded by its key, and of these what is not too cloudy, each
        without the granules that are."""
        there = [
            acquisition
            for acquisition in archive.search(mapped.extent, start, end, plan.extent)
            if acquisition.key not in options.exclude
        ]
        return there, [clear for one in there if (clear := one.within(limit)) is not None]

    there, kept = usable(source, read_as[0])
    of_season = [one for one in there if _is_of(options.season, year, one)]
    if not any(_is_of(options.season, year, one) for one in kept):
        raise NoAcquisitionError(_no_acquisition(patch, year, options, of_season))
    others = {p.name: usable(auxiliary[p.name], p)[1] for p in read_as[1:]}
    return SearchResult(patch, year, kept, len(there) - len(kept), options, others, read_as)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _is_of(season: Season, year: int, acquisition: Acquisition) -> bool:
    """Whether an acquisition is of a year's season, and not of the days around it."""
    return season.first(year) <= acquisition.datetime.date() <= season.last(year)


def _no_acquisition(
    patch: Patch, year: int, options: AcquisitionOptions, too_cloudy: list[Acquisition]
) -> str:
    longitude, latitude = patch.centre
    first, last = options.season.first(year), options.season.last(year)
    place = (
        f"the patch lies at {abs(latitude):.2f}{'N' if latitude >= 0 else 'S'} "
        f"{abs(longitude):.2f}{'E' if longitude >= 0 else 'W'}"
    )
    if too_cloudy:
        clearest = min(too_cloudy, key=lambda a: a.cloud_cover or 0.0)
        return (
            f"patch {patch.key}, {year}: none of {len(too_cloudy)} acquisitions between "
            f"{first} and {last} in {options.collection} has at most "
            f"{options.max_cloud_cover:g} % cloud (the clearest, {clearest.key}, has "
            f"{clearest.cloud_cover:g} %). Raise imagery.max_cloud_cover, or check the area (aoi): "
            f"{place}"
        )
    return (
        f"patch {patch.key}, {year}: no acquisition between {first} and {last} in "
        f"{options.collection}. Check years, imagery.collection and the area (aoi): {place}"
    )
