"""What docs/architecture.md says of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lc_platform.config import template
from lc_platform_tests.rooms import PROJECT, ROOMS

PAGE = PROJECT / "docs" / "architecture.md"


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    assert found, f"docs/architecture.md has no section {title}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The table of a section, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def way() -> list[tuple[str, list[str]]]:
    """The files that a digital number passes, with their functions, in order."""
    return [
        (file.strip("`"), re.findall(r"`([\w.]+)`", functions))
        for file, functions, _ in rows("The way of a digital number")
    ]


def defined(file: Path) -> set[str]:
    """Functions of a module, and methods by their classes."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
    return found


def test_every_function_on_the_way_is_in_its_file() -> None:
    missing = [
        f"{file} has no {name}: correct docs/architecture.md"
        for file, functions in way()
        for name in functions
        if not (PROJECT / file).is_file() or name not in defined(PROJECT / file)
    ]
    assert len(way()) > 10
    assert all(functions for _, functions in way())
    assert missing == []


def test_no_file_is_entered_twice_on_the_way() -> None:
    files = [file for file, _ in way()]
    assert [file for file in files if files.count(file) > 1] == []


def test_the_rooms_are_the_ones_that_imports_are_held_to() -> None:
    named = [room.strip("`").rstrip("/").removesuffix(".py") for room, _ in rows("The rooms")]
    assert named == [room for room in ROOMS if room in named]
    absent = {room for room in ROOMS if room not in named} - {"__main__"}
    assert absent == set(), "docs/architecture.md does not say what these rooms are for"


def test_the_way_is_followed_in_one_process_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = yaml.safe_load(template("simulated"))
    data["aoi"] = {
        "bbox": [14.991, 46.695, 14.995, 46.698],
        "crs": "EPSG:32633",
        "patch_size": 320,
        "resolution": 10,
    }
    data["reference"] = {"attribute": "class_id"}
    data["features"]["interval"] = 90
    (tmp_path / "lc-platform.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", section("In a debugger"), re.S)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    assert names["values"].shape == (len(names["stack"].names), 16, 16)
    assert np.isfinite(names["values"]).any()
