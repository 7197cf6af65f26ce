"""Slow tests are left out unless they are asked for, and a run says at its end what it left out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "LC_PLATFORM_REQUIRE_SERVERS"
"""With this environment variable set nothing is left out: what is not installed is a failure."""

_SLOW = pytest.StashKey[int]()
_KINDS = {
    "tests train networks, for which PyTorch is needed: pip install 'lc-platform[networks]'": (
        re.compile("could not import torch")
    ),
    "tests need servers or their drivers: .ci/run installs these and runs them": re.compile(
        rf"needs |could not import |only where {REQUIRED} "
    ),
    "tests read real imagery, which is not in ../shared/data": re.compile("no real data "),
    "tests do not suit this system": re.compile(""),
}
"""What a test that was skipped is counted as, by the beginning of the reason; the first one that
fits."""


def _asked_for(config: pytest.Config) -> bool:
    """Whether the slow tests are: by a marker, by the name of a test, or by asking for all."""
    named = any("::" in argument for argument in config.args)
    return named or bool(config.option.markexpr) or bool(os.environ.get(REQUIRED))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _asked_for(config):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    config.stash[_SLOW] = len(slow)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have a worker tell how many it left out; each of them collects all tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["slow"] = session.config.stash.get(_SLOW, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    told = getattr(node, "workeroutput", {}).get("slow", 0)
    node.config.stash[_SLOW] = max(told, node.config.stash.get(_SLOW, 0))


def _lines(slow: int, reasons: Sequence[str], deployments: int) -> Iterator[str]:
    if slow:
        yield f"{slow} tests are slow: pytest -m slow"
    counts = dict.fromkeys(_KINDS, 0)
    for reason in reasons:
        kind = next(k for k, begins in _KINDS.items() if begins.match(reason))
        counts[kind] += 1
    yield from (f"{count} {kind}" for kind, count in counts.items() if count)
    if deployments:
        yield f"{deployments} tests start whole deployments: .ci/run, or docs/reliability.md"


def write_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were left out, of which kinds, and how each kind is run."""
    config = terminalreporter.config
    reasons = [
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    ]
    files = (Path(__file__).parent / "production").glob("test_*.py")
    all_of_them = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    deployments = sum(
        len(re.findall(r"^def test_", file.read_text(encoding="utf-8"), re.MULTILINE))
        for file in files
        if all_of_them and not os.environ.get(REQUIRED) and not config.option.markexpr
    )
    lines = list(_lines(config.stash.get(_SLOW, 0), reasons, deployments))
    if lines:
        terminalreporter.section("left out", bold=True)
        for line in lines:
            terminalreporter.write_line(line)
