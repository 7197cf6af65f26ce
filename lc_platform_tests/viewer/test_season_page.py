"""The page of the web map where a year's season begins in the year before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pandas as pd
import pytest
import yaml

import lc_platform
from lc_platform.config import FILE_NAME
from lc_platform.platform import Platform
from lc_platform.reading.reader import Reader
from lc_platform.viewer.app import create_app
from lc_platform_tests.graphs import settings
from lc_platform_tests.reading import stores
from lc_platform_tests.viewer.browser import (
    Watched,
    chromium,
    eventually,
    require_chromium,
    served,
)
from lc_platform_tests.viewer.places import degrees, own_pixel

YEARS = (2023, 2024)
MONTHS = ["Oct", "Nov", "Dec", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep"]


@pytest.fixture(scope="module")
def water_years(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A patch in two years from October to September, as hydrologists count."""
    require_chromium()
    folder = tmp_path_factory.mktemp("water-years")
    for year in YEARS:
        data = settings(1, 1, year=year, season={"begins": "10-01", "months": 12})
        (folder / FILE_NAME).write_text(yaml.safe_dump(data), encoding="utf-8")
        stores.make(Platform(lc_platform.config.load(folder / FILE_NAME)))
    (folder / FILE_NAME).write_text(yaml.safe_dump({**data, "years": list(YEARS)}))
    return lc_platform.open(folder)


@pytest.fixture(scope="module")
def page(water_years: Reader) -> Iterator[Watched]:
    (patch,) = water_years.artefacts.grid.patches
    row, column = own_pixel(water_years, patch)
    lon, lat = degrees(patch, row + 0.5, column + 0.5)
    with served(create_app(water_years)) as address, chromium() as browser:
        context = browser.new_context(viewport={"width": 1360, "height": 900})
        found = Watched(context.new_page(), address)
        found.open(f"#15/{lat:.6f}/{lon:.6f}&pixel={lon:.6f},{lat:.6f}&layer=true_color")
        yield found
        found.close()
        assert found.elsewhere == []
        assert found.errors == []


def test_a_year_s_months_and_dates_begin_in_the_year_before(
    page: Watched, water_years: Reader
) -> None:
    (patch,) = water_years.artefacts.grid.keys
    for year in reversed(YEARS):
        page.page.check(f"#year-{year}", force=True)
        eventually(lambda year=year: f"Pixel, {year}" in page.page.inner_text("#story h2"))
        page.settle()
        pills = page.page.locator("#imagery-body fieldset.pills label")
        eventually(pills.count, 12)
        said = [f"{name} {year - (at < 3)}" for at, name in enumerate(MONTHS)]
        assert [pill.get_attribute("title") for pill in pills.all()] == said
        assert pills.all_inner_texts() == MONTHS
        assert page.page.is_checked("#month-07")
        eventually(page.page.get_by_text(f"True colour, Jul {year}").is_visible)
        acquired = water_years.acquisitions(patch, year).index
        dates = page.page.locator("#story .observations tbody th").all_text_contents()
        eventually(lambda: len(page.page.locator("#chart svg.chart .mark").all()) > 3)
        assert [pd.Timestamp(date) for date in dates] == [one.normalize() for one in acquired]
        assert pd.Timestamp(f"{year - 1}-10-01") <= acquired[0] < pd.Timestamp(f"{year}-01-01")
        assert acquired[-1] < pd.Timestamp(f"{year}-10-01")
        ticks = page.page.locator("#chart text.tick[text-anchor=middle]").all_text_contents()
        in_order = [*MONTHS, *MONTHS]
        assert "".join(ticks) in "".join(in_order)
        marks = page.page.locator("#chart svg.chart .mark")
        at = [float(re.findall(r"[\d.]+", one.get_attribute("transform") or "")[0])
              for one in marks.all()]  # fmt: skip
        assert all(before <= after for before, after in pairwise(at))


def test_the_year_says_which_months_it_is_of(page: Watched) -> None:
    legend = page.page.text_content("#years legend")
    assert legend == "Year (Oct to Sep)"
    for year in YEARS:
        label = page.page.locator(f"label:has(#year-{year})")
        assert label.get_attribute("title") == f"Oct {year - 1} to Sep {year}"


def test_another_band_is_asked_for_when_it_is_chosen(page: Watched, water_years: Reader) -> None:
    lon, lat = map(float, page.fragment.split("pixel=")[1].split("&")[0].split(","))
    expected = water_years.at(lon, lat, int(page.page.inner_text("#story h2")[-4:]))["B11"]
    values = page.page.locator("#story .observations tbody td:nth-child(2)")
    with page.page.expect_request(lambda request: "series=B11" in request.url):
        page.page.select_option("#series", "B11")
    shown = [f"{value:.3f}".rstrip("0").rstrip(".") for value in expected]
    eventually(values.all_text_contents, shown)
    # What was told before is not asked for again.
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.select_option("#series", "NDVI")
    eventually(lambda: values.all_text_contents() != shown)
    assert not [url for url in asked if "api/pixel" in url]
