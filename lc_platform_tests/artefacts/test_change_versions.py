"""Which change is stale when the predictions of a year have changed: that which is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lc_platform import assets
from lc_platform.area.grid import PatchGrid
from lc_platform.artefacts.layout import Partition, key
from lc_platform.artefacts.records import Version
from lc_platform.artefacts.versions import Snapshot
from lc_platform.automation.schedules import changing_with
from lc_platform.config import Config, parse
from lc_platform.platform import Platform
from lc_platform_tests.graphs import settings
from lc_platform_tests.products.patches import patch

YEARS = [2018, 2019, 2020, 2021, 2022]
PATCHES = [patch(0, 0), patch(0, 1)]


def config_of(folder: Path, years: list[int], change: dict[str, Any]) -> Config:
    return parse({**settings(), "years": years, "change": change}, folder)


class Recorded:
    """A store in which artefacts are recorded that nobody has made."""

    def __init__(self, folder: Path, **change: Any) -> None:
        self.folder = folder
        self.change = {"enabled": True, **change}
        self.take(YEARS)

    def take(self, years: list[int]) -> None:
        """Configure other years."""
        self.platform = Platform(self._configured(years), [one.recipe for one in assets.ALL])
        self.platform.grid = lambda: PatchGrid(PATCHES, {})  # type: ignore[method-assign]
        self.years = years

    def _configured(self, years: list[int]) -> Config:
        return config_of(self.folder, years, self.change)

    def write(self, asset: str, where: Partition, version: Version) -> None:
        store, target = self.platform.store, key(asset, where.patch, where.year)
        with store.file(target) as path:
            path.write_bytes(b"")
        self.platform.versions.records.write(asset, where, version, {})

    def predict(self, year: int, version: str = "a") -> None:
        for one in PATCHES:
            where = Partition(one.key, year)
            self.write("predictions", where, Version(version * 16, "0", "0" * 8))

    def detect(self, year: int) -> None:
        where = Partition(year=year)
        self.write("change", where, self.look().expected("change", where).version)

    def look(self) -> Snapshot:
        return self.platform.versions.look()

    def behind(self) -> set[int]:
        """The years whose change is not made of what there is now."""
        look = self.look()
        found = set()
        for year in look.years_of("change", self.years):
            where = Partition(year=year)
            if not look.is_current("change", where, look.expected("change", where).version):
                found.add(int(str(year)))
        return found


@pytest.fixture
def made(tmp_path: Path) -> Recorded:
    found = Recorded(tmp_path)
    for year in YEARS:
        found.predict(year)
    for year in YEARS[1:]:
        found.detect(year)
    assert found.behind() == set()
    return found


@pytest.mark.parametrize(
    ("year", "behind"),
    [
        (2018, {2019, 2020}),
        (2019, {2019, 2020, 2021}),
        (2020, {2019, 2020, 2021, 2022}),
        (2022, {2021, 2022}),
    ],
)
def test_a_year_touches_the_changes_that_it_is_evidence_of_and_no_other(
    made: Recorded, year: int, behind: set[int]
) -> None:
    made.predict(year, "b")
    assert made.behind() == behind


def test_a_new_year_has_a_say_in_the_change_before_it_and_in_no_other(made: Recorded) -> None:
    made.take([*YEARS, 2023])
    assert made.behind() == {2023}
    made.predict(2023)
    assert made.behind() == {2022, 2023}


def test_a_series_is_made_of_all_years(tmp_path: Path) -> None:
    made = Recorded(tmp_path, series="markov")
    for year in YEARS:
        made.predict(year)
    for year in YEARS[1:]:
        made.detect(year)
    made.predict(2022, "b")
    assert made.behind() == {2019, 2020, 2021, 2022}


def test_the_first_year_has_no_change_and_no_place_for_it(made: Recorded) -> None:
    look = made.look()
    assert look.years_of("change", YEARS) == [2019, 2020, 2021, 2022]
    assert look.places("change", 2018) == []
    assert dict(look.states("change", 2018)) == {}


def test_where_change_is_not_made_nothing_is_missing(tmp_path: Path) -> None:
    platform = Platform(config_of(tmp_path, YEARS, {}), [one.recipe for one in assets.ALL])
    assert "change" not in platform.partition_years
    assert platform.versions.years_of("change", YEARS) == []
    assert not platform.prediction_options().probabilities


def test_schedules_make_the_changes_that_a_year_has_a_say_in_where_both_years_are_there(
    made: Recorded, tmp_path: Path
) -> None:
    assert changing_with(made.look(), 2022, YEARS) == [2021, 2022]
    young = Recorded(tmp_path / "young")
    young.predict(2018)
    young.predict(2020)
    # Of 2019 there is nothing: neither the change to it nor that from it can be made.
    assert changing_with(young.look(), 2020, YEARS) == []
    assert changing_with(young.look(), 2019, YEARS) == [2019, 2020]
