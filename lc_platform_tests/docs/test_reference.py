"""The reference of the documentation names everything that there is."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import pytest
import typer
import yaml

from lc_platform import cli
from lc_platform.artefacts.layout import EVERY_ASSET, FILES, key
from lc_platform.config import template
from lc_platform.report.facts import FACTS, OF_ASSETS, OF_EVERY_ASSET
from lc_platform_tests.rooms import PACKAGE, PROJECT


@cache
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", PROJECT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def paths(data: object, above: str = "") -> Iterator[str]:
    """Every path of a configuration, lists of sections without their places."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield f"{above}{name}"
            yield from paths(value, f"{above}{name}.")
    elif isinstance(data, list):
        for value in data:
            if isinstance(value, dict):
                yield from paths(value, above)


@pytest.mark.parametrize("source", ["stac", "simulated", "sentinel_hub"])
def test_every_key_of_the_template_is_on_the_page_of_the_configuration(source: str) -> None:
    page = reference().configuration()
    # Each key that is commented out, too; values of mappings are the user's own.
    text = re.sub(r"^((?:# *)+)", lambda found: " " * len(found[1]), template(source), flags=re.M)
    keys = set(re.findall(r"^\s*(?:- )?([a-z][a-z0-9_]*):(?: |$)", text, re.M))
    named = {part for path in re.findall(r"\}`([\w.\[\]]+)`", page) for part in path.split(".")}
    named |= {name.removesuffix("[]") for name in named}
    sections = set(re.findall(r"^## (\w+)$", page, re.M))
    assert keys - named - sections == set()
    given = yaml.safe_load(template(source))
    missing = [p for p in paths(given) if f"`{p}`" not in page.replace("[]", "") and "." in p]
    assert missing == []


def test_every_command_is_on_its_page_with_every_option() -> None:
    page = reference().command_line()
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        (part,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert all(one in part for one in parameter.opts), (name, parameter.name)
            else:
                assert parameter.name.upper() in part


def test_every_asset_is_on_its_page_with_its_place() -> None:
    page = reference().assets()
    for asset in EVERY_ASSET:
        (part,) = re.findall(rf"^## {asset}\n(.*?)(?=^\(asset-|\Z)", page, re.M | re.S)
        place = key(asset, "P", 1).replace("/1", "/{year}").replace("P.", "{patch}.")
        assert f"`{place}`" in part


def test_every_asset_has_its_files_on_their_page() -> None:
    page = reference().files()
    for asset in EVERY_ASSET:
        place = key(asset, "P", 1).replace("/1", "/{year}").replace("P.", "{patch}.")
        assert any(path == place or path.startswith(f"{place}/") for path in FILES), place
    assert all(f"`{path}`" in page for path in FILES)


def _facts(tree: ast.AST) -> Iterator[str]:
    """The names of facts that a module writes: literal keys of mappings called facts."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Subscript) and _is_facts(target.value):
                yield from _names([target.slice])
            if _is_facts(target) and isinstance(node.value, ast.Dict):  # type: ignore[attr-defined]
                yield from _names(node.value.keys)  # type: ignore[attr-defined]
                for inner in node.value.values:  # type: ignore[attr-defined]
                    if isinstance(inner, ast.DictComp):
                        yield from _names([inner.key])


def _is_facts(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name == "facts"


def _names(nodes: list[ast.expr | None] | list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )


def test_every_fact_that_a_product_tells_is_on_the_page_of_the_metadata() -> None:
    page = reference().metadata()
    known = {re.sub(r"\{\w+\}", "{}", name) for name in FACTS}
    # In these two, facts are those of an acquisition.
    of_acquisitions = {"cloud_masks.py", "raw_bands.py"}
    products = (PACKAGE / "products").glob("*.py")
    files = [
        *(path for path in products if path.name not in of_acquisitions),
        PACKAGE / "acquisition" / "acquire.py",
        PACKAGE / "area" / "patches.py",
        PACKAGE / "report" / "report_page.py",
    ]
    told = {name for path in files for name in _facts(ast.parse(path.read_text("utf-8")))}
    assert len(told) > 30
    told -= {"{}offset", "{}scale"}  # of an acquisition
    assert told - known == set(), "say in report/facts.py what they are"
    assert all(name in page for name in FACTS)


def test_every_asset_says_which_of_these_it_has() -> None:
    assert set(OF_ASSETS) == set(EVERY_ASSET)
    named = {name for names in OF_ASSETS.values() for name in names} | set(OF_EVERY_ASSET)
    assert named == set(FACTS)
    assert "`valid_observations_min`" in reference().assets()


def test_every_metric_is_on_its_page() -> None:
    sources = [PACKAGE / "commands" / "metrics.py", PACKAGE / "viewer" / "map_metrics.py"]
    text = "".join(path.read_text("utf-8") for path in sources)
    named = set(re.findall(r'"(lc_platform_[a-z_]*[a-z])"', text))
    page = reference().metrics()
    assert len(named) > 8
    # Only what has been refreshed without a fault says when that was.
    assert {name for name in named if name not in page} == set()


def test_docstrings_have_their_arguments_as_definitions() -> None:
    lines = [
        "Return a mean.",
        "",
        "values  (time, y, x), reflectance;",
        "        NaN without data",
        "valid   (time, y, x)",
        "",
        "Raises ValueError.",
    ]
    assert reference().parameters(lines) == [
        "Return a mean.",
        "",
        "``values``",
        "    (time, y, x), reflectance;",
        "    NaN without data",
        "``valid``",
        "    (time, y, x)",
        "",
        "Raises ValueError.",
    ]
