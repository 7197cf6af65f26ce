"""Years that can be mapped: those that have begun, and of which there is imagery."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lc_platform_tests.config.configurations import SIMULATED, configured, refusal

NOW = datetime.now(UTC).year


@pytest.mark.parametrize("year", [NOW + 1, 2032 + NOW, 20233, '"2999"'])
def test_a_year_that_has_not_begun_is_refused_by_name(year: int | str) -> None:
    named = str(year).strip('"')
    (line,) = refusal(f"{{years: [2017, {year}]}}")
    assert line == (
        f"years[1]: {named} has not begun, and no archive has imagery of it. Give years up to "
        f"{NOW}."
    )


def test_the_running_year_is_taken() -> None:
    assert configured(f"{{years: [{NOW}]}}").years == (NOW,)


# Sentinel-2A was launched on 23 June 2015, Landsat 4 on 16 July 1982.
@pytest.mark.parametrize(
    ("collection", "year", "first"),
    [
        ("sentinel-2-l1c", 2014, 2015),
        ("sentinel-2-l2a", 1999, 2015),
        ("sentinel-2-c1-l2a", 2014, 2015),
        ("landsat-c2-l2", 1981, 1982),
    ],
)
def test_a_year_before_the_collections_satellites_is_refused(
    collection: str, year: int, first: int
) -> None:
    clouds = "scl" if "l2a" in collection else "s2cloudless"
    change = f"imagery: {{collection: {collection}}}, clouds: {{method: {clouds}}}"
    (line,) = refusal(f"{{years: [{year}, {first}], {change}}}")
    assert line.startswith(f"years[0]: {year} is before the first acquisition of {collection}, ")
    assert f"Give years from {first} on" in line
    assert configured(f"{{years: [{first}], {change}}}").years == (first,)


def test_the_simulated_archive_has_no_year_before_its_satellites_either() -> None:
    assert "before the first acquisition" in refusal("{years: [2011]}", SIMULATED)[0]


def test_a_collection_of_which_nothing_is_known_may_have_any_year() -> None:
    assert configured("{years: [1985], imagery: {collection: my-mosaics}}").years == (1985,)


@pytest.mark.parametrize("span", ["2017-2019", "2017 - 2019", "2017..2019", "2017 to 2019"])
def test_a_span_of_years_as_text_is_refused_with_how_to_list_them(span: str) -> None:
    (line,) = refusal(f'{{years: ["{span}"]}}')
    assert line.startswith(f"years[0]: '{span}' is text, and every year is listed. Write [2017, ")


def test_years_as_text_are_those_years() -> None:
    assert configured('{years: ["2018", " 2017 "]}').years == (2017, 2018)


def test_the_command_refuses_a_year_to_come_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(SIMULATED.replace("2023", "2093"), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "lc_platform", "run", "-c", str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "years[0]: 2093 has not begun" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert list(tmp_path.iterdir()) == [file]
