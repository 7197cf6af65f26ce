"""What every test may use."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from lc_platform_tests import left_out
from lc_platform_tests.command_line import lc
from lc_platform_tests.left_out import (
    pytest_collection_modifyitems,
    pytest_sessionfinish,
    pytest_testnodedown,
)
from lc_platform_tests.object_stores import azure, emulator, google, server

__all__ = [
    "azure",
    "emulator",
    "google",
    "lc",
    "pytest_collection_modifyitems",
    "pytest_sessionfinish",
    "pytest_testnodedown",
    "server",
]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for servers, for other processes, for limits
    of rates."""
    asked_for = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(asked_for) if asked_for else len(os.sched_getaffinity(0)) + 1


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real imagery beside the project; the test is skipped where it is missing."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture
def network_package(tmp_path: Path) -> Iterator[Path]:
    """The folder of a package of small cloud networks; the test is skipped where none can run."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from lc_platform_tests.cloud_networks import small_networks

    with small_networks(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is cached for the user, such as copies of references, goes into a folder of the tests,
    also in the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _databases_do_not_wait_for_the_disk() -> Iterator[None]:
    """Dagster commits each event by itself, and no test needs it after a power cut."""
    event.listen(Engine, "connect", _without_waiting)
    yield
    event.remove(Engine, "connect", _without_waiting)


def _without_waiting(connection: object, _: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that tests have measured, passed or not, and what was left out."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    figures = [value for r in reports for name, value in r.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("measured")
        for figure in figures:
            terminalreporter.write_line(str(figure))
    left_out.write_summary(terminalreporter)
