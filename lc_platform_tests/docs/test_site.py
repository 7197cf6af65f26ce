"""The documentation as it is built: its search finds what people look for."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from lc_platform_tests.docs.snippets import BUILT, DOCS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site that is built already, or one without the pictures of its notebooks."""
    pytest.importorskip("myst_nb", reason="needs the extra docs")
    if (BUILT / "searchindex.js").exists():
        return BUILT
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-D", "nb_execution_mode=off"]
    subprocess.run([*command, str(DOCS), str(site)], check=True, timeout=600)
    return site


@pytest.fixture(scope="module")
def index(site: Path) -> dict[str, Any]:
    """The search's index."""
    text = (site / "searchindex.js").read_text("utf-8")
    found: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return found


@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("min_valid_fraction", "reference/configuration"),
        ("clouds", "cloud-masks"),
        ("area", "how-to/publish-areas"),
        ("S3", "storage"),
    ],
)
def test_the_search_finds(index: dict[str, Any], word: str, page: str) -> None:
    from sphinx.search.en import SearchEnglish

    stem = SearchEnglish({}).stem(word.lower())
    pages: set[int] = set()
    for terms in (index["terms"], index["titleterms"]):
        found = terms.get(stem, [])
        pages |= set(found if isinstance(found, list) else [found])
    assert page in {index["docnames"][one] for one in pages}


class Page(HTMLParser):
    """What a page can be linked at, and what it links to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: set[str] = set()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name == "id":
                self.names.add(value)
            elif value and name in ("href", "src"):
                self.links.add(value)


def test_every_link_leads_to_a_file_of_the_site_and_to_a_place_in_it(site: Path) -> None:
    pages = {file: Page(file) for file in site.rglob("*.html") if "_static" not in file.parts}
    nowhere = set()
    for file, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            to = (file.parent / unquote(url.path)).resolve() if url.path else file
            place = unquote(url.fragment)
            if not to.is_file() or (place and place not in pages[to].names):
                nowhere.add(f"{file.relative_to(site)}: {link}")
    assert len(pages) > 100
    assert sorted(nowhere) == []


def test_every_page_that_is_written_is_found(index: dict[str, Any]) -> None:
    written = {
        str(path.relative_to(DOCS).with_suffix(""))
        for path in Path(DOCS).rglob("*.md")
        if "jupyter_execute" not in path.parts
    }
    assert written - set(index["docnames"]) == set()
