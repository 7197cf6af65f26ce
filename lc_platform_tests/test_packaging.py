"""What is published: types, metadata, licences."""

from __future__ import annotations

import json
import tomllib

import pytest
import yaml

from lc_platform.commands.licences import UNKNOWN, Licensed, licences
from lc_platform_tests.command_line import Command
from lc_platform_tests.rooms import PACKAGE, PROJECT

PROJECT_TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT_TABLE["classifiers"]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == PROJECT_TABLE["version"]
    assert citation["license"] == PROJECT_TABLE["license"]
    assert {"cff-version", "message", "title", "authors"} <= {*citation}


def test_no_dependency_is_gpl_and_each_states_its_licence() -> None:
    found = licences()
    assert [one.package for one in found if one.is_strong_copyleft] == []
    assert [one.package for one in found if one.licence == UNKNOWN] == []
    named = {one.package.lower().replace("_", "-"): one.licence for one in found}
    assert named["lc-platform"] == "Apache-2.0"
    # Neither says it in a field of its own: one has the text there, one has a file alone.
    assert named["s2cloudless"] == "CC-BY-SA-4.0"
    assert named["odc-stac"] == "Apache-2.0"
    assert {"dagster", "rasterio", "zarr", "starlette"} <= {*named}


@pytest.mark.parametrize(
    ("licence", "strong"),
    [
        ("GPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL", True),
        ("MIT AND GPL-2.0-only", True),
        ("GPL-2.0-only OR MIT", False),
        ("LGPL-2.1", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("BSD License", False),
    ],
)
def test_a_strong_copyleft_is_told_from_others(licence: str, strong: bool) -> None:
    assert Licensed("a", "1", licence).is_strong_copyleft == strong


def test_the_command_lists_them(lc: Command) -> None:
    told = json.loads(lc("licences", "--json").out)
    assert {"package", "version", "licence"} == {*told[0]}
    assert "s2cloudless" in lc("licences").out
