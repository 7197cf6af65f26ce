"""No option is read without counting towards the version of what it makes."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import lc_platform
from lc_platform import assets
from lc_platform.area.options import AreaOptions, SplitOptions
from lc_platform.config.options import (
    SPEED,
    Counted,
    NotCounted,
    Options,
    UndeclaredOptionError,
    appearance,
    data,
    option,
)

PACKAGE = Path(lc_platform.__file__).parent


def _below(one: type[Any]) -> Iterator[type[Any]]:
    for found in one.__subclasses__():
        yield found
        yield from _below(found)


CLASSES = [found for found in _below(Options) if found.__module__.startswith("lc_platform.")]
PARTS = {AreaOptions, SplitOptions}
"""Options that are part of those of several assets."""


def undeclared(found: type[Any]) -> list[str]:
    """A sentence for each field of an options class that does not say how it counts."""
    return [
        f"{found.__name__}.{field.name} does not say how it counts towards the version"
        for field in dataclasses.fields(found)
        if not field.metadata.get("counts")
    ]


@pytest.mark.parametrize("found", CLASSES, ids=lambda found: found.__name__)
def test_every_option_says_how_it_counts(found: type[Any]) -> None:
    assert undeclared(found) == []


def test_an_option_that_does_not_say_how_it_counts_is_refused() -> None:
    words = r"Smoothing\.radius does not say how it counts towards the version .*option\(data\("
    with pytest.raises(UndeclaredOptionError, match=words):

        @dataclass(frozen=True, kw_only=True)
        class Smoothing(Options):
            window: int = option(SPEED, default=256)
            radius: int = 3


def test_options_count_under_their_names_as_data_or_appearance_or_not_at_all() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Smoothing(Options):
        radius: int = option(data("smoothing", "radius"), default=3)
        classes: dict[int, str] = option(
            data("ids", value=list), appearance("names", value=lambda c: [*c.values()])
        )
        window: int = option(NotCounted("windows give the same pixels"), default=256)

    asked = Smoothing(classes={4: "forest"})
    assert asked.counted("data") == {"smoothing": {"radius": 3}, "ids": [4]}
    assert asked.counted("appearance") == {"names": ["forest"]}


@pytest.mark.parametrize("found", CLASSES, ids=lambda found: found.__name__)
def test_what_does_not_count_says_why(found: type[Any]) -> None:
    for field in dataclasses.fields(found):
        for one in field.metadata["counts"]:
            assert isinstance(one, Counted) or len(one.why.split()) > 2, field.name


def test_every_asset_has_options_of_its_own() -> None:
    given = [asset.options for asset in assets.ALL]
    assert None not in given
    assert len(set(given)) == len(given) == len(set(CLASSES) - PARTS)


COMPUTING = [
    file
    for pattern in ("products/*.py", "acquisition/*.py", "sources/reference_*.py", "area/*.py")
    for file in sorted(PACKAGE.glob(pattern))
    if not file.stem.endswith("options") and file.name != "budget.py"
]
"""What makes artefacts. A budget says what may be spent, and not what comes of it."""
_FUNCTIONS_ALONE = {
    "lc_platform.config.reference",  # how values are compared
    "lc_platform.config.fields",  # how lengths and CRSs are checked
    "lc_platform.config.input_files",  # digests of files
    "lc_platform.config.problems",  # which name was meant
}


def configuration_read(files: Iterable[Path], package: Path = PACKAGE) -> list[str]:
    """A sentence for each import of the configuration where options are to be taken."""
    return [
        f"{file.relative_to(package)} imports {node.module}: what it reads there is no part of the "
        "version of what it makes. Declare it in an options class"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and "lc_platform.config" in node.module
        if node.module not in _FUNCTIONS_ALONE
    ]


def test_what_computes_reads_no_configuration_beside_its_options() -> None:
    assert configuration_read(COMPUTING) == []


def test_an_option_that_is_read_without_being_part_of_the_version_is_named(tmp_path: Path) -> None:
    file = tmp_path / "smoothing.py"
    file.write_text("from lc_platform.config import Config\n", encoding="utf-8")
    assert configuration_read([file], tmp_path) == [
        "smoothing.py imports lc_platform.config: what it reads there is no part of the version of "
        "what it makes. Declare it in an options class"
    ]


def test_what_computes_takes_no_parameters_without_a_name() -> None:
    wrong = [
        f"{file.relative_to(PACKAGE)}: {node.name} takes **{node.args.kwarg.arg}: take options "
        "that say how they count"
        for file in COMPUTING
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None
    ]
    assert wrong == []


def test_an_assets_body_reads_no_configuration_beside_its_options() -> None:
    wrong = [
        f"{asset.name} reads {ast.unparse(node)}: what it reads there is no part of its version. "
        "Take it from its options"
        for asset in assets.ALL
        for function in (asset.body, asset.given)
        if function is not None
        for node in ast.walk(ast.parse(inspect.getsource(function)))
        if isinstance(node, ast.Attribute) and node.attr == "config"
    ]
    assert wrong == []
