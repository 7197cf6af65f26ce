"""The built documentation in Chromium: on a phone nothing runs over, and the search finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from starlette.staticfiles import StaticFiles

from lc_platform_tests.docs.snippets import BUILT
from lc_platform_tests.servers import lacking
from lc_platform_tests.viewer.browser import Watched, chromium, require_chromium, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PHONE = {"width": 390, "height": 844}
_RUNS_OVER = """() => {
    const page = document.documentElement
    const pictures = [...document.images].filter(i => i.complete && !i.naturalWidth)
    return page.scrollWidth > page.clientWidth || pictures.length > 0
}"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    require_chromium()
    if not BUILT.is_dir():
        lacking("the built documentation (python -m sphinx docs build/docs)")
    with served(StaticFiles(directory=BUILT, html=True), "/docs") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require_chromium()
    with chromium() as found:
        yield found


def test_no_page_runs_over_a_phone_or_lacks_a_picture(address: str, browser: Browser) -> None:
    pages = [file.relative_to(BUILT).as_posix() for file in sorted(BUILT.rglob("*.html"))]
    # The pages of the science's modules are one like another: the first stands for them.
    of_modules = [page for page in pages if page.startswith("reference/eo/")]
    pages = [page for page in pages if page not in of_modules[1:] and "_static" not in page]
    watched = Watched(browser.new_context(viewport=PHONE).new_page(), address)
    wrong = []
    for page in pages:
        watched.page.goto(address + page)
        if watched.page.evaluate(_RUNS_OVER):
            wrong.append(page)
    assert len(pages) > 50
    assert wrong == []
    assert watched.errors == []
    assert watched.elsewhere == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("min_valid_fraction", "reference/configuration.html"),
        ("clouds", "cloud-masks.html"),
        ("area", "tutorial/4-areas.html"),
        ("S3", "storage.html"),
    ],
)
def test_the_search_shows_the_page(address: str, browser: Browser, words: str, page: str) -> None:
    opened = browser.new_context(viewport=PHONE).new_page()
    opened.goto(f"{address}search.html?q={words}")
    opened.wait_for_selector(f'#search-results li > a[href^="{page}"]', timeout=30_000)
