"""Every command and every snippet of the documentation is right."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lc_platform.config import ConfigError
from lc_platform_tests.docs import snippets
from lc_platform_tests.docs.snippets import all_blocks, commands_in, loaded, problem_of


def test_every_command_has_the_options_that_are_given() -> None:
    wrong = []
    for block in all_blocks("sh"):
        for words in commands_in(block.code):
            problem = problem_of(words)
            if problem:
                wrong.append(f"{block}: {' '.join(words)}: {problem}")
    assert wrong == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("lc-platform rum -c a.yaml", "no command rum"),
        ("lc-platform run -c a.yaml --years 2023", "--years"),
        ("lc-platform run", "--config"),
        ("python -m benchmarks.nothing", "no module"),
    ],
)
def test_a_command_that_there_is_not_is_found(
    command: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LC_PLATFORM_CONFIG", raising=False)
    (words,) = commands_in(command)
    assert said in (problem_of(words) or "")


def test_every_yaml_loads_as_a_configuration(tmp_path: Path) -> None:
    wrong = []
    blocks = [b for b in all_blocks("yaml") if b.mark != "checked"]
    for block in blocks:
        try:
            loaded(block, tmp_path)
        except (ConfigError, AttributeError) as error:
            wrong.append(f"{block}: {error}")
    assert wrong == []
    assert blocks


def test_every_python_is_python() -> None:
    for block in all_blocks("python"):
        ast.parse(block.code, str(block))


def headings(page: Path) -> set[str]:
    """The names under which a page's headings are linked to."""
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_to_a_file_leads_to_one_and_to_a_heading_of_it() -> None:
    wrong = []
    for page in snippets.pages():
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            target, _, heading = link.partition("#")
            place = (page.parent / target).resolve() if target else page
            if "://" in target or snippets.GENERATED in place.parents:
                continue
            if not place.exists() or (heading and heading not in headings(place)):
                wrong.append(f"{page.name}: {link}")
    assert wrong == []


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {snippets.DOCS / "index.md"}
    for page in snippets.pages():
        for entries in re.findall(
            r"^```\{toctree\}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S
        ):
            names = [line.strip() for line in entries.splitlines() if line.strip()]
            listed |= {page.parent / f"{name}.md" for name in names if not name.startswith(":")}
    written = {page for page in snippets.pages() if snippets.DOCS in page.parents}
    assert written - listed == set(), "name them in a toctree, for example of docs/explanation.md"
