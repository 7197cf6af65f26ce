"""The documentation as it is built: its search finds what people look for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lc_platform_tests.docs.snippets import DOCS
from lc_platform_tests.rooms import PROJECT

pytestmark = pytest.mark.slow

BUILT = PROJECT / "build" / "docs"
"""Where `.ci/run` has built it."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The search's index of the site that is built already, or of one without its notebooks."""
    pytest.importorskip("myst_nb", reason="needs the extra docs")
    site = BUILT
    if not (site / "searchindex.js").exists():
        site = tmp_path_factory.mktemp("site")
        command = [sys.executable, "-m", "sphinx", "-q", "-D", "nb_execution_mode=off"]
        subprocess.run([*command, str(DOCS), str(site)], check=True, timeout=600)
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


def test_every_page_that_is_written_is_found(index: dict[str, Any]) -> None:
    written = {
        str(path.relative_to(DOCS).with_suffix(""))
        for path in Path(DOCS).rglob("*.md")
        if "jupyter_execute" not in path.parts
    }
    assert written - set(index["docnames"]) == set()
